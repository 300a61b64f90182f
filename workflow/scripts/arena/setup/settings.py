"""The settings of a campaign, complete: what `arena.setup.resolve` makes of config.yaml.

What changes a judgment is in `Settings.judgment_params`; nothing else may trigger a new one.
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

# What a batch's job reads of the judge: where and how fast, never what is asked.
SERVER_KEYS = (
    *("name", "server", "path", "setup", "command", "env", "endpoints", "api_config", "parallel"),
    *("timeout_s", "max_restarts", "ready_minutes", "api_type", "no_verdict_limit"),
)

DEFAULTS: dict[str, Any] = {
    "data_dir": "data",
    "results_dir": "results",
    "batch_size": 10,  # what one server's cache shares best: see docs/traffic.md
    "retries": 2,
    "seed": 42,
    "missing_answers": "skip",
    "baseline_gaps": "drop",
    "temperature": 0.0,
    "max_tokens": 4096,
    "max_restarts": 3,
    "no_verdict_limit": 20,  # a sound judge leaves about 1 game in 100 without one
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


@dataclass(frozen=True)
class Settings:
    """Everything that the rules need to know; paths are relative to the working directory."""

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
    odd_names: tuple[str, ...] = ()  # of models that cannot be files: left out, each with a line
    upstream: Upstream | None = field(repr=False, default=None)
    prompts: dict[str, Any] = field(repr=False, default_factory=dict)
    answers: "Answers | None" = None  # None: they are taken as they are
    pilot: Pilot | None = None  # None: all questions are asked
    categories: frozenset[str] = frozenset()  # of what is asked; none where nobody knows

    def answer(self, model: str) -> str:
        path = self.answers_dir / f"{model}.jsonl"
        made = self.answers.folder if self.answers and model in self.answers.writers else None
        return str(path if made is None or path.exists() else made / path.name)

    def judgment(self, model: str) -> str:
        return str(self.judgments_dir / f"{model}.jsonl")

    def asked(self) -> list[Question]:
        """The questions that are asked. DataError."""
        return read_questions(self.questions, self.pilot)

    @property
    def pilot_params(self) -> dict[str, Any] | None:
        """The pilot as plain JSON, for `BatchPlan.params`."""
        return asdict(self.pilot) if self.pilot else None

    def pilot_note(self) -> list[str]:
        """What every table of a pilot must say; [] where all questions are asked."""
        return [self.pilot.text(read_questions(self.questions))] if self.pilot else []

    def opponents(self) -> list[tuple[str, str]]:
        """Baselines and the reference, each with its answer file."""
        names = dict.fromkeys([*self.baseline_models, self.judge["reference"]])
        return [(name, self.answer(name)) for name in names if name]

    def roles(self, model: str) -> dict[str, str]:
        """Role -> path of all files that a model's judgments are made from."""
        others = {f"opponent {name}": path for name, path in self.opponents()}
        return {"answers": self.answer(model), "questions": str(self.questions), **others}

    @property
    def toy(self) -> bool:
        """True for the embedded demo judge, which every output must name as a toy."""
        return self.judge["server"] == "demo"

    @property
    def baseline_models(self) -> list[str]:
        """Of the categories that are asked."""
        asked = {of_category(self.baselines, category) for category in self.categories}
        return sorted(filter(None, asked)) or sorted(set(self.baselines.values()))

    def job_minutes(self, models: int, attempt: int = 1) -> float:
        """Walltime that the job of so many models asks for."""
        return minutes_of(self.walltime, models, 1, attempt)

    def judgment_params(self) -> dict[str, Any]:
        """What determines a judgment besides its input files; plain JSON for `GameSettings`."""
        keys = ("temperature", "max_tokens", "sampling", "reference", "ask_again")
        name = self.judge["name"]
        # Another model under the judge's name; without one, the digests of before.
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
        """Of `judgment_params`: two runs of equal digest make equal judgments of equal files."""
        return _digest(self.judgment_params())

    @property
    def requests_digest(self) -> str:
        """Of what the judge's replies depend on: not how they are read, nor which are asked for."""
        reading = ("patterns", "ask_again", "pilot")
        return _digest({k: v for k, v in self.judgment_params().items() if k not in reading})

    def server_settings(self) -> dict[str, Any]:
        """What a batch needs besides; nothing that a judgment depends on."""
        return {key: self.judge[key] for key in SERVER_KEYS} | {"seed": self.seed}


def requested(ours: Mapping[str, Any], *theirs: Mapping[str, Any]) -> dict[str, Any]:
    """`temperature`, `max_tokens` and `sampling` of a block of config.yaml.

    theirs: what Arena-Hard-Auto's files say, the last of them the block of api_config.yaml.
    """
    sources, block = (ours, *theirs), theirs[-1]
    # null is a value here: no temperature is sent
    stated = [source["temperature"] for source in sources if "temperature" in source]
    temperature = [*stated, DEFAULTS["temperature"]][0]
    most = (source["max_tokens"] for source in sources if source.get("max_tokens") is not None)
    max_tokens, sampling = int(next(most, DEFAULTS["max_tokens"])), ours.get("sampling") or {}
    if (ours.get("api_type") or block.get("api_type")) == THINKING:
        effort = block.get("reasoning_effort") or DEFAULT_EFFORT
        sampling = {"reasoning_effort": effort, "max_completion_tokens": max_tokens} | sampling
        temperature = ours.get("temperature")
    return {
        "temperature": None if temperature is None else float(temperature),
        "max_tokens": max_tokens,
        "sampling": sampling,
    }


def minutes_of(walltime: Mapping[str, float], models: int, starts: int, attempt: int) -> float:
    """Walltime of a job that starts so many servers; each attempt asks for more."""
    asked = walltime["start_minutes"] * starts + walltime["minutes_per_model"] * models
    return min(asked * attempt, walltime["max_minutes"])


def job_notes(settings: Settings) -> list[str]:
    """What is likely to end every job of a judge that is started on its GPUs."""
    notes, walltime = [], settings.walltime
    least = walltime["start_minutes"] + walltime["minutes_per_model"]
    if walltime["max_minutes"] < least:
        notes.append(
            f"walltime.max_minutes: {walltime['max_minutes']:g} is less than start_minutes and "
            f"minutes_per_model together ({least:g}): a job may end before it has judged a model"
        )
    path = settings.judge["path"] if settings.judge["server"] == "vllm" else None
    # a hub's name is org/name; every other path with a slash is a folder
    if path and (path[0] in "/.~" or path.count("/") > 1) and not Path(path).exists():
        notes.append(
            f"judge.path: {path} is not there on this machine; the judge starts only where it is"
        )
    return notes


def _digest(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
