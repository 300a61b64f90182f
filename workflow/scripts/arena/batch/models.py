"""The models of a batch: their input files, what they are asked, and the lines of their files."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from arena.batch.made import Input, complete_record, read_input, stat_of
from arena.data.answer_doubts import Doubt, Seen, doubts
from arena.data.answers import read_answers
from arena.data.games import AnswerSettings, Game, GameSettings, Requests, answer_line, plan_games
from arena.data.layout import Layout
from arena.data.questions import line_uid, read_questions
from arena.journals.journal import Journal
from arena.journals.lock import Lock
from arena.journals.records import BatchPlan
from arena.journals.replay import judgment_lines
from arena.support.errors import DataError, os_errors_as
from arena.support.jsonl import iter_lines

CHECKED = 20  # first answers of a model: enough to see what is wrong, after minutes of GPU time


@dataclass(eq=False)
class Model:
    """One model of a running batch. inputs: by role, as read. journal: set once it is locked."""

    name: str
    games: list[Game]
    inputs: dict[str, Input]
    lock: Lock
    journal: Journal = field(init=False)


class Files:
    """The input files of a batch: questions and opponents, read once, and its models' answers.

    settings: by model. DataError if a file that all models need cannot be read.
    """

    def __init__(self, plan: BatchPlan, layout: Layout):
        self.plan, self.layout = plan, layout
        self.questions, asked = _read(plan.questions, partial(read_questions, pilot=plan.pilot))
        read = {name: _read(path, read_answers) for name, path in plan.opponents.items()}
        self._opponents = {name: file.answers for name, (file, _) in read.items()}
        self.inputs = {f"opponent {name}": found for name, (_, found) in read.items()}
        self.inputs["questions"] = asked
        self.settings: Mapping[str, Any] = self._settings()

    def _settings(self) -> Mapping[str, Requests]:
        return dict.fromkeys(self.plan.models, GameSettings.from_dict(self.plan.params))

    def digest(self, name: str) -> str:  # noqa: ARG002
        """Of the settings that the model's file is made with."""
        return self.plan.settings

    def is_made(self, name: str) -> bool:
        """Whether an earlier attempt of this run made the model's file."""
        made = complete_record(self.layout, name, self.layout.made(name), self.digest(name))
        return made is not None and made.run == self.plan.run and not made.changed()

    def model(self, name: str) -> Model:
        """DataError if its answers cannot be read, or if it has no games."""
        path = self.plan.answers[name]
        file, answers = _read(path, read_answers)
        games = plan_games(self.settings[name], self.questions, file.answers, self._opponents)
        if not games:
            raise DataError(f"{path}: no question is answered by both the model and its baseline")
        lock = Lock(self.layout.journal(name))
        return Model(name, games, {**self.inputs, "answers": answers}, lock)

    def doubts(self, model: Model) -> Iterable[Doubt]:  # noqa: ARG002
        """None: the client itself notices if a judge gives no verdicts."""
        return ()

    def lines(self, model: Model) -> Iterator[dict[str, Any]]:
        """The lines of a complete model's file."""
        settings = self.settings[model.name]
        return judgment_lines(settings, model.name, self.questions, model.games, model.journal)


class AnswerFiles(Files):
    """As `Files`, for answers."""

    def __init__(self, plan: BatchPlan, layout: Layout):
        super().__init__(plan, layout)
        self._checked: set[str] = set()
        self._only: Mapping[str, Any] = plan.params.get("redone") or {}

    def _settings(self) -> dict[str, AnswerSettings]:
        return {name: AnswerSettings(**one) for name, one in self.plan.params["writers"].items()}

    def digest(self, name: str) -> str:
        pilot = self.plan.pilot
        return self.settings[name].writer + (pilot.mark if pilot else "")

    def model(self, name: str) -> Model:
        games = self.settings[name].games(self.questions)
        if only := set(self._only.get(name, ())):
            games = [game for game in games if game.uid in only]
        return Model(name, games, self.inputs, Lock(self.layout.journal(name)))

    def doubts(self, model: Model) -> Iterable[Doubt]:
        """Problems of a model's first answers. Once, when these exist."""
        records, first = model.journal.records, model.games[:CHECKED]
        if model.name in self._checked or any(game.digest not in records for game in first):
            return ()
        self._checked.add(model.name)
        parts = self.settings[model.name].parts
        asked = [(records[game.digest], game.messages[-1]["content"]) for game in first]
        return doubts([Seen(parts(r.answer or "")[1], r.finish_reason, text) for r, text in asked])

    def lines(self, model: Model) -> Iterator[dict[str, Any]]:
        """The lines of the answer file, sorted by uid; a question that was refused has none. New
        answers take precedence over those of the file that is replaced.
        """
        settings = self.settings[model.name]
        records = {game.uid: model.journal.records[game.digest] for game in model.games}
        replaced = self.layout.replaced / f"{model.name}.jsonl"
        old = iter_lines(replaced) if model.name in self._only else ()
        kept = {str(line_uid(line.obj)): line.obj for line in old if line.obj}
        for question in sorted(read_questions(self.plan.questions), key=lambda one: one.uid):
            record = records.get(question.uid)
            if record is not None and record.answer is not None:
                yield answer_line(settings, question, record, model.name)
            elif question.uid in kept:
                yield kept[question.uid]


def _read(path: str, read: Callable[[str], Any]) -> tuple[Any, Input]:
    """The content of a file, and the state of the file when it was read. Raises DataError."""
    with os_errors_as(DataError, f"{path}: cannot be read"):
        while True:
            found = read_input(path)
            content = read(path)
            if stat_of(path) == found.stat:
                return content, found
