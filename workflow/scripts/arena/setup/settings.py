"""The settings of a campaign, complete: `arena.setup.resolve` makes them from config.yaml.

What changes a judgment is in `Settings.judgment_params`; nothing else may cause judging again.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.data.games import sha256_of
from arena.data.prompts import of_category
from arena.data.questions import Pilot, Question, read_questions
from arena.setup.upstream import DEFAULT_EFFORT, THINKING, Upstream
from arena.support.errors import ConfigError

if TYPE_CHECKING:
    from arena.setup.answers import Answers

# Keys of `judge` that change a judgment, and those that its server does not need.
_OF_JUDGMENTS = ("temperature", "max_tokens", "sampling", "reference", "ask_again")
_NOT_OF_SERVER = (*_OF_JUDGMENTS, "context", "fold_system")

DEFAULTS: dict[str, Any] = {
    "batch_size": 10,  # the best use of one server's cache: see docs/traffic.md
    "retries": 2,
    "seed": 42,
    "missing_answers": "skip",
    "baseline_gaps": "drop",
    "budget": {},
    "gpu_hour_cost": None,
}
WALLTIME = {
    "start_minutes": 20,
    "minutes_per_model": 12,  # 70B FP8 on one H100: 1,500 games at about 2 a second
    "max_minutes": math.inf,
}
# What replaces the config's keys where the embedded toy serves.
TOY = {"server": "demo", "endpoints": None, "command": None, "setup": None}
_SERVER: dict[str, Any] = {
    "temperature": 0.0,
    "max_tokens": 4096,
    "max_restarts": 3,
    "no_verdict_limit": 20,  # with a good judge about 1 game in 100 has no verdict
    "ready_minutes": 30,  # a 70B from a busy parallel file system took up to 20
}


def first_set(key: str, *blocks: Mapping[str, Any]) -> Any:
    """The first value of `judge` or `answers` that is not null, else the default, else None."""
    return next((one[key] for one in (*blocks, _SERVER) if one.get(key) is not None), None)


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

    def judgment_params(self) -> dict[str, Any]:
        """What determines a judgment besides its input files; plain JSON for `GameSettings`."""
        name = self.judge["name"]
        # Other names of the judge at its endpoints. No key without any: it would change digests.
        names = {end.get("model") or name for end in self.judge["endpoints"] or ()} - {name}
        return {
            "judge": name,
            **{key: self.judge[key] for key in _OF_JUDGMENTS},
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
        return short_hash(self.judgment_params())

    @property
    def requests_digest(self) -> str:
        """Digest of what a single reply depends on: not how it is read, nor which are asked for."""
        reading = ("patterns", "ask_again", "pilot")
        return short_hash({k: v for k, v in self.judgment_params().items() if k not in reading})

    def server_settings(self) -> dict[str, Any]:
        """What a batch's job needs besides; no judgment depends on it."""
        found = {key: self.judge[key] for key in self.judge if key not in _NOT_OF_SERVER}
        return found | {"seed": self.seed}


def server_of(
    ours: Mapping[str, Any], name: str, kind: str, upstream: Upstream | None, missing: str
) -> dict[str, Any]:
    """The server's keys of `judge` or `answers`, for a model and a kind of server.

    A server that already runs has its endpoints in `ours`, or in the model's block of
    api_config.yaml, from which its jobs read the keys. Raises ConfigError for a block that cannot
    be used, or with the text `missing` without one.
    """
    block, api_config = upstream.block(name) if upstream else {}, None
    if kind == "external" and not ours.get("endpoints"):
        if upstream is None or name not in upstream.api_config:
            place = f", or a block {name!r} in {upstream.api_config_file}" if upstream else ""
            raise ConfigError(f"config: {missing}{place}")
        upstream.endpoints(name, ours.get("api_type"))
        api_config = str(upstream.api_config_file)
    as_given = ("path", "setup", "command", "endpoints", "api_type", "timeout_s")
    return {
        **{key: ours.get(key) for key in as_given},
        **{key: first_set(key, ours) for key in ("max_restarts", "ready_minutes")},
        "parallel": first_set("parallel", ours, block),
        "env": {key: str(value) for key, value in (ours.get("env") or {}).items()},
        **{"api_config": api_config, "name": name, "server": kind},
    }


def request_params(ours: Mapping[str, Any], *theirs: Mapping[str, Any]) -> dict[str, Any]:
    """`temperature`, `max_tokens` and `sampling` of a block of config.yaml.

    theirs: from Arena-Hard-Auto's files, the block of api_config.yaml last.
    """
    block, sampling = theirs[-1], ours.get("sampling") or {}
    # unlike elsewhere null is a value: no temperature is sent
    blocks = (ours, *theirs, _SERVER)
    temperature = next(one["temperature"] for one in blocks if "temperature" in one)
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


def job_minutes(
    walltime: Mapping[str, float], models: int, *, starts: int = 1, attempt: int = 1
) -> float:
    """Walltime of a job that starts so many servers; each attempt requests more."""
    asked = walltime["start_minutes"] * starts + walltime["minutes_per_model"] * models
    return min(asked * attempt, walltime["max_minutes"])


def short_hash(plain: Any) -> str:
    """Of plain JSON."""
    return sha256_of(plain)[:16]
