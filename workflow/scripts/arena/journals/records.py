"""The JSON records of a campaign's batches: one class a file, for writers and readers.

| record | file (see `arena.data.layout`) | written by |
| --- | --- | --- |
| BatchPlan | batches/<batch>.json | the main process, before it submits the batch's job |
| Attempt (batches.py) | logs/<batch>/batch.json, former attempts in `earlier` | the job |
| Status | logs/<batch>/status.json | the job, every few seconds |
| RunStop | batches/<run>.stop.json | the first job that finds a reason to stop the run |

A file of another version may lack keys, which get the default, or have more; with a value of a
wrong type it is unreadable. Times are seconds since 1970 here, ISO 8601 in files.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import msgspec

from arena.data.layout import ANSWERS, JUDGMENTS, Stage
from arena.data.questions import Pilot
from arena.support.coerce import dict_of, epoch, iso
from arena.support.jsonl import write_atomic

REPLAY = "replay-"  # prefix of batches that only make judgments of complete journals
TIMES = {"time", "start", "launched", "ready", "end"}
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # above it JSON readers differ

T = TypeVar("T")


class StopKind(StrEnum):
    """Why an attempt of a batch, or one of its models, ended before its work was done."""

    JUDGE_START = "judge_start"  # the judge starts on no node: the whole run stops
    JUDGE_HERE = "judge_here"  # it does not start here; it may on another node or on a retry
    JUDGE_DIED = "judge_died"  # it was ready once, and died too often
    NO_VERDICT = "no_verdict"  # no reply has a verdict: the whole run stops
    JUDGE_REFUSES = "judge_refuses"  # our requests or our key: asking on is useless
    OPEN_GAMES = "open_games"  # games that failed on every try
    BUDGET = "budget"  # the run's budget is used up: the whole run stops
    WALLTIME = "walltime"
    HELD = "held"  # another process has locked the journals of these models
    STOPPED = "stopped"  # by a signal: scancel, Ctrl-C
    SLURM = "slurm"  # Slurm ended the job: preempted, node failed, out of memory
    DATA = "data"  # questions, answers or judgments
    JOURNAL = "journal"  # full disk, a second writer
    KILLED = "killed"  # the process did not record its end itself
    ERROR = "error"  # none of the above: a bug of ours
    UNKNOWN = "unknown"  # recorded by another version

    @classmethod
    def _missing_(cls, _: object) -> "StopKind":
        return cls.UNKNOWN

    @property
    def ends_run(self) -> bool:
        """Whether every other batch of the run would fail for the same reason."""
        return self in (StopKind.JUDGE_START, StopKind.NO_VERDICT, StopKind.BUDGET)


@dataclass(frozen=True)
class Stop:
    """Why something ended. kind: for programs. text: for people, with what to do about it."""

    kind: StopKind
    text: str


def decode(kind: type[T], plain: Mapping[str, Any]) -> T:
    """A record of this kind from a JSON object. Raises ValueError for a value of a wrong type."""
    times = {name: epoch(plain[name]) for name in TIMES & plain.keys()}
    return msgspec.convert({**plain, **times}, kind)


def encode(record: Any) -> dict[str, Any]:
    plain = msgspec.to_builtins(record)
    return plain | {name: iso(plain[name]) for name in TIMES & plain.keys()}


def write_json(path: Path, plain: Mapping[str, Any], *, durable: bool = True) -> None:
    text = json.dumps(plain, indent=1 if durable else None, ensure_ascii=False)
    write_atomic(path, text + "\n", durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} where there is none or it cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return dict_of(json.loads(path.read_text(encoding="utf-8")))
    return {}


class JsonFile:
    """A record with a file of its own."""

    def write(self, path: Path, *, durable: bool = True) -> None:
        write_json(path, encode(self), durable=durable)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None where there is no file or it cannot be read."""
        with contextlib.suppress(ValueError):
            return decode(cls, read_json(path))
        return None


@dataclass(frozen=True)
class BatchPlan(JsonFile):
    """All that a batch's job, and whoever watches it, needs to know; it never contains a key.

    settings, requests: digests of what determines the judgments, and the judge's replies. root:
    results folder. answers, opponents: model -> answer file (opponents: baselines and reference).
    params: `Settings.judgment_params()`. judge: `Settings.server_settings()`. servings: in a batch
    of answers, the servers to start one after the other, each with `models` and `server`. beside:
    results folders filled by the same run, whose games count towards the budget. games: model ->
    games to play. resources: as requested from Snakemake. main: host, pid and Slurm job of the
    run's main process.
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
    games: Mapping[str, Count] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, int | float] = field(default_factory=dict)
    gpu_hour_cost: float | None = None
    time: float | None = None
    main: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pilot(self) -> Pilot | None:
        """The part of the questions that is asked, None for all."""
        plain = self.params.get("pilot")
        return Pilot(**plain) if plain else None

    @property
    def stage(self) -> Stage:
        return ANSWERS if "writers" in self.params else JUDGMENTS

    @property
    def toy(self) -> bool:
        return self.judge.get("server") == "demo"


@dataclass
class ModelStatus:
    """One model of a batch. games: all of its games. states: state -> number of finished games.
    stop: why it is incomplete, once the batch has dropped it or ended."""

    games: Count = 0
    states: Mapping[str, Count] = field(default_factory=dict)
    stop: Stop | None = None

    @property
    def played(self) -> int:
        return sum(self.states.values())


@dataclass
class Status(JsonFile):
    """Progress of a batch. judge: "not needed", "starting", "ready", "restarting" or "ended".
    open: requests in flight. remark: its current problem, "" for none."""

    time: float
    judge: str = ""
    models: dict[str, ModelStatus] = field(default_factory=dict)
    open: Count = 0
    remark: str = ""


@dataclass(frozen=True)
class RunStop(Stop, JsonFile):
    """Why a run submits no more jobs (no judge, no budget); a new run tries again."""

    batch: str = ""
    node: str | None = None
    log: str | None = None

    def __str__(self) -> str:
        log = f", {self.log}" if self.log else ""
        return f"{self.text} (detected by batch {self.batch} on {self.node}{log})"
