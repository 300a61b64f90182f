"""The records of a campaign's batches: one class a file, used by who writes it and who reads it.

| record | file (see `arena.data.layout`) | written by |
| --- | --- | --- |
| BatchPlan | batches/<batch>.json | the main process, before the batch's job is submitted |
| Attempt | logs/<batch>/batch.json, former attempts in `earlier` | the job |
| Status | logs/<batch>/status.json | the job, every few seconds |
| RunStop | batches/<run>.stop.json | the first job that finds that its run shall stop |

A reader may look while a file is written, and may be of another version than the writer: a key that
is missing or of an odd shape is unknown, never an error. Times are seconds since 1970 here and ISO
8601 in the files.
"""

import json
import os
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from arena.data.layout import Layout
from arena.support import slurm
from arena.support.coerce import dict_of, list_of, number_of, numbers_of, text_of
from arena.support.jsonl import write_atomic
from arena.support.times import epoch, iso

# As the node numbers its GPUs: of our step (Snakemake's takes the job's away), or of the job; then
# as the job sees them, which under cgroups begin at 0.
GPU_IDS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES")


REPLAY = "replay-"  # begins the name of a batch of complete models


class StopKind(StrEnum):
    """Why a batch's attempt, or one of its models, ended before its work was done."""

    JUDGE_START = "judge_start"  # the judge does not start, on no node: the whole run stops
    JUDGE_HERE = "judge_here"  # it does not start here; another node or another try may do
    JUDGE_DIED = "judge_died"  # it was ready once and was given up
    NO_VERDICT = "no_verdict"  # no reply of the judge holds one: the whole run stops
    JUDGE_REFUSES = "judge_refuses"  # what we ask, or our key: asking on is useless
    OPEN_GAMES = "open_games"  # games that do not go through
    BUDGET = "budget"  # this run may spend no more
    WALLTIME = "walltime"
    HELD = "held"  # another process plays these models
    STOPPED = "stopped"  # by a signal: scancel, Ctrl-C
    SLURM = "slurm"  # Slurm ended the job: preempted, node failed, out of memory
    DATA = "data"  # questions, answers or judgments
    JOURNAL = "journal"  # full disk, a second writer
    KILLED = "killed"  # no record of the end was written by the process itself
    ERROR = "error"  # none of the above: a fault of ours
    UNKNOWN = "unknown"  # recorded by a version that wrote no kind

    @property
    def ends_run(self) -> bool:
        """Whether no other batch of the run can do better."""
        return self in (StopKind.JUDGE_START, StopKind.NO_VERDICT, StopKind.BUDGET)


@dataclass(frozen=True)
class Stop:
    """Why something ended. kind: for programs. text: for people, with what to do."""

    kind: StopKind
    text: str

    def to_json(self) -> dict[str, str]:
        return {"kind": str(self.kind), "text": self.text}

    @classmethod
    def from_json(cls, plain: Any) -> "Stop | None":
        text = text_of(dict_of(plain).get("text"))
        return None if text is None else cls(_kind(dict_of(plain).get("kind")), text)


def _kind(name: Any) -> StopKind:
    try:
        return StopKind(name)
    except ValueError:
        return StopKind.UNKNOWN


@dataclass(frozen=True)
class BatchPlan:
    """All that a batch's job needs to know, and whoever looks on. Holds no key of any server.

    settings, requests: digests of what determines the judgments and of what determines the judge's
    replies. params: `Settings.judgment_params()`. answers: model -> answer file. opponents: the
    same of baselines and reference. games: model -> games to be played. resources: as asked of
    Snakemake, `gpus` among them. judge: `Settings.server_settings()`.
    """

    batch: str
    run: str
    models: tuple[str, ...]
    settings: str
    requests: str
    root: str
    questions: str
    answers: Mapping[str, str]
    opponents: Mapping[str, str]
    params: Mapping[str, Any]
    judge: Mapping[str, Any]
    games: Mapping[str, float] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)
    gpu_hour_cost: float | None = None
    time: float | None = None

    def to_json(self) -> dict[str, Any]:
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return plain | {"models": list(self.models), "time": iso(self.time)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], name: str) -> "BatchPlan":
        """name: of the file; the name of a batch of the first version is `<run>-<number>`."""
        settings = text_of(plain.get("settings")) or ""
        return cls(
            batch=name,
            run=text_of(plain.get("run")) or name.rpartition("-")[0],
            models=tuple(filter(text_of, list_of(plain.get("models")))),
            settings=settings,
            requests=text_of(plain.get("requests")) or settings,
            root=text_of(plain.get("root")) or "",
            questions=text_of(plain.get("questions")) or "",
            answers=dict_of(plain.get("answers")),
            opponents=dict_of(plain.get("opponents")),
            params=dict_of(plain.get("params")),
            judge=dict_of(plain.get("judge")),
            games=numbers_of(plain.get("games")),
            resources=dict_of(plain.get("resources")),
            budget=numbers_of(plain.get("budget")),
            gpu_hour_cost=number_of(plain.get("gpu_hour_cost")),
            time=epoch(plain.get("time")),
        )

    def roles(self, model: str) -> dict[str, str]:
        """Role -> path of all files that a model's judgments are made from."""
        others = {f"opponent {name}": path for name, path in self.opponents.items()}
        return {"answers": self.answers[model], "questions": self.questions, **others}

    @property
    def gpus(self) -> float:
        """GPUs that its job asks for."""
        return number_of(self.resources.get("gpus")) or 0

    @property
    def toy(self) -> bool:
        """Judged by the demo judge."""
        return self.judge.get("server") == "demo"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a batch: a Slurm job or a process. `stop` is None while it runs and where its
    work was done.

    launched, ready: of the judge, None where no game had to be asked. latest: what an attempt that
    wrote no end cannot have outlived; derived when read, in no file.
    """

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
    restarts: tuple[str, ...] = ()  # causes
    log: str | None = None  # of the judge server
    judge: str | None = None
    server: str | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)  # resources of its job
    latest: float | None = None

    _TIMES = ("start", "launched", "ready", "first_game", "last_game", "end")

    @classmethod
    def here(cls, batch: str, run: str, **known: Any) -> "Attempt":
        """Of this process, beginning now."""
        return cls(
            batch,
            run,
            job=os.environ.get("SLURM_JOB_ID"),
            node=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            pid=os.getpid(),
            gpu_ids=next(filter(None, map(os.environ.get, GPU_IDS)), None),
            start=datetime.now(UTC).timestamp(),
            **known,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "run": self.run,
            "slurm_job_id": self.job,
            "node": self.node,
            "pid": self.pid,
            "gpus": self.gpus,
            "gpu_ids": self.gpu_ids,
            **{key: iso(getattr(self, key)) for key in self._TIMES},
            "kind": self.stop and str(self.stop.kind),
            "cause": self.stop and self.stop.text,
            "restarts": [{"cause": cause} for cause in self.restarts],
            "server_log": self.log,
            "judge": self.judge,
            "server": self.server,
            "asked": dict(self.asked),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], batch: str) -> "Attempt":
        cause, pid = text_of(plain.get("cause")), number_of(plain.get("pid"))
        restarts = [dict_of(restart).get("cause") for restart in list_of(plain.get("restarts"))]
        return cls(
            batch=batch,
            run=text_of(plain.get("run")),
            job=str(plain["slurm_job_id"]) if plain.get("slurm_job_id") else None,
            node=text_of(plain.get("node")),
            pid=pid if isinstance(pid, int) and pid > 0 else None,
            gpus=number_of(plain.get("gpus")),
            gpu_ids=text_of(plain.get("gpu_ids")),
            **{key: epoch(plain.get(key)) for key in cls._TIMES},
            stop=None if cause is None else Stop(_old_kind(plain.get("kind"), cause), cause),
            restarts=tuple(text_of(cause) or "unknown cause" for cause in restarts),
            log=text_of(plain.get("server_log")),
            judge=text_of(plain.get("judge")),
            server=text_of(plain.get("server")),
            asked=dict_of(plain.get("asked")),
        )

    @property
    def failed(self) -> bool:
        return self.stop is not None

    def until(self, now: float) -> float:
        """Its end; of one that wrote none, now or what it cannot have outlived."""
        if self.end is not None:
            return self.end
        return now if self.latest is None else min(now, self.latest)

    def held(self, now: float) -> float:
        """Seconds so far."""
        return 0.0 if self.start is None else max(0.0, self.until(now) - self.start)

    def gpu_hours(self, now: float, gpus: float) -> float:
        """GPU hours held so far; `gpus` where the record does not say how many."""
        return self.held(now) / 3600 * (gpus if self.gpus is None else self.gpus)


def _old_kind(kind: Any, cause: str) -> StopKind:
    """The first version wrote no kinds, and one cause that was a word."""
    if kind is None and cause == "walltime":
        return StopKind.WALLTIME
    return _kind(kind)


class AttemptLog:
    """Writes the record of the attempt that runs here: `logs/<batch>/batch.json`."""

    def __init__(self, path: Path | None, attempt: Attempt) -> None:
        """path: None keeps no record."""
        self.path = path
        self.attempt = attempt
        self._write(_completed(one) for one in self._read())

    def note(self, **changes: Any) -> None:
        """Change fields, on disk at once."""
        self.attempt = replace(self.attempt, **changes)
        self._write(self._read())

    def _read(self) -> list[Attempt]:
        return read_attempts(self.path) if self.path else []

    def _write(self, attempts: Iterable[Attempt]) -> None:
        """With the others as they are by now: the job of a dead run may play on beside us."""
        if self.path is None:
            return
        others = [one for one in attempts if not _is_same(one, self.attempt)]
        *earlier, newest = sorted([*others, self.attempt], key=lambda one: one.start or 0)
        content = newest.to_json() | {"earlier": [one.to_json() for one in earlier]}
        try:
            write_atomic(self.path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:  # for onlookers only: no reason for a batch to die
            print(f"cannot write {self.path}: {error}", file=sys.stderr, flush=True)

    def restarted(self, cause: str) -> None:
        self.note(restarts=(*self.attempt.restarts, cause))

    def ended(self, stop: Stop | None) -> None:
        """Its end; the first cause stands."""
        if self.attempt.end is None:
            self.note(end=datetime.now(UTC).timestamp(), stop=stop)


def write_killed(path: Path, pid: int) -> None:
    """Write the end of the attempt that was process `pid` and was killed.

    Nothing is written where it wrote an end itself, or a later attempt has its record there.
    """
    attempts = read_attempts(path)
    if not attempts or attempts[-1].pid != pid or attempts[-1].end is not None:
        return
    stop = Stop(StopKind.KILLED, "the process of the batch was killed")
    last = replace(attempts[-1], end=datetime.now(UTC).timestamp(), stop=stop)
    content = last.to_json() | {"earlier": [one.to_json() for one in attempts[:-1]]}
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_attempts(path: Path) -> list[Attempt]:
    """All attempts of a batch, oldest first; [] where there is no readable record."""
    plain = read_json(path) or {}
    name = path.parent.name
    earlier = [Attempt.from_json(one, name) for one in map(dict_of, list_of(plain.get("earlier")))]
    return [*earlier, Attempt.from_json(plain, name)] if plain else []


def _is_same(one: Attempt, other: Attempt) -> bool:
    """The file keeps milliseconds of the start."""
    near = abs((one.start or 0) - (other.start or 0)) < 0.01
    return near and (one.job, one.node, one.pid) == (other.job, other.node, other.pid)


def _completed(former: Attempt) -> Attempt:
    """An attempt that could not write down its end, with what Slurm's accounting says of it.

    Under proctrack/cgroup Slurm tells only the first process of a job that it will end; all others
    are killed.
    """
    unknown = former.end is None or (former.stop and former.stop.kind is StopKind.KILLED)
    if not unknown or former.job is None or former.start is None:
        return former
    for state, start, end in slurm.ended([former.job]).get(former.job, []):
        if start <= former.start + 1 and former.start <= end:
            if former.end is not None and state in ("FAILED", "COMPLETED"):
                break  # not Slurm's doing
            return replace(former, end=end, stop=stop_by_slurm(state))
    return former


def stop_by_slurm(word: str) -> Stop:
    """An end that was Slurm's doing, by sacct's state or squeue's reason."""
    if word in ("TIMEOUT", "TimeLimit"):
        return Stop(StopKind.WALLTIME, "its walltime ended (TIMEOUT)")
    return Stop(StopKind.SLURM, f"Slurm ended the job ({word})")


@dataclass(frozen=True)
class ModelStatus:
    """One model of a batch. games: all that it has. states: of those that have ended, by name.

    stop: why it is not complete, once the batch has given it up or ended.
    """

    games: int
    states: Mapping[str, float] = field(default_factory=dict)
    stop: Stop | None = None

    @property
    def played(self) -> int:
        return int(sum(self.states.values()))


@dataclass(frozen=True)
class Status:
    """Where a batch stands. judge: "not needed", "starting", "ready", "restarting" or "ended".

    open: requests under way. remark: what it would say if it were asked now ("" for nothing).
    """

    time: float
    judge: str
    models: Mapping[str, ModelStatus]
    open: int = 0
    remark: str = ""

    def write(self, path: Path) -> None:
        models = {
            name: {
                "games": one.games,
                "states": one.states,
                "stop": one.stop and one.stop.to_json(),
            }
            for name, one in self.models.items()
        }
        content: dict[str, Any] = {"time": iso(self.time), "judge": self.judge, "open": self.open}
        content |= {"remark": self.remark, "models": models}
        write_atomic(path, json.dumps(content, ensure_ascii=False) + "\n", durable=False)

    @classmethod
    def read(cls, path: Path) -> "Status | None":
        """None where there is no readable status."""
        plain = read_json(path)
        time = epoch((plain or {}).get("time"))
        if not plain or time is None:
            return None
        models = {
            name: ModelStatus(
                int(number_of(one.get("games")) or 0),
                numbers_of(one.get("states")),
                Stop.from_json(one.get("stop")),
            )
            for name, one in dict_of(plain.get("models")).items()
            if isinstance(one, dict)
        }
        judge, remark = text_of(plain.get("judge")), text_of(plain.get("remark"))
        open_now = int(number_of(plain.get("open")) or 0)
        return cls(time, judge or "", models, open_now, remark or "")


@dataclass(frozen=True)
class RunStop:
    """Why a run submits nothing more: the judge cannot start, or the budget is used up.

    A new run has another name and tries again.
    """

    stop: Stop
    batch: str
    node: str | None
    log: str | None

    def write(self, path: Path) -> None:
        content = {**self.stop.to_json(), "batch": self.batch, "node": self.node, "log": self.log}
        write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> "RunStop | None":
        plain = read_json(path) or {}
        stop = Stop.from_json(plain)
        if stop is None:
            return None
        batch = text_of(plain.get("batch")) or ""
        return cls(stop, batch, text_of(plain.get("node")), text_of(plain.get("log")))

    def __str__(self) -> str:
        log = f", {self.log}" if self.log else ""
        return f"{self.stop.text} (seen by batch {self.batch} on {self.node}{log})"


@dataclass(frozen=True)
class Batch:
    """A batch as its files tell: its plan, its attempts (oldest first), its newest status."""

    plan: BatchPlan
    attempts: tuple[Attempt, ...] = ()
    status: Status | None = None
    unreadable: tuple[str, ...] = ()  # files

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
        """Whether it only makes judgments of complete journals, without a job or an attempt."""
        return self.name.startswith(REPLAY)

    @property
    def since(self) -> float | None:
        """When it was planned last; of one whose plan is gone, when its first attempt began."""
        return self.plan.time or (self.attempts[0].start if self.attempts else None)

    @property
    def attempt(self) -> Attempt | None:
        """The newest one."""
        return self.attempts[-1] if self.attempts else None

    @property
    def gpus(self) -> float:
        """GPUs of its job: those given, else those asked for."""
        given = [attempt.gpus for attempt in self.attempts if attempt.gpus is not None]
        return given[-1] if given else self.plan.gpus

    def gpu_hours(self, now: float, run: str | None = None) -> float:
        """GPU hours held so far; of one run's attempts alone where it is named."""
        wanted = [a for a in self.attempts if run is None or (a.run or self.run) == run]
        return sum(attempt.gpu_hours(now, self.gpus) for attempt in wanted)


def read_batches(root: Path) -> list[Batch]:
    """All batches below a results folder, those planned first first."""
    layout = Layout(root)
    batches = [_read(layout, name) for name in layout.batch_names()]
    known = [batch for batch in batches if batch.models or batch.attempts or batch.unreadable]
    return sorted(known, key=lambda batch: (batch.run, batch.since or 0, batch.name))


def newest_run(batches: list[Batch]) -> str | None:
    return max((batch.run for batch in batches), default=None)


def is_dead(attempt: Attempt) -> bool:
    """True for a process of this machine that is there no more. Of a Slurm job only Slurm knows."""
    here = attempt.node in (socket.gethostname(), socket.getfqdn())
    if attempt.job is not None or attempt.pid is None or not here:
        return False
    try:
        os.kill(attempt.pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # alive, of another user
        return False
    return False


def read_json(path: Path) -> dict[str, Any] | None:
    """{} where there is no file, None where it is no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read(layout: Layout, name: str) -> Batch:
    files = layout.batch(name), layout.attempts(name)
    plain, record = map(read_json, files)
    broken = [str(path) for path, got in zip(files, (plain, record), strict=True) if got is None]
    plan = BatchPlan.from_json(plain or {}, name)
    attempts = _bounded(read_attempts(files[1]), plan, layout.logs(name))
    return Batch(plan, attempts, Status.read(layout.status(name)), tuple(broken))


def _bounded(attempts: list[Attempt], plan: BatchPlan, logs: Path) -> tuple[Attempt, ...]:
    """Attempts that wrote no end, each with what it cannot have outlived.

    "runtime" is the walltime in minutes. In the first version the plan has that of the first
    attempt, and later ones asked for more.
    """
    first = number_of(plan.resources.get("runtime"))
    for number, attempt in enumerate(attempts):
        minutes = number_of(attempt.asked.get("runtime")) or (first and first * (number + 1))
        if attempt.start is None or attempt.end is not None:
            continue
        latest = [later.start for later in attempts[number + 1 :] if later.start is not None][:1]
        if attempt.job is not None and minutes is not None:
            latest.append(attempt.start + 60 * minutes)
        if is_dead(attempt):  # it and its judge wrote to their logs as long as they lived
            written = [path.stat().st_mtime for path in logs.glob("*") if path.exists()]
            latest.append(max([attempt.start, *written]))
        attempts[number] = replace(attempt, latest=min(latest, default=None))
    return tuple(attempts)
