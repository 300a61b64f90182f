"""The JSON records of a campaign's batches: one class a file, for writers and readers.

| record | file (see `arena.data.layout`) | written by |
| --- | --- | --- |
| BatchPlan | batches/<batch>.json | the main process, before it submits the batch's job |
| Attempt (attempts.py) | logs/<batch>/batch.json, former attempts in `earlier` | the job |
| Status | logs/<batch>/status.json | the job, every few seconds |
| RunStop | batches/<run>.stop.json | the first job that finds a reason to stop the run |

A reader may see a file of another version, or while it is written: missing keys and values of a
wrong type get the default, never an error. Times are seconds since 1970 here, ISO 8601 in files.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from arena.data.questions import Pilot
from arena.data.stage import ANSWERS, JUDGMENTS, Stage
from arena.support.coerce import count_of, dict_of, list_of, number_of, numbers_of, text_of
from arena.support.jsonl import write_atomic
from arena.support.times import epoch, iso

REPLAY = "replay-"  # prefix of batches that only make judgments of complete journals

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

    @classmethod
    def from_json(cls, plain: Any) -> "Stop | None":
        text = text_of(dict_of(plain).get("text"))
        return None if text is None else cls(StopKind(plain.get("kind")), text)


TIMES = {"time", "start", "launched", "ready", "first_game", "last_game", "end"}
# How a value is read, by the type of its field; None for a value of a wrong type.
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
    """A record of this kind from a JSON object; missing or wrong values get the default."""
    values = {name: read(dict_of(plain).get(name)) for name, read in _readers(kind).items()}
    return kind(**{name: value for name, value in values.items() if value is not None} | known)


def encode(record: Any) -> dict[str, Any]:
    return {name: iso(one) if name in TIMES else one for name, one in asdict(record).items()}


def write_json(path: Path, plain: Mapping[str, Any], *, durable: bool = True) -> None:
    text = json.dumps(plain, indent=1 if durable else None, ensure_ascii=False)
    write_atomic(path, text + "\n", durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; {} where there is no file, None where it cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True)
class BatchPlan:
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
    games: Mapping[str, float] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)
    gpu_hour_cost: float | None = None
    time: float | None = None
    main: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return encode(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], name: str) -> "BatchPlan":
        """name: of the batch; the first version called it `<run>-<number>`."""
        plan = decode(cls, plain, batch=name)
        run = plan.run or name.rpartition("-")[0]
        return replace(plan, run=run, requests=plan.requests or plan.settings)

    def roles(self, model: str) -> dict[str, str]:
        """Role -> path, for all files that a model's judgments are made from."""
        others = {f"opponent {name}": path for name, path in self.opponents.items()}
        return {"answers": self.answers[model], "questions": self.questions, **others}

    @property
    def pilot(self) -> Pilot | None:
        """The part of the questions that is asked, None for all."""
        plain = self.params.get("pilot")
        return Pilot(**plain) if plain else None

    @property
    def gpus(self) -> float:
        return number_of(self.resources.get("gpus")) or 0

    @property
    def stage(self) -> Stage:
        return ANSWERS if "writers" in self.params else JUDGMENTS

    @property
    def toy(self) -> bool:
        return self.judge.get("server") == "demo"


@dataclass(frozen=True)
class ModelStatus:
    """One model of a batch. games: all of its games. states: state -> number of finished games.
    stop: why it is incomplete, once the batch has dropped it or ended."""

    games: int = 0
    states: Mapping[str, float] = field(default_factory=dict)
    stop: Stop | None = None

    @property
    def played(self) -> int:
        return int(sum(self.states.values()))


@dataclass(frozen=True)
class Status:
    """Progress of a batch. judge: "not needed", "starting", "ready", "restarting" or "ended".
    open: requests in flight. remark: its current problem, "" for none."""

    time: float
    judge: str = ""
    models: Mapping[str, ModelStatus] = field(default_factory=dict)
    open: int = 0
    remark: str = ""

    def write(self, path: Path) -> None:
        write_json(path, encode(self), durable=False)

    @classmethod
    def read(cls, path: Path) -> "Status | None":
        plain = read_json(path) or {}
        models = {
            name: decode(ModelStatus, one)
            for name, one in dict_of(plain.get("models")).items()
            if isinstance(one, dict)
        }
        return None if epoch(plain.get("time")) is None else decode(cls, plain, models=models)


@dataclass(frozen=True)
class RunStop:
    """Why a run submits no more jobs (no judge, no budget); a new run tries again."""

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
        return f"{self.stop.text} (detected by batch {self.batch} on {self.node}{log})"
