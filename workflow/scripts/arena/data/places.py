"""Where the files of a campaign lie, and what they say of the models' answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.support.shapes import dict_of, list_of, number_of, text_of


@dataclass(frozen=True)
class Places:
    """Where the files of a campaign lie; what is None is not known (a results folder alone was
    given).
    """

    root: Path  # <results_dir>/<bench>/<judge>
    workdir: Path = Path()
    models: tuple[str, ...] | None = None
    baselines: tuple[str, ...] = ()
    reference: str | None = None
    questions: Path | None = None
    answers_dir: Path | None = None
    judgments_dir: Path | None = None
    toy: bool = False

    @classmethod
    def of(cls, settings: Any, workdir: Path = Path()) -> "Places":
        """From `arena.setup.settings.Settings`."""
        return cls(
            root=workdir / settings.root,
            workdir=workdir,
            models=settings.models,
            baselines=tuple(settings.baseline_models),
            reference=settings.judge["reference"],
            questions=workdir / settings.questions,
            answers_dir=workdir / settings.answers_dir,
            judgments_dir=workdir / settings.judgments_dir,
            toy=settings.toy,
        )

    def is_current(self, model: str, made: float) -> bool:
        """Whether what was made at this time is not older than any file that it was made from."""
        names = (model, *self.baselines, *filter(None, [self.reference]))
        files = [self.answers_dir / f"{name}.jsonl" for name in names] if self.answers_dir else []
        times = [modified(file) for file in (*files, self.questions) if file]
        return all(time is not None and time <= made for time in times)


@dataclass(frozen=True)
class Answers:
    """The answers of one model, as validation counted them; None where it has not run."""

    model: str
    answered: int | None
    questions: int | None
    mark: str  # done, partial, missing, unknown
    state: str = ""  # of validation
    reason: str = ""


def read_validation(root: Path) -> dict[str, Mapping[str, Any]]:
    """Rows of validation.json by model; {} before the first validation and while it is being
    written.
    """
    try:
        found = json.loads((root / "validation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    rows = list_of(found.get("models") if isinstance(found, dict) else found)
    return {model: row for row in map(dict_of, rows) if (model := text_of(row.get("model")))}


def answers_of(model: str, places: Places, checked: Mapping[str, Mapping]) -> Answers:
    row = checked.get(model)
    if row is not None:
        answered, questions = number_of(row.get("answers")) or 0, number_of(row.get("questions"))
        state, reason = text_of(row.get("state")) or "", text_of(row.get("reason")) or ""
    else:  # never validated: count lines
        state = reason = ""
        folder = places.answers_dir
        answered = (count_lines(folder / f"{model}.jsonl") or 0) if folder else None
        questions = count_lines(places.questions) if places.questions else None
    if answered is None:
        mark = "unknown"
    elif not answered:
        mark = "missing"
    else:
        mark = "partial" if questions and answered < questions else "done"
    return Answers(model, answered, questions, mark, state, reason)


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
