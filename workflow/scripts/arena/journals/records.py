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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import psutil

from arena.data.layout import Layout
from arena.data.questions import Pilot
from arena.data.stage import ANSWERS, JUDGMENTS, Stage
from arena.support import slurm
from arena.support.coerce import count_of, dict_of, list_of, number_of, numbers_of, text_of
from arena.support.jsonl import write_atomic
from arena.support.times import epoch, iso

# As the node numbers its GPUs: of our step (Snakemake's takes the job's away), or of the job; then
# as the job sees them, which under cgroups begin at 0.
GPU_IDS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES")
REPLAY = "replay-"  # begins the name of a batch of complete models
MOST_PID = 2**31 - 1

T = TypeVar("T")


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

    @classmethod
    def _missing_(cls, _: object) -> "StopKind":
        return cls.UNKNOWN

    @property
    def ends_run(self) -> bool:
        """Whether no other batch of the run can do better."""
        return self in (StopKind.JUDGE_START, StopKind.NO_VERDICT, StopKind.BUDGET)


@dataclass(frozen=True)
class Stop:
    """Why something ended. kind: for programs. text: for people, with what to do."""

    kind: StopKind
    text: str

    @classmethod
    def from_json(cls, plain: Any) -> "Stop | None":
        text = text_of(dict_of(plain).get("text"))
        return None if text is None else cls(StopKind(plain.get("kind")), text)


TIMES = {"time", "start", "launched", "ready", "first_game", "last_game", "end"}
# What reads a value, by the type of its field; None of one that is odd.
READ: dict[Any, Callable[[Any], Any]] = {
    str: text_of,
    str | None: text_of,
    int: count_of,
    float: number_of,
    float | None: number_of,
    Stop | None: Stop.from_json,
    tuple[Mapping[str, Any], ...]: lambda value: tuple(map(dict_of, list_of(value))),
    tuple[str, ...]: lambda value: tuple(filter(text_of, list_of(value))),
    Mapping[str, str]: dict_of,
    Mapping[str, Any]: dict_of,
    Mapping[str, float]: numbers_of,
}


@cache
def _readers(kind: Any) -> dict[str, Callable[[Any], Any]]:
    hints = {name: hint for name, hint in get_type_hints(kind).items() if hint in READ}
    return {name: epoch if name in TIMES else READ[hint] for name, hint in hints.items()}


def decode(kind: Callable[..., T], plain: Any, **known: Any) -> T:
    """A record of this kind from a JSON object; what is missing or odd has the field's default."""
    values = {name: read(dict_of(plain).get(name)) for name, read in _readers(kind).items()}
    return kind(**{name: value for name, value in values.items() if value is not None} | known)


def encode(record: Any) -> dict[str, Any]:
    """The JSON object of a record."""
    return {name: iso(one) if name in TIMES else one for name, one in asdict(record).items()}


def write_json(path: Path, plain: Mapping[str, Any], *, durable: bool = True) -> None:
    text = json.dumps(plain, indent=1 if durable else None, ensure_ascii=False)
    write_atomic(path, text + "\n", durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """{} where there is no file, None where it is no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True)
class BatchPlan:
    """All that a batch's job needs to know, and whoever looks on. Holds no key of any server.

    settings, requests: digests of what determines the judgments and of what determines the judge's
    replies. params: `Settings.judgment_params()`. answers: model -> answer file. opponents: the
    same of baselines and reference. games: model -> games to be played. resources: as asked of
    Snakemake, `gpus` among them. judge: `Settings.server_settings()`. servings: of a batch of
    answers, the servers to be started one after the other, each with `models` and `server`. beside:
    results folders that the same run fills, and whose games its budget counts as well.
    """

    batch: str
    run: str = ""
    models: tuple[str, ...] = ()
    settings: str = ""
    requests: str = ""
    root: str = ""
    questions: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    opponents: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    judge: Mapping[str, Any] = field(default_factory=dict)
    servings: tuple[Mapping[str, Any], ...] = ()
    beside: tuple[str, ...] = ()
    games: Mapping[str, float] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)
    gpu_hour_cost: float | None = None
    time: float | None = None
    main: Mapping[str, Any] = field(default_factory=dict)  # host, pid, Slurm job of the run's head

    def to_json(self) -> dict[str, Any]:
        return encode(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], name: str) -> "BatchPlan":
        """name: of the file; the name of a batch of the first version is `<run>-<number>`."""
        plan = decode(cls, plain, batch=name)
        run = plan.run or name.rpartition("-")[0]
        return replace(plan, run=run, requests=plan.requests or plan.settings)

    def roles(self, model: str) -> dict[str, str]:
        """Role -> path of all files that a model's judgments are made from."""
        others = {f"opponent {name}": path for name, path in self.opponents.items()}
        return {"answers": self.answers[model], "questions": self.questions, **others}

    @property
    def pilot(self) -> Pilot | None:
        """The part of the questions that is asked; None: all."""
        plain = self.params.get("pilot")
        return Pilot(**plain) if plain else None

    @property
    def gpus(self) -> float:
        """GPUs that its job asks for."""
        return number_of(self.resources.get("gpus")) or 0

    @property
    def stage(self) -> Stage:
        return ANSWERS if "writers" in self.params else JUDGMENTS

    @property
    def toy(self) -> bool:
        """Judged by the demo judge."""
        return self.judge.get("server") == "demo"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a batch: a Slurm job or a process. stop: None while it runs and where its work
    was done. launched, ready: of the judge, None where no game had to be asked. latest: what one
    that wrote no end cannot have outlived; derived when read, in no file."""

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
            pid=pid if 0 < pid <= MOST_PID else None,
            stop=Stop.from_json({"kind": kind, "text": plain.get("cause")}),
            restarts=tuple(text_of(cause) or "unknown cause" for cause in restarts),
            log=text_of(plain.get("server_log")),
            latest=None,
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


class AttemptLog:
    """Writes the record of the attempt that runs here: `logs/<batch>/batch.json`."""

    def __init__(self, path: Path | None, attempt: Attempt) -> None:
        """path: None keeps no record."""
        self.path, self.attempt = path, attempt
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
        try:
            _write_attempts(self.path, [*others, self.attempt])
        except OSError as error:  # for onlookers only: no reason for a batch to die
            print(f"cannot write {self.path}: {error}", file=sys.stderr, flush=True)

    def restarted(self, cause: str) -> None:
        self.note(restarts=(*self.attempt.restarts, cause))

    def ended(self, stop: Stop | None) -> None:
        """Its end; the first cause stands."""
        if self.attempt.end is None:
            self.note(end=datetime.now(UTC).timestamp(), stop=stop)


def write_killed(path: Path, pid: int) -> None:
    """Write the end of the attempt that was process `pid` and was killed, unless it wrote one
    itself or a later attempt has its record there."""
    attempts = read_attempts(path)
    if attempts and attempts[-1].pid == pid and attempts[-1].end is None:
        stop = Stop(StopKind.KILLED, "the process of the batch was killed")
        last = replace(attempts[-1], end=datetime.now(UTC).timestamp(), stop=stop)
        _write_attempts(path, [*attempts[:-1], last])


def _write_attempts(path: Path, attempts: list[Attempt]) -> None:
    ordered = sorted(attempts, key=lambda one: one.start or 0)
    *earlier, last = [one.to_json() for one in ordered]
    write_json(path, last | {"earlier": earlier})


def read_attempts(path: Path) -> list[Attempt]:
    """All attempts of a batch, oldest first; [] where there is no readable record."""
    plain = read_json(path)
    found = [*list_of(plain.get("earlier")), plain] if plain else []
    return [Attempt.from_json(dict_of(one), path.parent.name) for one in found]


def _is_same(one: Attempt, other: Attempt) -> bool:
    """The file keeps milliseconds of the start."""
    near = abs((one.start or 0) - (other.start or 0)) < 0.01
    return near and (one.job, one.node, one.pid) == (other.job, other.node, other.pid)


def _completed(former: Attempt) -> Attempt:
    """An attempt that could not write down its end, with what Slurm's accounting says of it: under
    proctrack/cgroup only the first process of a job is told that it will end, others are killed.
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
    stop: why it is not complete, once the batch has given it up or ended."""

    games: int = 0
    states: Mapping[str, float] = field(default_factory=dict)
    stop: Stop | None = None

    @property
    def played(self) -> int:
        return int(sum(self.states.values()))


@dataclass(frozen=True)
class Status:
    """Where a batch stands. judge: "not needed", "starting", "ready", "restarting" or "ended".
    open: requests under way. remark: what it would say if it were asked now ("" for nothing)."""

    time: float
    judge: str = ""
    models: Mapping[str, ModelStatus] = field(default_factory=dict)
    open: int = 0
    remark: str = ""

    def write(self, path: Path) -> None:
        write_json(path, encode(self), durable=False)

    @classmethod
    def read(cls, path: Path) -> "Status | None":
        """None where there is no readable status."""
        plain = read_json(path) or {}
        models = {
            name: decode(ModelStatus, one)
            for name, one in dict_of(plain.get("models")).items()
            if isinstance(one, dict)
        }
        return None if epoch(plain.get("time")) is None else decode(cls, plain, models=models)


@dataclass(frozen=True)
class RunStop:
    """Why a run submits nothing more: no judge, no budget. A new run, of another name, tries."""

    stop: Stop
    batch: str = ""
    node: str | None = None
    log: str | None = None

    def write(self, path: Path) -> None:
        plain = encode(self)
        write_json(path, plain.pop("stop") | plain)

    @classmethod
    def read(cls, path: Path) -> "RunStop | None":
        plain = read_json(path)
        stop = Stop.from_json(plain)
        return decode(cls, plain, stop=stop) if stop else None

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
        """It only makes judgments of complete journals, without a job or an attempt."""
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
    return not psutil.pid_exists(attempt.pid)


def _read(layout: Layout, name: str) -> Batch:
    files = layout.batch(name), layout.attempts(name)
    plain, record = map(read_json, files)
    broken = [str(path) for path, got in zip(files, (plain, record), strict=True) if got is None]
    plan = BatchPlan.from_json(plain or {}, name)
    attempts = _bounded(read_attempts(files[1]), plan, layout.logs(name))
    return Batch(plan, attempts, Status.read(layout.status(name)), tuple(broken))


def _bounded(attempts: list[Attempt], plan: BatchPlan, logs: Path) -> tuple[Attempt, ...]:
    """Attempts that wrote no end, each with what it cannot have outlived."""
    # Minutes. In the first version the plan has those of the first attempt; later ones asked more.
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
