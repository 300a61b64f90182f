"""The models of a batch of judgments: their games, and the files that these were made from."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from arena.batch.made import Digests, Input, complete_record, read_input, stat_of
from arena.data.answer_doubts import Doubt
from arena.data.answers import read_answers
from arena.data.games import Game, GameSettings, Requests, plan_games
from arena.data.layout import Layout
from arena.data.questions import read_questions
from arena.journals.journal import Journal
from arena.journals.lock import Lock
from arena.journals.records import BatchPlan
from arena.journals.replay import judgment_lines, reparse
from arena.support.errors import DataError


@dataclass(frozen=True)
class Serving:
    """A server and the models that it serves or judges. judge: as `BatchPlan.judge`."""

    settings: Requests
    judge: Mapping[str, Any]
    models: "dict[str, Model]"


@dataclass(eq=False)
class Model:
    """One model of a running batch. inputs: by role, as they were read."""

    name: str
    games: list[Game]
    inputs: dict[str, Input]
    lock: Lock
    journal: Journal | None = None


class Files:
    """The input files of a batch: questions and opponents, read once, and its models' answers."""

    def __init__(self, plan: BatchPlan, layout: Layout):
        """DataError if a file that all models need cannot be read."""
        self._plan, self._layout, self._digests = plan, layout, Digests()
        self.settings = GameSettings.from_dict(plan.params)
        self.questions, asked = _read(plan.questions, partial(read_questions, pilot=plan.pilot))
        read = {name: _read(path, read_answers) for name, path in plan.opponents.items()}
        self.opponents = {name: file.answers for name, (file, _) in read.items()}
        self._shared = {f"opponent {name}": found for name, (_, found) in read.items()}
        self._shared["questions"] = asked

    def is_made(self, name: str) -> bool:
        """Whether an earlier attempt of this run made the model's judgments."""
        made = complete_record(self._layout, name, self._layout.made(name), self._plan.settings)
        if made is None or made.run != self._plan.run:
            return False
        return made.is_of(self._plan.roles(name), self._digests)

    def model(self, name: str) -> Model:
        """DataError if its answers cannot be read, or if it has no games."""
        path = self._plan.answers[name]
        file, answers = _read(path, read_answers)
        games = plan_games(self.settings, self.questions, file.answers, self.opponents)
        if not games:
            raise DataError(f"{path}: no question is answered by both the model and its baseline")
        lock = Lock(self._layout.journal(name))
        return Model(name, games, {**self._shared, "answers": answers}, lock)

    def digest(self, name: str) -> str:  # noqa: ARG002
        """Of the settings that the model's file is made with."""
        return self._plan.settings

    def servings(self, models: Sequence[Model]) -> list[Serving]:
        """One judge for all models."""
        return [Serving(self.settings, self._plan.judge, {one.name: one for one in models})]

    def reread(self, journal: Journal) -> None:
        """Parse the replies in a journal with the patterns of the current settings."""
        reparse(journal, self.settings)

    def warnings(self, _: Iterable[Model]) -> Iterator[tuple[str, Doubt, bool]]:
        """None: the client itself notices if a judge gives no verdicts."""
        return iter(())

    def lines(self, model: Model) -> Iterator[dict[str, Any]]:
        """The lines of a complete model's file."""
        assert model.journal is not None
        return judgment_lines(self.settings, model.name, self.questions, model.games, model.journal)


def _read(path: str, read: Callable[[str], Any]) -> tuple[Any, Input]:
    """The content of a file, and the state of the file when it was read. Raises DataError."""
    try:
        while True:
            found = read_input(path)
            content = read(path)
            if stat_of(path) == found.stat:
                return content, found
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
