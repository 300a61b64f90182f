"""The attempts of a batch: each is one Slurm job or local process, recorded in batch.json."""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from arena.journals.records import Stop, StopKind, decode, encode, read_json, write_json
from arena.support import slurm
from arena.support.coerce import count_of, dict_of, list_of, text_of

# GPU numbers on the node, of the step (in Snakemake's steps the job's are unset) or of the job;
# last as the job sees them, which start at 0 with cgroups.
_GPU_IDS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES")
_HIGHEST_PID = 2**31 - 1


@dataclass(frozen=True)
class Attempt:
    """One attempt. stop: None while it runs and after success. launched, ready: when the judge was,
    None where no game had to be asked. restarts: causes of the judge's restarts. log: of the judge
    server. asked: resources requested for its job. latest: upper bound of its end where it recorded
    none; derived, not in the file."""

    batch: str
    run: str | None = None
    job: str | None = None
    node: str | None = None
    pid: int | None = None
    gpus: float | None = None
    gpu_ids: str | None = None
    start: float | None = None
    launched: float | None = None
    ready: float | None = None
    first_game: float | None = None
    last_game: float | None = None
    end: float | None = None
    stop: Stop | None = None
    restarts: tuple[str, ...] = ()
    log: str | None = None
    judge: str | None = None
    server: str | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    latest: float | None = None

    @classmethod
    def here(cls, batch: str, run: str, **known: Any) -> "Attempt":
        """The attempt that starts now, in this process."""
        return cls(
            batch,
            run,
            job=os.environ.get("SLURM_JOB_ID"),
            node=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            pid=os.getpid(),
            gpu_ids=next(filter(None, map(os.environ.get, _GPU_IDS)), None),
            start=datetime.now(UTC).timestamp(),
            **known,
        )

    def to_json(self) -> dict[str, Any]:
        plain = encode(self)
        for ours in ("job", "log", "stop", "latest"):
            del plain[ours]
        return plain | {
            "slurm_job_id": self.job,
            "server_log": self.log,
            "kind": self.stop and self.stop.kind,
            "cause": self.stop and self.stop.text,
            "restarts": [{"cause": cause} for cause in self.restarts],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], batch: str) -> "Attempt":
        kind, pid, job = plain.get("kind"), count_of(plain.get("pid")), plain.get("slurm_job_id")
        if kind is None and plain.get("cause") == "walltime":  # the first version wrote no kinds
            kind = StopKind.WALLTIME
        restarts = [dict_of(restart).get("cause") for restart in list_of(plain.get("restarts"))]
        return decode(
            cls,
            plain,
            batch=batch,
            job=str(job) if job else None,
            pid=pid if 0 < pid <= _HIGHEST_PID else None,
            stop=Stop.from_json({"kind": kind, "text": plain.get("cause")}),
            restarts=tuple(text_of(cause) or "unknown cause" for cause in restarts),
            log=text_of(plain.get("server_log")),
            latest=None,
        )

    @property
    def failed(self) -> bool:
        return self.stop is not None

    def until(self, now: float) -> float:
        """Its end; if it recorded none, now or its latest possible end."""
        if self.end is not None:
            return self.end
        return now if self.latest is None else min(now, self.latest)

    def elapsed(self, now: float) -> float:
        """Seconds from its start to its end, or until now."""
        return 0.0 if self.start is None else max(0.0, self.until(now) - self.start)

    def gpu_hours(self, now: float, gpus: float) -> float:
        """GPU hours used so far; gpus: their number where the record has none."""
        return self.elapsed(now) / 3600 * (gpus if self.gpus is None else self.gpus)

    @property
    def is_dead(self) -> bool:
        """Whether it was a process of this machine that has ended; False for Slurm jobs."""
        here = self.node in (socket.gethostname(), socket.getfqdn())
        return here and not self.job and self.pid is not None and not psutil.pid_exists(self.pid)


class AttemptLog:
    """Writes the record of the attempt of this process: `logs/<batch>/batch.json`."""

    def __init__(self, path: Path | None, attempt: Attempt) -> None:
        """path: None keeps no record."""
        self.path, self.attempt = path, attempt
        self._write(_with_slurms_end)

    def note(self, **changes: Any) -> None:
        self.attempt = replace(self.attempt, **changes)
        self._write()

    def restarted(self, cause: str) -> None:
        self.note(restarts=(*self.attempt.restarts, cause))

    def ended(self, stop: Stop | None) -> None:
        """Record its end; a later call changes nothing."""
        if self.attempt.end is None:
            self.note(end=datetime.now(UTC).timestamp(), stop=stop)

    def _write(self, complete: Callable[[Attempt], Attempt] = lambda one: one) -> None:
        """Keeps the other attempts: a dead run's job may still be running and writing here."""
        if self.path is None:
            return
        others = [one for one in read_attempts(self.path) if not _is_same(one, self.attempt)]
        try:
            _write_attempts(self.path, [*map(complete, others), self.attempt])
        except OSError as error:  # only monitors read it: no reason to fail the batch
            print(f"cannot write {self.path}: {error}", file=sys.stderr, flush=True)


def read_attempts(path: Path) -> list[Attempt]:
    """All attempts of a batch, oldest first; [] where there is no readable record."""
    plain = read_json(path)
    found = [*list_of(plain.get("earlier")), plain] if plain else []
    return [Attempt.from_json(dict_of(one), path.parent.name) for one in found]


def write_killed(path: Path, pid: int) -> None:
    """Record that process `pid` was killed, if it is the newest attempt and recorded no end."""
    attempts = read_attempts(path)
    if attempts and attempts[-1].pid == pid and attempts[-1].end is None:
        stop = Stop(StopKind.KILLED, "the process of the batch was killed")
        last = replace(attempts[-1], end=datetime.now(UTC).timestamp(), stop=stop)
        _write_attempts(path, [*attempts[:-1], last])


def stop_by_slurm(word: str) -> Stop:
    """The stop for a job that Slurm ended; word: sacct's state or squeue's reason."""
    if word in ("TIMEOUT", "TimeLimit"):
        return Stop(StopKind.WALLTIME, "the job reached its walltime (TIMEOUT)")
    return Stop(StopKind.SLURM, f"Slurm ended the job ({word})")


def _write_attempts(path: Path, attempts: list[Attempt]) -> None:
    ordered = sorted(attempts, key=lambda one: one.start or 0)
    *earlier, last = [one.to_json() for one in ordered]
    write_json(path, last | {"earlier": earlier})


def _is_same(one: Attempt, other: Attempt) -> bool:
    """The file keeps milliseconds of the start."""
    near = abs((one.start or 0) - (other.start or 0)) < 0.01
    return near and (one.job, one.node, one.pid) == (other.job, other.node, other.pid)


def _with_slurms_end(former: Attempt) -> Attempt:
    """An attempt that could not record its end, completed from Slurm's accounting: with
    proctrack/cgroup, only the first process of a job gets SIGTERM, the others are killed.
    """
    unknown = former.end is None or (former.stop and former.stop.kind is StopKind.KILLED)
    if not unknown or former.job is None or former.start is None:
        return former
    for state, start, end in slurm.ended([former.job]).get(former.job, []):
        if start <= former.start + 1 and former.start <= end:
            if former.end is not None and state in ("FAILED", "COMPLETED"):
                break  # Slurm did not end it
            return replace(former, end=end, stop=stop_by_slurm(state))
    return former
