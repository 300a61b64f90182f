"""The models of a batch of answers: what each is asked, and the lines of its answer file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from arena.batch.made import complete_record, read_input
from arena.batch.models import Model, Serving
from arena.data.answer_doubts import Doubt, Seen, doubts
from arena.data.answer_requests import AnswerSettings, answer_line
from arena.data.layout import Layout
from arena.data.questions import line_uid, read_questions
from arena.journals.journal import Journal
from arena.journals.lock import Lock
from arena.journals.records import BatchPlan
from arena.support.jsonl import iter_lines, write_atomic

CHECKED = 20  # first answers of a model: enough to see what is wrong, after minutes of GPU time


class AnswerFiles:
    """As `arena.batch.models.Files`, for answers. settings: by model."""

    def __init__(self, plan: BatchPlan, layout: Layout):
        self._plan, self._layout = plan, layout
        self._input = read_input(plan.questions)
        self.questions = read_questions(plan.questions, plan.pilot)
        self.settings = {
            name: AnswerSettings(**one) for name, one in plan.params["writers"].items()
        }
        self._checked: set[str] = set()
        self._redone: Mapping[str, Any] = plan.params.get("redone") or {}
        self._completed = frozenset(plan.params.get("completed") or ())

    def digest(self, name: str) -> str:
        pilot = self._plan.pilot
        return self.settings[name].writer + (pilot.mark if pilot else "")

    def is_made(self, name: str) -> bool:
        """Whether an earlier attempt of this run made the model's answers."""
        made = complete_record(self._layout, name, self._layout.made(name), self.digest(name))
        return made is not None and made.run == self._plan.run

    def model(self, name: str) -> Model:
        games = self.settings[name].games(self.questions)
        if again := self._redone.get(name):
            games = [game for game in games if game.uid in set(again)]
        if name in self._completed:
            kept = self._kept(name)
            games = [game for game in games if game.uid not in kept]
        return Model(name, games, {"questions": self._input}, Lock(self._layout.journal(name)))

    def servings(self, models: Sequence[Model]) -> list[Serving]:
        """The servers of the batch, which run one after the other."""
        found, by_name = [], {one.name: one for one in models}
        for one in self._plan.servings:
            if served := {name: by_name[name] for name in one["models"] if name in by_name}:
                server = self._with_template(one["server"])
                found.append(Serving(self.settings[next(iter(served))], server, served))
        return found or [Serving(self.settings[models[0].name], {}, by_name)]

    def _with_template(self, server: Mapping[str, Any]) -> Mapping[str, Any]:
        """A server's settings, with its adapters' chat template as a file, which vLLM needs."""
        if not (template := server.get("template")):
            return server
        file = self._layout.logs(self._plan.batch) / "chat_template.jinja"
        write_atomic(file, template)
        return {**server, "options": [*server["options"], "--chat-template", str(file)]}

    def reread(self, journal: Journal) -> None:
        """Nothing to do: answers do not depend on patterns."""

    def warnings(self, models: Iterable[Model]) -> Iterator[tuple[str, Doubt, bool]]:
        """Model, a problem of its first answers, whether to stop it. Once, when these exist."""
        for model in models:
            records = model.journal.records if model.journal else {}
            first = [(game, records.get(game.digest)) for game in model.games[:CHECKED]]
            if model.name in self._checked or any(record is None for _, record in first):
                continue
            self._checked.add(model.name)
            parts = self.settings[model.name].parts
            seen = [
                Seen(parts(one.answer or "")[1], one.finish_reason, game.messages[-1]["content"])
                for game, one in first
                if one is not None
            ]
            for doubt in doubts(seen):
                yield model.name, doubt, doubt.is_grave and bool(self._plan.params["stop_doubtful"])

    def _kept(self, name: str) -> dict[str, dict[str, Any]]:
        """Lines of the file that is replaced, by question; new answers take precedence."""
        if name not in self._completed and name not in self._redone:
            return {}
        old = iter_lines(self._layout.replaced / f"{name}.jsonl")
        return {str(line_uid(line.obj)): line.obj for line in old if line.obj}

    def lines(self, model: Model) -> Iterator[dict[str, Any]]:
        """The lines of the answer file, sorted by uid; a question that was refused has none."""
        assert model.journal is not None
        settings = self.settings[model.name]
        records = {game.uid: model.journal.records[game.digest] for game in model.games}
        kept, bench = self._kept(model.name), read_questions(self._plan.questions)
        for question in sorted(bench, key=lambda one: one.uid):
            record = records.get(question.uid)
            if record is not None and record.answer is not None:
                yield answer_line(settings, question, record, model.name)
            elif question.uid in kept:
                yield kept[question.uid]
