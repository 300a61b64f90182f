"""A campaign from outside: whose answers there are, and what is judged already."""

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
    """The answers of one model, as validation counted them; None where nobody knows."""

    model: str
    answered: int | None
    questions: int | None
    state: str = ""  # of validation
    reason: str = ""

    @property
    def mark(self) -> str:
        if not self.answered:
            return "unknown" if self.answered is None else "missing"
        return "partial" if self.questions and self.answered < self.questions else "done"


@dataclass(frozen=True)
class Campaign:
    """settings: None where a results folder alone was given."""

    layout: Layout
    settings: Settings | None = None

    @cached_property
    def _digests(self) -> Digests:
        return Digests(self.layout.digests)

    def is_judged(self, model: str, batch: Batch | None) -> bool | None:
        """Whether its judgments are there, of today's settings and inputs. None where nobody knows.

        batch: its newest. Judgments of the first version have no record of what they were made
        of: they must be older than no file that they are made from, nor than the batch's plan.
        """
        known = self.settings
        if known is None:
            return None
        judgment, roles = known.judgment(model), known.roles(model)
        if self.layout.made_record(model).exists():
            made = complete_record(self.layout, model, judgment, known.digest)
            return made is not None and made.is_of(roles, self._digests)
        if batch is not None and batch.plan.settings != known.digest:
            return False
        planned = (batch.since or 0) if batch else 0
        return 0 < _modified(judgment) >= max(planned, *map(_modified, roles.values()))

    @cached_property
    def pilot(self) -> frozenset[str] | None:
        """The questions of a pilot; None where all are asked."""
        with suppress(DataError):
            if self.settings and self.settings.pilot:
                return frozenset(question.uid for question in self.settings.asked())
        return None

    def answers_of(self, model: str, checked: Mapping[str, Mapping]) -> Answers:
        """checked: see `validation`; the lines of a model that is not there are counted."""
        row = checked.get(model)
        if row and not self._has_changed(model, row):
            state, reason = text_of(row.get("state")) or "", text_of(row.get("reason")) or ""
            questions = count_of(row.get("questions")) or None
            return Answers(model, count_of(row.get("answers")), questions, state, reason)
        if not (known := self.settings):
            return Answers(model, None, None)
        path = known.answer(model)
        if self.pilot is None:
            return Answers(model, count_lines(path) or 0, count_lines(known.questions))
        answered = set[str | None]()
        with suppress(DataError):
            lines = iter_lines(path) if Path(path).is_file() else ()
            answered.update(line_uid(line.obj) for line in lines if line.obj)
        return Answers(model, len(answered & self.pilot), len(self.pilot))

    def validation(self) -> dict[str, Mapping[str, Any]]:
        """Rows of validation.json by model; {} before the first, and where other questions than
        today's were asked.
        """
        plain, known = read_json(self.layout.validation) or {}, self.settings
        asked = count_lines(known.questions) if known else None
        asked = asked if self.pilot is None else len(self.pilot)
        if asked and plain.get("questions", asked) != asked:
            return {}
        rows = map(dict_of, list_of(plain.get("models")))
        return {model: row for row in rows if (model := text_of(row.get("model")))}

    def _has_changed(self, model: str, row: Mapping) -> bool:
        """Whether answers have come, gone or changed, or judgments of others gone, since the
        validation that wrote the row.
        """
        if (known := self.settings) is None:
            return False
        answers, judgment = Path(known.answer(model)), Path(known.judgment(model))
        if row.get("state") == "foreign_judgments":
            return not judgment.exists() or self.layout.made_record(model).exists()
        if answers.exists() != bool(row.get("answers")):
            return row.get("state") != "broken"
        return _modified(str(answers)) > _modified(str(self.layout.validation))

    def beside(self) -> list[Path]:
        """Other results folders: of other judges and benches, and of a rehearsal; newest first.

        Without a config those of the same bench and the rehearsals only.
        """
        root = self.layout.root
        results = root.absolute().parents[1]
        real = results.parent if results.name == "rehearsal" else results
        patterns = [f"{root.parent.name}/*/batches", "rehearsal/*/*/batches"]
        patterns += ["*/*/batches"] * (self.settings is not None)
        folders = {path.parent for pattern in patterns for path in real.glob(pattern)}
        others = [
            folder for folder in folders if folder != root.absolute() and folder.name != "answers"
        ]
        return sorted(others, key=lambda folder: -_modified(str(folder / "batches")))


def is_results(folder: Path) -> bool:
    """Whether a campaign wrote it: `<results_dir>/<bench>/<judge>`."""
    return any((folder / name).is_dir() for name in ("batches", "games", "logs"))


def count_lines(path: str | Path) -> int | None:
    """Lines that are not blank; None where no file can be read."""
    with suppress(OSError):
        if Path(path).is_file():  # reading a FIFO would never end
            return sum(1 for line in Path(path).read_bytes().splitlines() if line.strip())
    return None


def _modified(path: str) -> float:
    """Time of a file's last change, s since 1970; 0 where there is none to be seen."""
    with suppress(OSError):
        return Path(path).stat().st_mtime
    return 0
