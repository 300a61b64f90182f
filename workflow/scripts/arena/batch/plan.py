"""The plan of a run: which models are to be judged, and which of them share a job.

A model is settled (its judgments are up to date), complete (its journal has all of its games) or
waiting (for a batch, which is a job). A batch is named by a digest of its members and settings, so
that the next run uses the same name, and finds the job of a killed run under it.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from arena.batch.made import Digests, Made, complete_record, link, read_input
from arena.data.layout import JUDGMENTS, Layout, Stage
from arena.journals.records import REPLAY, BatchPlan
from arena.journals.replay import CurrentGames
from arena.setup.settings import Settings
from arena.support.humanize import counted

# Snakemake computes these for every job. It gives memory in three units; sbatch gets only mem_mb.
INTERNAL = ("tmpdir", "disk", "disk_mb", "disk_mib", "mem", "mem_mib", "tries_left")


def run_name() -> str:
    """A unique name for this run."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Plan:
    """batches: name -> models with games to ask. replays: name -> complete models. games: number of
    games, or answers, by model. left: those to ask. stale: models whose judgments are out of date.
    """

    stage: ClassVar[Stage] = JUDGMENTS
    batches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    replays: dict[str, tuple[str, ...]] = field(default_factory=dict)
    games: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()

    def members(self, batch: str) -> tuple[str, ...]:
        return self.batches.get(batch) or self.replays.get(batch) or ()

    @property
    def models(self) -> tuple[str, ...]:
        """All models of batches and replays."""
        return tuple(self.batch_of)

    @cached_property
    def batch_of(self) -> dict[str, str]:
        """The batch or replay of each model that is not settled."""
        both = {**self.batches, **self.replays}
        return {model: name for name, models in both.items() for model in models}

    def sums(self, numbers: Mapping[str, int]) -> dict[str, int]:
        """Sum of each batch. numbers: by model."""
        return {
            name: sum(numbers.get(model, 0) for model in models)
            for name, models in self.batches.items()
        }

    def lines(self) -> Iterator[str]:
        """A line for each batch, for the terminal."""
        stage = self.stage
        sizes, open_now = self.sums(self.games), self.sums(self.left)
        for name, models in self.batches.items():
            part = f"{open_now[name]:,} of " * (open_now[name] < sizes[name])
            number = f"{counted(len(models), 'model')}, {part}{counted(sizes[name], stage.request)}"
            yield f"{stage.title} {name}: {number}: {', '.join(models)}"
        if complete := sum(map(len, self.replays.values())):
            done = f"{counted(complete, 'model')} with all {stage.request}s in the journals"
            yield f"{done}: no {stage.server} is needed"

    def describe(self, batch: str, settings: Settings) -> BatchPlan:
        """The description of a batch for its job, still without what only the run knows."""
        models = self.members(batch)
        return BatchPlan(
            batch=batch,
            models=models,
            settings=settings.digest,
            requests=settings.requests_digest,
            root=str(settings.root),
            questions=str(settings.questions),
            answers={model: settings.answer(model) for model in models},
            opponents=dict(settings.opponents()),
            params=settings.judgment_params(),
            judge=settings.server_settings(),
            games={model: self.games[model] for model in models},
            budget=settings.budget,
            gpu_hour_cost=settings.gpu_hour_cost,
        )


def make_plan(
    settings: Settings,
    ready: Iterable[str],
    games: Mapping[str, int],
    answered: Collection[str] = (),
    redone: Collection[str] = (),
) -> Plan:
    """Plan a run. ready: models that can be judged. games: number of games by model. answered:
    models whose answers are generated first, in the same run. redone: those of them with answer
    files, which are replaced.
    """
    layout, asked = Layout(settings.root), CurrentGames(settings)
    digests = Digests(layout.digests)
    waiting, complete, stale = dict[str, int](), [], set()
    opponents = {name for name, _ in settings.opponents()}
    for model in ready:
        needed = opponents | {model}
        later = not needed.isdisjoint(answered)
        judgment, roles = settings.judgment(model), settings.roles(model)
        made = None if later else complete_record(layout, model, judgment, settings.digest)
        if made and made.is_of(roles, digests):
            continue
        left = games.get(model, 0) - (asked.played(model) if needed.isdisjoint(redone) else 0)
        if not later and games.get(model) and left <= 0:
            record = layout.made_record(model)
            if not record.exists() and asked.wrote(model, judgment):
                # By the first version, which kept no record.
                inputs = {role: read_input(path) for role, path in roles.items()}
                Made(settings.digest, inputs, Path(judgment).stat().st_size, run="").write(record)
                link(Path(judgment), layout.made(model))
                continue
            complete.append(model)
        else:
            waiting[model] = left
        if Path(judgment).exists() and touch_stale(layout.stale(model)):
            stale.add(model)
    digests.save()
    facts, size = [str(settings.root.absolute()), settings.digest], settings.batch_size
    batches = make_batches([*waiting], size, facts)
    replays = make_batches(complete, size, facts, REPLAY)
    played = {model: games.get(model, 0) for model in (*waiting, *complete)}
    return Plan(batches, replays, played, waiting, frozenset(stale))


def touch_stale(path: Path) -> bool:
    """Write an input that makes Snakemake replace a judgment; False in a read-only folder.

    Its text is random, because Snakemake ignores a newer input whose content is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(8))
        return True
    except OSError:
        return False


def make_batches(
    models: Sequence[str],
    size: int,
    facts: Sequence[str],
    prefix: str = "",
    digests: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Batches of `size` models. Their names are a hash of the models, `digests` and `facts`."""
    batches = {}
    for start in range(0, len(models), size):
        members = tuple(models[start : start + size])
        own = [digests[model] for model in members] if digests else []
        key = json.dumps([*facts, members, *own])
        batches[prefix + hashlib.sha256(key.encode()).hexdigest()[:8]] = members
    return batches


def asked_for(resources: Mapping[str, Any]) -> dict[str, Any]:
    """The resources that the scheduler receives: none that is zero, or internal to Snakemake."""
    asked = {
        key: value
        for key, value in sorted(resources.items())
        if value and not key.startswith("_") and key not in INTERNAL
    }
    if asked.keys() & {"cpus_per_task", "cpus_per_gpu"}:
        asked.pop("threads", None)  # counts as cores only if neither is set
    return asked
