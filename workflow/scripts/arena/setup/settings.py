"""The settings of a campaign, complete: `arena.setup.resolve` makes them from config.yaml.

What changes a judgment is in `Settings.judgment_params`; nothing else may cause judging again.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.data.prompts import of_category
from arena.data.questions import Pilot, Question, read_questions
from arena.setup.upstream import DEFAULT_EFFORT, THINKING, Upstream

if TYPE_CHECKING:
    from arena.setup.answers import Answers

# What a batch's job needs to know of the judge server; nothing that changes a judgment.
SERVER_KEYS = (
    *("name", "server", "path", "setup", "command", "env", "endpoints", "api_config", "parallel"),
    *("timeout_s", "max_restarts", "ready_minutes", "api_type", "no_verdict_limit"),
)

DEFAULTS: dict[str, Any] = {
    "data_dir": "data",
    "results_dir": "results",
    "batch_size": 10,  # the best use of one server's cache: see docs/traffic.md
    "retries": 2,
    "seed": 42,
    "missing_answers": "skip",
    "baseline_gaps": "drop",
    "temperature": 0.0,
    "max_tokens": 4096,
    "max_restarts": 3,
    "no_verdict_limit": 20,  # with a good judge about 1 game in 100 has no verdict
    "ready_minutes": 30,  # a 70B from a busy parallel file system took up to 20
    "start_minutes": 20,
    "minutes_per_model": 12,  # 70B FP8 on one H100: 1,500 games at about 2 a second
    "max_minutes": math.inf,
    "weight": 3,
    "rounds": 1000,
    "ci": "questions",
    "control_features": [],
    "steps": None,
    "ranks": "simultaneous",
    "tokens": False,
}
WALLTIME = ("start_minutes", "minutes_per_model", "max_minutes")


def with_defaults(block: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: block.get(key, DEFAULTS[key]) for key in keys}


def first_set(key: str, *blocks: Mapping[str, Any]) -> Any:
    """The first value that is not null, else the default, else None."""
    found = (block[key] for block in blocks if block.get(key) is not None)
    return next(found, DEFAULTS.get(key))


@dataclass(frozen=True)
class Settings:
    """Everything that the rules need; paths are relative to the working directory."""

    bench: str
    questions: Path
    answers_dir: Path
    judgments_dir: Path  # of this judge
    root: Path  # <results_dir>/<bench>/<judge>
    models: tuple[str, ...]
    selected: tuple[str, ...]  # `only`, or all models
    baselines: dict[str, str]  # category -> model; "*" stands for every other category
    judge: dict[str, Any]
    batch_size: int
    retries: int
    seed: int
    missing_answers: str
    baseline_gaps: str
    walltime: dict[str, float]
    budget: dict[str, float]
    gpu_hour_cost: float | None
    leaderboard: dict[str, Any]
    odd_names: tuple[str, ...] = ()  # models whose names cannot be file names: left out
    upstream: Upstream | None = field(repr=False, default=None)
    prompts: dict[str, Any] = field(repr=False, default_factory=dict)
    answers: "Answers | None" = None  # None: existing answers are used
    pilot: Pilot | None = None  # None: all questions are asked
    categories: frozenset[str] = frozenset()  # of the questions asked; empty if unreadable

    def answer(self, model: str) -> str:
        path = self.answers_dir / f"{model}.jsonl"
        made = self.answers.folder if self.answers and model in self.answers.writers else None
        return str(path if made is None or path.exists() else made / path.name)

    def judgment(self, model: str) -> str:
        return str(self.judgments_dir / f"{model}.jsonl")

    def asked(self) -> list[Question]:
        """The questions that are asked. Raises DataError."""
        return read_questions(self.questions, self.pilot)

    @property
    def pilot_params(self) -> dict[str, Any] | None:
        """The pilot as plain JSON, for `BatchPlan.params`."""
        return asdict(self.pilot) if self.pilot else None

    def pilot_note(self) -> list[str]:
        """The note below every table of a pilot; [] where all questions are asked."""
        return [self.pilot.text(read_questions(self.questions))] if self.pilot else []

    def opponents(self) -> list[tuple[str, str]]:
        """Baselines and the reference, each with its answer file."""
        names = dict.fromkeys([*self.baseline_models, self.judge["reference"]])
        return [(name, self.answer(name)) for name in names if name]

    def roles(self, model: str) -> dict[str, str]:
        """Role -> path of each file that a model's judgments depend on."""
        others = {f"opponent {name}": path for name, path in self.opponents()}
        return {"answers": self.answer(model), "questions": str(self.questions), **others}

    @property
    def toy(self) -> bool:
        """True for the embedded demo judge; every output must call it a toy."""
        return self.judge["server"] == "demo"

    @property
    def baseline_models(self) -> list[str]:
        """Baselines of the categories that are asked."""
        asked = {of_category(self.baselines, category) for category in self.categories}
        return sorted(filter(None, asked)) or sorted(set(self.baselines.values()))

    def job_minutes(self, models: int, attempt: int = 1) -> float:
        """Walltime of a job for so many models."""
        return job_minutes(self.walltime, models, 1, attempt)

    def judgment_params(self) -> dict[str, Any]:
        """What determines a judgment besides its input files; plain JSON for `GameSettings`."""
        keys = ("temperature", "max_tokens", "sampling", "reference", "ask_again")
        name = self.judge["name"]
        # Other names of the judge at its endpoints. No key without any: it would change digests.
        names = {end.get("model") or name for end in self.judge["endpoints"] or ()} - {name}
        return {
            "judge": name,
            **{key: self.judge[key] for key in keys},
            "baseline": self.baselines,
            **self.prompts,
            "toy": self.toy,
            **({"served_as": sorted(names)} if names else {}),
            **({"fold_system": True} if self.judge.get("fold_system") else {}),
            **({"pilot": self.pilot_params} if self.pilot else {}),
        }

    @cached_property
    def digest(self) -> str:
        """Digest of `judgment_params`: judgments of the same digest and files are the same."""
        return _digest(self.judgment_params())

    @property
    def requests_digest(self) -> str:
        """Digest of what a single reply depends on: not how it is read, nor which are asked for."""
        reading = ("patterns", "ask_again", "pilot")
        return _digest({k: v for k, v in self.judgment_params().items() if k not in reading})

    def server_settings(self) -> dict[str, Any]:
        """What a batch's job needs besides; no judgment depends on it."""
        return {key: self.judge[key] for key in SERVER_KEYS} | {"seed": self.seed}


def request_params(ours: Mapping[str, Any], *theirs: Mapping[str, Any]) -> dict[str, Any]:
    """`temperature`, `max_tokens` and `sampling` of a block of config.yaml.

    theirs: from Arena-Hard-Auto's files, the block of api_config.yaml last.
    """
    block, sampling = theirs[-1], ours.get("sampling") or {}
    # unlike elsewhere null is a value: no temperature is sent
    stated = [source["temperature"] for source in (ours, *theirs) if "temperature" in source]
    temperature = [*stated, DEFAULTS["temperature"]][0]
    max_tokens = int(first_set("max_tokens", ours, *theirs))
    if (ours.get("api_type") or block.get("api_type")) == THINKING:
        effort = block.get("reasoning_effort") or DEFAULT_EFFORT
        sampling = {"reasoning_effort": effort, "max_completion_tokens": max_tokens} | sampling
        temperature = ours.get("temperature")
    return {
        "temperature": None if temperature is None else float(temperature),
        "max_tokens": max_tokens,
        "sampling": sampling,
    }


def job_minutes(walltime: Mapping[str, float], models: int, starts: int, attempt: int) -> float:
    """Walltime of a job that starts so many servers; each attempt requests more."""
    asked = walltime["start_minutes"] * starts + walltime["minutes_per_model"] * models
    return min(asked * attempt, walltime["max_minutes"])


def job_notes(settings: Settings) -> list[str]:
    """Warnings about settings that would probably make every job of a vLLM judge fail."""
    notes, walltime = [], settings.walltime
    least = walltime["start_minutes"] + walltime["minutes_per_model"]
    if walltime["max_minutes"] < least:
        notes.append(
            f"walltime.max_minutes: {walltime['max_minutes']:g} is less than start_minutes + "
            f"minutes_per_model ({least:g}): a job may time out before it has judged one model"
        )
    path = settings.judge["path"] if settings.judge["server"] == "vllm" else None
    # a name on the Hugging Face hub is org/name; every other path with a slash is a folder
    if path and (path[0] in "/.~" or path.count("/") > 1) and not Path(path).exists():
        notes.append(
            f"judge.path: {path} does not exist on this machine; it must exist on the GPU nodes"
        )
    return notes


def _digest(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
