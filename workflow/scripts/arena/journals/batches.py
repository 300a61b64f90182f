"""The batches of a campaign, and their attempts: each is one Slurm job or local process, recorded
in batch.json.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from arena.data.layout import Layout
from arena.journals.records import (
    REPLAY,
    BatchPlan,
    Count,
    Status,
    Stop,
    StopKind,
    decode,
    encode,
    read_json,
    write_json,
)
from arena.support import processes, slurm
from arena.support.coerce import dict_of, list_of, number_of

# GPU numbers on the node, of the step (in Snakemake's steps the job's are unset) or of the job;
# last as the job sees them, which start at 0 with cgroups.
_GPU_IDS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES")


class Attempt(msgspec.Struct, frozen=True, rename={"job": "slurm_job_id", "log": "server_log"}):
    """One attempt. kind, cause: of its stop; None while it runs and after success. launched, ready:
    when its newest server was, None where no game had to be asked. started_s: seconds in which the
    servers before that one started. restarts: of the judge. log: of the judge server. asked:
    resources requested for its job. latest: upper bound of its end where it recorded none; derived,
    null in the file."""

    batch: str = ""
    run: str | None = None
    job: str | None = None
    node: str | None = None
    pid: Count | None = None
    gpus: Count = 0
    gpu_ids: str | None = None
    start: float = 0.0
    launched: float | None = None
    ready: float | None = None
    started_s: float = 0.0
    end: float | None = None
    kind: StopKind | None = None
    cause: str | None = None
    restarts: tuple[Mapping[str, Any], ...] = ()
    log: str | None = None
    asked: Mapping[str, Any] = {}
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
            start=time.time(),
            **known,
        )

    def ended(self, end: float, stop: Stop | None) -> "Attempt":
        kind, cause = (stop.kind, stop.text) if stop else (None, None)
        return replace(self, end=end, kind=kind, cause=cause)

    @property
    def stop(self) -> Stop | None:
        return Stop(self.kind or StopKind.UNKNOWN, self.cause) if self.cause else None

    def until(self, now: float) -> float:
        """Its end; if it recorded none, now or its latest possible end."""
        if self.end is not None:
            return self.end
        return now if self.latest is None else min(now, self.latest)

    def elapsed(self, now: float) -> float:
        """Seconds from its start to its end, or until now."""
        return max(0.0, self.until(now) - self.start)

    def starting(self, now: float) -> float:
        """Seconds from the launches of its servers until they were ready, or until their end."""
        if self.launched is None:  # no game had to be asked
            return self.started_s
        return self.started_s + max(0.0, (self.ready or self.until(now)) - self.launched)

    @property
    def is_dead(self) -> bool:
        """Whether it was a process of this machine that has ended; False for Slurm jobs."""
        if self.job or self.pid is None:
            return False
        here = self.node in (socket.gethostname(), socket.getfqdn())
        return here and processes.has_ended(self.pid)


class AttemptLog:
    """Writes the record of the attempt of this process: `logs/<batch>/batch.json`."""

    def __init__(self, path: Path | None, attempt: Attempt) -> None:
        """path: None keeps no record."""
        self.path, self.attempt = path, attempt
        self._write(_with_slurms_end)

    def note(self, **changes: Any) -> None:
        self.attempt = replace(self.attempt, **changes)
        self._write()

    def launched(self) -> None:
        """Record the launch of a server; batches of answers launch one after the other."""
        now = time.time()
        self.note(started_s=self.attempt.starting(now), launched=now, ready=None)

    def ended(self, stop: Stop | None) -> None:
        """Record its end; a later call changes nothing."""
        if self.attempt.end is None:
            self.attempt = self.attempt.ended(time.time(), stop)
            self._write()

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
    with contextlib.suppress(ValueError):
        if plain := read_json(path):
            found = [*list_of(plain.pop("earlier", None)), plain]
            return [decode(Attempt, dict_of(one)) for one in found]
    return []


def write_killed(path: Path, pid: int) -> None:
    """Record that process `pid` was killed, if it is the newest attempt and recorded no end."""
    attempts = read_attempts(path)
    if attempts and attempts[-1].pid == pid and attempts[-1].end is None:
        stop = Stop(StopKind.KILLED, "the process of the batch was killed")
        _write_attempts(path, [*attempts[:-1], attempts[-1].ended(time.time(), stop)])


def stop_by_slurm(word: str) -> Stop:
    """The stop for a job that Slurm ended; word: sacct's state or squeue's reason."""
    if word in ("TIMEOUT", "TimeLimit"):
        return Stop(StopKind.WALLTIME, "the job reached its walltime (TIMEOUT)")
    return Stop(StopKind.SLURM, f"Slurm ended the job ({word})")


def _write_attempts(path: Path, attempts: list[Attempt]) -> None:
    *earlier, last = map(encode, sorted(attempts, key=lambda one: one.start))
    write_json(path, last | {"earlier": earlier})


def _is_same(one: Attempt, other: Attempt) -> bool:
    """The file keeps milliseconds of the start."""
    near = abs(one.start - other.start) < 0.01
    return near and (one.job, one.node, one.pid) == (other.job, other.node, other.pid)


def _with_slurms_end(former: Attempt) -> Attempt:
    """An attempt that could not record its end or who sent the signal, completed from Slurm's
    accounting: with proctrack/cgroup, only the first process of a job gets SIGTERM, the others are
    killed; and a busy controller does not answer in the seconds that are left.
    """
    by_signal = former.kind in (StopKind.KILLED, StopKind.STOPPED)
    if former.job is None or not (former.end is None or by_signal):
        return former
    for state, start, end in slurm.ended([former.job], slurm.RECORD_S).get(former.job, []):
        if start <= former.start + 1 and former.start <= end:
            if former.end is not None and state in ("FAILED", "COMPLETED"):
                break  # Slurm did not end it
            return former.ended(end, stop_by_slurm(state))
    return former


@dataclass(frozen=True)
class Batch:
    """A batch: its plan, its attempts (oldest first), its latest status, unreadable files."""

    plan: BatchPlan
    attempts: tuple[Attempt, ...] = ()
    status: Status | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.plan.batch

    @property
    def run(self) -> str:
        return self.plan.run

    @property
    def models(self) -> tuple[str, ...]:
        return self.plan.models

    @property
    def is_replay(self) -> bool:
        """It only makes judgments of complete journals, without a job or an attempt."""
        return self.name.startswith(REPLAY)

    @property
    def attempt(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    def gpu_hours(self, now: float, run: str | None = None) -> float:
        """GPU hours used so far, by all attempts or by those of one run."""
        wanted = [one for one in self.attempts if run in (None, one.run or self.run)]
        return sum(one.elapsed(now) / 3600 * one.gpus for one in wanted)


def read_batches(root: Path) -> list[Batch]:
    """All batches of a results folder, in the order in which they were planned."""
    layout = Layout(root)
    batches = [_read(layout, name) for name in layout.batch_names()]
    known = [batch for batch in batches if batch.models or batch.attempts or batch.unreadable]
    return sorted(known, key=lambda batch: (batch.run, batch.plan.time or 0, batch.name))


def newest_run(batches: list[Batch]) -> str | None:
    return max((batch.run for batch in batches), default=None)


def _read(layout: Layout, name: str) -> Batch:
    plan, attempts = BatchPlan.read(layout.batch(name)), read_attempts(layout.attempts(name))
    files = (layout.batch(name), plan), (layout.attempts(name), attempts)
    unreadable = tuple(str(path) for path, found in files if not found and path.exists())
    bounded, status = _bounded(attempts, layout.logs(name)), Status.read(layout.status(name))
    return Batch(plan or BatchPlan(name), bounded, status, unreadable)


def _bounded(attempts: list[Attempt], logs: Path) -> tuple[Attempt, ...]:
    """The attempts; those without an end get `latest`, an upper bound of it."""
    for number, attempt in enumerate(attempts):
        if attempt.end is not None:
            continue
        latest = [later.start for later in attempts[number + 1 : number + 2]]
        if attempt.job is not None and (minutes := number_of(attempt.asked.get("runtime"))):
            latest.append(attempt.start + 60 * minutes)
        if attempt.is_dead:  # it and its judge wrote to their logs until they ended
            written = [path.stat().st_mtime for path in logs.glob("*") if path.exists()]
            latest.append(max([attempt.start, *written]))
        attempts[number] = replace(attempt, latest=min(latest, default=None))
    return tuple(attempts)
