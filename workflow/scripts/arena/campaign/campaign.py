"""Files of a campaign: which answers exist, and which models are already judged."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.batch.made import Digests, complete_record
from arena.data.layout import Layout
from arena.data.questions import line_uid
from arena.journals.batches import Batch
from arena.journals.records import read_json
from arena.setup.settings import Settings
from arena.support.coerce import count_of, dict_of, list_of, text_of
from arena.support.errors import DataError
from arena.support.jsonl import iter_lines


@dataclass(frozen=True)
class Answers:
    """The answers of one model. answered, questions: None if unknown. state, reason: as in
    validation.json.
    """

    model: str
    answered: int | None
    questions: int | None
    state: str = ""
    reason: str = ""

    @property
    def is_left_out(self) -> bool:
        """Whether a run leaves the model out."""
        return self.state in ("no_answers", "broken")

    @property
    def mark(self) -> str:
        if not self.answered:
            return "unknown" if self.answered is None else "missing"
        return "partial" if self.questions and self.answered < self.questions else "done"


@dataclass(frozen=True)
class Campaign:
    """settings: None if only a results folder was given."""

    layout: Layout
    settings: Settings | None = None

    @cached_property
    def _digests(self) -> Digests:
        return Digests(self.layout.digests)

    def is_judged(self, model: str, batch: Batch | None) -> bool | None:
        """Whether the model's judgments are complete and match the current settings and inputs;
        None without settings.

        batch: its newest. Judgments of the first version have no record of their inputs: they must
        not be older than any of their input files, nor than the batch's plan.
        """
        settings = self.settings
        if settings is None:
            return None
        judgment, roles = settings.judgment(model), settings.roles(model)
        if self.layout.made_record(model).exists():
            made = complete_record(self.layout, model, judgment, settings.digest)
            return made is not None and made.is_of(roles, self._digests)
        if batch is not None and batch.plan.settings != settings.digest:
            return False
        planned = (batch.since or 0) if batch else 0
        return 0 < _modified(judgment) >= max(planned, *map(_modified, roles.values()))

    @cached_property
    def pilot(self) -> frozenset[str] | None:
        """The questions of a pilot; None if all questions are asked."""
        with suppress(DataError):
            if self.settings and self.settings.pilot:
                return frozenset(question.uid for question in self.settings.asked())
        return None

    def same_questions(self, batch: Batch) -> bool:
        """Whether a batch asks the questions of the settings: the same pilot, or all."""
        return not self.settings or batch.plan.params.get("pilot") == self.settings.pilot_params

    def answers_of(self, model: str, checked: Mapping[str, Mapping]) -> Answers:
        """checked: see `validation`. The lines of the answer file are counted if the model is not
        in it or its row is outdated.
        """
        row, settings = checked.get(model), self.settings
        if row and not self._is_outdated(row, model):
            state, reason = text_of(row.get("state")) or "", text_of(row.get("reason")) or ""
            questions = count_of(row.get("questions")) or None
            return Answers(model, count_of(row.get("answers")), questions, state, reason)
        if not settings:
            return Answers(model, None, None)
        path = settings.answer(model)
        if self.pilot is None:
            return Answers(model, count_lines(path) or 0, count_lines(settings.questions))
        answered = set[str | None]()
        with suppress(DataError):
            lines = iter_lines(path) if Path(path).is_file() else ()
            answered.update(line_uid(line.obj) for line in lines if line.obj)
        return Answers(model, len(answered & self.pilot), len(self.pilot))

    def validation(self) -> dict[str, Mapping[str, Any]]:
        """Rows of validation.json by model; {} if it does not exist or has another number of
        questions.
        """
        plain, settings = read_json(self.layout.validation) or {}, self.settings
        asked = count_lines(settings.questions) if settings else None
        asked = asked if self.pilot is None else len(self.pilot)
        if asked and plain.get("questions", asked) != asked:
            return {}
        rows = map(dict_of, list_of(plain.get("models")))
        return {model: row for row in rows if (model := text_of(row.get("model")))}

    def _is_outdated(self, row: Mapping, model: str) -> bool:
        """Whether answers were added, removed or changed since this row of the validation was
        written, or a judgment file of another tool was moved away.
        """
        if (settings := self.settings) is None:
            return False
        answers, judgment = Path(settings.answer(model)), Path(settings.judgment(model))
        if row.get("state") == "foreign_judgments":
            return not judgment.exists() or self.layout.made_record(model).exists()
        if answers.exists() != bool(row.get("answers")):
            return row.get("state") != "broken"
        return _modified(str(answers)) > _modified(str(self.layout.validation))

    def beside(self) -> list[Path]:
        """Other results folders (other judges, benches, rehearsals), newest first.

        Without settings, only those of the same bench and rehearsals.
        """
        root = self.layout.root.absolute()
        results = root.parents[1]
        real = results.parent if results.name == "rehearsal" else results
        patterns = [f"{root.parent.name}/*/batches", "rehearsal/*/*/batches"]
        patterns += ["*/*/batches"] * (self.settings is not None)
        folders = {path.parent for pattern in patterns for path in real.glob(pattern)} - {root}
        others = [folder for folder in folders if folder.name != "answers"]
        return sorted(others, key=lambda folder: -_modified(str(folder / "batches")))


def is_results(folder: Path) -> bool:
    """Whether this is the results folder of a campaign, `<results_dir>/<bench>/<judge>`."""
    return any((folder / name).is_dir() for name in ("batches", "games", "logs"))


def count_lines(path: str | Path) -> int | None:
    """Number of lines that are not blank; None if the file cannot be read."""
    with suppress(OSError):
        if Path(path).is_file():  # reading a FIFO would never end
            return sum(1 for line in Path(path).read_bytes().splitlines() if line.strip())
    return None


def _modified(path: str) -> float:
    """A file's modification time, s since 1970; 0 if it cannot be read."""
    with suppress(OSError):
        return Path(path).stat().st_mtime
    return 0
