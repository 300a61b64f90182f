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
from arena.batch.models import Files
from arena.data.answers import read_answers
from arena.data.games import Game, plan_games
from arena.data.layout import Layout
from arena.data.stage import JUDGMENTS, Stage
from arena.journals.journal import Replayed, read_records
from arena.journals.progress import Progress
from arena.journals.records import REPLAY, BatchPlan
from arena.journals.replay import open_games, reparse
from arena.setup.settings import Settings
from arena.support.errors import DataError
from arena.support.humanize import counted
from arena.support.jsonl import iter_lines


def run_name() -> str:
    """A unique name for this run."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Plan:
    """batches: name -> models with games to ask. replays: name -> complete models. stale: models
    of both whose judgments are out of date.
    """

    stage: ClassVar[Stage] = JUDGMENTS
    batches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replays: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()

    def members(self, batch: str) -> tuple[str, ...]:
        return self.batches.get(batch) or self.replays.get(batch) or ()

    def batch_of(self, model: str) -> str | None:
        """The batch or replay that makes a model's judgments; None if it is settled."""
        return self._batch_of.get(model)

    @property
    def models(self) -> tuple[str, ...]:
        """All models of batches and replays."""
        return tuple(self._batch_of)

    @cached_property
    def _batch_of(self) -> dict[str, str]:
        both = {**self.batches, **self.replays}
        return {model: name for name, models in both.items() for model in models}

    def sums(self, numbers: Mapping[str, int]) -> dict[str, int]:
        """Sum of each batch. numbers: by model."""
        return {
            name: sum(numbers.get(model, 0) for model in models)
            for name, models in self.batches.items()
        }

    def lines(self, games: Mapping[str, int], left: Mapping[str, int]) -> Iterator[str]:
        """A line for each batch, for the terminal. games: number of games, or answers, by model.
        left: how many of them are still to be asked.
        """
        stage = self.stage
        sizes, open_now = self.sums(games), self.sums(left)
        for name, models in self.batches.items():
            part = f"{open_now[name]:,} of " * (open_now[name] < sizes[name])
            number = f"{counted(len(models), 'model')}, {part}{counted(sizes[name], stage.request)}"
            yield f"{stage.title} {name}: {number}: {', '.join(models)}"
        if complete := sum(map(len, self.replays.values())):
            done = f"{counted(complete, 'model')} with all {stage.request}s in the journals"
            yield f"{done}: no {stage.server} is needed"


def make_plan(
    settings: Settings,
    ready: Iterable[str],
    games: Mapping[str, int],
    answered: Collection[str] = (),
) -> Plan:
    """Plan a run. ready: models that can be judged. games: number of games by model. answered:
    models whose answers are generated first, in the same run.
    """
    layout, ready = Layout(settings.root), list(ready)
    digests = Digests(layout.digests)
    asked = CurrentGames(settings, ready)
    waiting, complete, stale = [], [], set()
    opponents = {name for name, _ in settings.opponents()}
    for model in ready:
        later = not opponents.union((model,)).isdisjoint(answered)
        judgment, roles = settings.judgment(model), settings.roles(model)
        made = None if later else complete_record(layout, model, judgment, settings.digest)
        if made and made.is_of(roles, digests):
            continue
        has_lines = not later and _has_enough_lines(layout.journal(model), games.get(model, 0))
        if has_lines and asked.is_complete(model):
            record = layout.made_record(model)
            if not record.exists() and asked.is_published(model, judgment):
                # Written by version 1, which kept no record.
                size = Path(judgment).stat().st_size
                inputs = {role: read_input(path) for role, path in roles.items()}
                Made(settings.digest, inputs, size, run="").write(record)
                link(Path(judgment), layout.made(model))
                continue
            complete.append(model)
        else:
            waiting.append(model)
        if Path(judgment).exists() and touch_stale(layout.stale(model)):
            stale.add(model)
    digests.save()
    facts, size = [str(settings.root.absolute()), settings.digest], settings.batch_size
    replays = make_batches(complete, size, facts, REPLAY)
    return Plan(make_batches(waiting, size, facts), replays, frozenset(stale))


def games_left(
    settings: Settings, plan: Plan, games: Mapping[str, int], redone: Collection[str] = ()
) -> dict[str, int]:
    """Number of games to be asked, for the models of batches with a journal. games: number of games
    by model. redone: models with answer files whose answers are generated again first.
    """
    layout, opponents = Layout(settings.root), {name for name, _ in settings.opponents()}
    if not opponents.isdisjoint(redone):
        return {}
    models = [model for batch in plan.batches.values() for model in batch if model not in redone]
    begun = [model for model in models if layout.journal(model).exists()]
    current = CurrentGames(settings, begun)
    return {model: games[model] - current.played(model) for model in begun}


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


def _has_enough_lines(journal: Path, games: int) -> bool:
    """A cheap check of a journal, before answers are read."""
    lines = Progress(journal).update().lines if journal.exists() else ()
    return len({(line.uid, line.game) for line in lines}) >= games > 0


class CurrentGames:
    """The games that models have today. Questions and baselines are read once, when needed."""

    def __init__(self, settings: Settings, models: Sequence[str]) -> None:
        self._plan = describe("", models, {}, settings)
        self._layout = Layout(settings.root)

    @cached_property
    def _files(self) -> Files:
        return Files(self._plan, self._layout)

    def is_complete(self, model: str) -> bool:
        """Whether the journal of a model has all of its games."""
        games, journal = self._of(model)
        return not open_games(games, journal, self._files.settings)

    def played(self, model: str) -> int:
        """Number of a model's games that will not be asked again. Only the questions in its journal
        are looked at: after a pilot, these are few.
        """
        recorded = {line.uid for line in Progress(self._layout.journal(model)).update().lines}
        try:
            answers = read_answers(self._plan.answers[model]).answers if recorded else {}
            files = self._files
        except DataError:
            return 0
        known = {uid: answer for uid, answer in answers.items() if uid in recorded}
        games = plan_games(files.settings, files.questions, known, files.opponents)
        journal = self._journal(model, games)
        left = {game.digest for game in open_games(games, journal, files.settings)}
        return sum(game.digest not in left for game in games)

    def is_published(self, model: str, judgment: str) -> bool:
        """Whether a judgment file agrees with the journal."""
        if not Path(judgment).exists():
            return False
        games, journal = self._of(model)
        ours: dict[str, list[Any]] = {}
        for game in games:
            record = journal.records[game.digest]
            one = [record.label, record.answer or "", game.messages]
            ours.setdefault(game.uid, []).append(one)
        theirs = {
            str(line.obj.get("uid")): [
                [game.get("score"), (game.get("judgment") or {}).get("answer"), game.get("prompt")]
                for game in line.obj.get("games") or ()
            ]
            for line in iter_lines(judgment)
            if line.obj
        }
        return ours == theirs

    def _of(self, model: str) -> tuple[list[Game], Replayed]:
        try:
            games = self._files.model(model).games
        except DataError:
            return [], Replayed()
        return games, self._journal(model, games)

    def _journal(self, model: str, games: Sequence[Game]) -> Replayed:
        path, wanted = self._layout.journal(model), {game.digest for game in games}
        records = read_records(path) if wanted and path.exists() else ()
        journal = Replayed(record for record in records if record.digest in wanted)
        reparse(journal, self._files.settings)
        return journal


def describe(
    batch: str, models: Sequence[str], games: Mapping[str, int], settings: Settings, **run: Any
) -> BatchPlan:
    """The description of a batch for its job. run: fields of `BatchPlan` that the run sets."""
    return BatchPlan(
        batch=batch,
        models=tuple(models),
        settings=settings.digest,
        requests=settings.requests_digest,
        root=str(settings.root),
        questions=str(settings.questions),
        answers={model: settings.answer(model) for model in models},
        opponents=dict(settings.opponents()),
        params=settings.judgment_params(),
        judge=settings.server_settings(),
        games={model: games.get(model, 0) for model in models},
        budget=settings.budget,
        gpu_hour_cost=settings.gpu_hour_cost,
        **run,
    )
