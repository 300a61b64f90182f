"""A campaign from outside: which models, whose answers, and what is judged already."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.batch.made import Digests, is_current
from arena.data.layout import Layout
from arena.journals.records import Batch, read_json
from arena.setup.settings import Settings
from arena.support.coerce import dict_of, list_of, number_of, text_of


@dataclass(frozen=True)
class Campaign:
    """What is None is not known: a results folder alone was given."""

    layout: Layout
    models: tuple[str, ...] | None = None
    baselines: tuple[str, ...] = ()
    reference: str | None = None
    questions: Path | None = None
    answers_dir: Path | None = None
    judgments_dir: Path | None = None
    settings: Settings | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Campaign":
        return cls(
            layout=Layout(settings.root),
            models=settings.models,
            baselines=tuple(settings.baseline_models),
            reference=settings.judge["reference"],
            questions=settings.questions,
            answers_dir=settings.answers_dir,
            judgments_dir=settings.judgments_dir,
            settings=settings,
        )

    @cached_property
    def _digests(self) -> Digests:
        return Digests(self.layout.digests)

    def is_judged(self, model: str, batch: Batch | None) -> bool | None:
        """Whether its judgments are there, of today's settings and inputs. None where nobody knows.

        batch: its newest. Judgments of the first version have no record of what they were made
        of: they must be older than no file that they are made from, nor than the batch's plan.
        """
        if self.judgments_dir is None:
            return None
        judgment, known = self.judgments_dir / f"{model}.jsonl", self.settings
        if known and self.layout.made_record(model).exists():
            roles = known.roles(model)
            return is_current(self.layout, model, judgment, known.digest, roles, self._digests)
        made = modified(judgment)
        names = (model, *self.baselines, *filter(None, [self.reference]))
        files = [self.answers_dir / f"{name}.jsonl" for name in names] if self.answers_dir else []
        times = [modified(file) or 0 for file in (*files, self.questions) if file]
        if batch is not None:
            times.append(batch.since or 0)
            if known and known.digest != batch.plan.settings:
                return False
        return made is not None and made >= max(times, default=0)


@dataclass(frozen=True)
class Answers:
    """The answers of one model, as validation counted them; None where it has not run."""

    model: str
    answered: int | None
    questions: int | None
    mark: str  # done, partial, missing, unknown
    state: str = ""  # of validation
    reason: str = ""


def read_validation(layout: Layout) -> dict[str, Mapping[str, Any]]:
    """Rows of validation.json by model; {} before the first validation."""
    rows = list_of((read_json(layout.validation) or {}).get("models"))
    return {model: row for row in map(dict_of, rows) if (model := text_of(row.get("model")))}


def answers_of(model: str, campaign: Campaign, checked: Mapping[str, Mapping]) -> Answers:
    row, folder, questions_file = checked.get(model), campaign.answers_dir, campaign.questions
    state = reason = ""
    answered: float | None
    if row is not None:
        answered, questions = number_of(row.get("answers")) or 0, number_of(row.get("questions"))
        state, reason = text_of(row.get("state")) or "", text_of(row.get("reason")) or ""
    else:  # never validated: count lines
        answered = (count_lines(folder / f"{model}.jsonl") or 0) if folder else None
        questions = count_lines(questions_file) if questions_file else None
    if answered is None:
        mark = "unknown"
    elif not answered:
        mark = "missing"
    else:
        mark = "partial" if questions and answered < questions else "done"
    whole = (None if number is None else int(number) for number in (answered, questions))
    return Answers(model, *whole, mark, state, reason)


def count_lines(path: Path) -> int | None:
    """Lines that are not blank; None where no file can be read."""
    try:
        if not path.is_file():  # reading a FIFO would never end
            return None
        return sum(1 for line in path.read_bytes().splitlines() if line.strip())
    except OSError:
        return None


def modified(path: Path) -> float | None:
    """Time of a file's last change, s since 1970; None where there is none to be seen."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
