"""The outcome of a validation: rows, what blocks, and the forms it is shown and kept in."""

import csv
import io
import json
from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from arena.data.layout import Layout
from arena.support.errors import DataError
from arena.support.humanize import printable
from arena.support.jsonl import write_atomic
from arena.support.table import Column, Style, table

READY = ("ready", "incomplete")
# States that keep one model from being judged; a foreign judgment stops the whole run.
LEFT_OUT = ("no_answers", "broken")
_STYLE = Style(80, unicode=False)  # a terminal as it opens, and any log
_COUNTS = {"missing": "miss", "duplicates": "dupl", "empty": "empty", "cut": "cut"}
_COLUMNS = [
    Column("model", lambda row: row.model, right=False, shrinks=True),
    Column("answers", lambda row: f"{row.answers}/{row.questions}"),
    *(
        Column(head, lambda row, name=name: str(getattr(row, name) or "-"))
        for name, head in (_COUNTS | {"unreadable": "bad"}).items()
    ),
    Column("state", lambda row: row.state, right=False),
]


@dataclass(frozen=True, slots=True)
class Row:
    """One model as validation.tsv has it (FORMATS: "Our own files").

    state: ready, incomplete (judged on the answers that are there), no_answers (none that can be
    judged), broken, foreign_judgments; baseline and reference for those two, blocked for one of
    them that stops the run. reason: what was found, in words, with file and line.
    """

    model: str
    questions: int
    answers: int
    missing: int
    duplicates: int
    empty: int
    cut: int
    unreadable: int
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome. problems: what stops a run. notes: what a person should know.

    dropped: uids of questions that the baseline (or the reference) has not answered.
    games: of each model that is ready, how many there are to play, two a question.
    """

    bench: str
    questions: int
    rows: list[Row]
    problems: list[str]
    notes: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    games: dict[str, int] = field(default_factory=dict)
    files_read: int = 0

    @property
    def ready(self) -> set[str]:
        """The models that can be judged."""
        return {row.model for row in self.rows if row.state in READY}

    @property
    def ok(self) -> bool:
        """Nothing blocks, neither the run nor a model; models without answers are just left out."""
        broken = (row.state in LEFT_OUT and row.state != "no_answers" for row in self.rows)
        return bool(self.ready) and not self.problems and not any(broken)

    def left_out(self) -> list[str]:
        """One line a model that will not be judged."""
        return [
            printable(f"left out: {row.model}: {row.reason}")
            for row in self.rows
            if row.state in LEFT_OUT
        ]

    def raise_blocking(self) -> None:
        """Raise DataError with all that stops a run; also where no model is left to judge."""
        problems = list(self.problems)
        if not problems and not self.ready:
            problems = ["no model can be judged", *self.left_out()]
        if problems:
            raise DataError("\n".join(problems))

    def stopped_by(self, error: Exception) -> "Report":
        """The same report with a problem more, which was found after it or cut it short."""
        return replace(self, problems=[*self.problems, str(error)])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: what validation.json holds."""
        return {
            "bench": self.bench,
            "questions": self.questions,
            "ok": self.ok,
            "problems": self.problems,
            "notes": self.notes,
            "dropped_questions": self.dropped,
            "models": [asdict(row) for row in self.rows],
        }

    def write(self, layout: Layout) -> None:
        """Write validation.tsv and validation.json."""
        text = io.StringIO()
        # Tabs and line ends in a reason would break the columns for simple readers.
        plain = str.maketrans("\t\r\n", "   ")
        writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE,
                            quotechar=None)  # fmt: skip
        writer.writerow(column.name for column in fields(Row))
        for row in self.rows:
            cells = (printable(str(value)).translate(plain) for value in asdict(row).values())
            writer.writerow(cells)
        write_atomic(layout.validation_table, text.getvalue())
        content = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
        write_atomic(layout.validation, content + "\n")

    def table(self) -> str:
        """The rows and all that was found, in 80 columns."""
        sections = {
            "Found": [f"{row.model}: {row.reason}" for row in self.rows if row.reason],
            "Notes": self.notes,
            "Stops a run": self.problems,
        }
        lines = [f"{self.bench}: {self.questions:,} questions", ""]
        lines += table(_COLUMNS, self.rows, _STYLE)
        for title, texts in sections.items():
            lines += ["", f"{title}:"] if texts else []
            lines += [line for text in texts for line in _STYLE.wrap(text, "  ", "    ")]
        return printable("\n".join([*lines, "", self._verdict()]))

    def _verdict(self) -> str:
        states = Counter(row.state for row in self.rows)
        others = ("blocked", "foreign_judgments", *LEFT_OUT)
        parts = [f"{states[state]} {state}" for state in others if states[state]]
        games = sum(self.games.values())
        blocked = parts or self.problems
        end = (
            "nothing blocks" if self.ok else "blocked, see above" if blocked else "none is selected"
        )
        return f"{', '.join([f'{len(self.ready)} ready ({games:,} games)', *parts])}: {end}"
