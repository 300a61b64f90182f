"""The outcome of a validation: rows, what blocks, and the forms it is shown and kept in."""

from collections import Counter
from dataclasses import asdict, dataclass, field, fields

from arena.batch.answer_plan import AnswerPlan
from arena.data.layout import Layout
from arena.journals.records import write_json
from arena.support.errors import DataError
from arena.support.humanize import counted, listing, printable
from arena.support.jsonl import write_atomic
from arena.support.table import Column, Style, table

READY = ("ready", "incomplete", "to_answer")
# States that keep one model from being judged; a foreign judgment stops the whole run.
LEFT_OUT = {"no_answers": "without answers", "broken": "with broken files"}
MOST_LINES = 3  # more of a state are one line
MOST_PLAIN = 12  # rows of models of which there is nothing to say
_STYLE = Style(80, unicode=False, whole=True)  # a terminal as it opens, and any log
_COLUMNS = [
    Column("model", lambda row: row.model, right=False, names=True),
    Column("answers", lambda row: f"{row.answers}/{row.questions}"),
    Column("miss", lambda row: str(row.missing or "-")),
    Column("dupl", lambda row: str(row.duplicates or "-")),
    Column("empty", lambda row: str(row.empty or "-")),
    Column("cut", lambda row: str(row.cut or "-")),
    Column("bad", lambda row: str(row.unreadable or "-")),
    Column("state", lambda row: row.state, right=False),
]


@dataclass(frozen=True, slots=True)
class Row:
    """One model as validation.tsv has it (FORMATS: "Our own files").

    state: ready, incomplete (judged on the answers that are there), to_answer (its answers are
    made in the same run), no_answers (none that can be judged), broken, foreign_judgments;
    baseline and reference for those two, blocked for one of them that stops the run. reason: what
    was found, in words, with file and line.
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
    games: of each model that is ready, how many there are to play, two a question. answers: those
    that are made first.
    """

    bench: str
    questions: int
    rows: list[Row]
    problems: list[str]
    notes: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    games: dict[str, int] = field(default_factory=dict)
    answers: AnswerPlan = field(default_factory=AnswerPlan)

    @property
    def ready(self) -> set[str]:
        """The models that can be judged."""
        return {row.model for row in self.rows if row.state in READY}

    @property
    def ok(self) -> bool:
        """Nothing blocks, neither the run nor a model; models without answers are just left out."""
        broken = any(row.state == "broken" for row in self.rows)
        return bool(self.ready) and not self.problems and not broken

    def left_out(self) -> list[str]:
        """A line a model that will not be judged; one line for many in the same state."""
        lines = []
        for state, why in LEFT_OUT.items():
            lost = [row for row in self.rows if row.state == state]
            if len(lost) > MOST_LINES:
                models = f"{counted(len(lost), 'model')} {why}: {listing([r.model for r in lost])}"
                lines.append(f"left out: {models}; all of them: snakemake validate")
            else:
                lines += [printable(f"left out: {row.model}: {row.reason}") for row in lost]
        return lines

    def raise_blocking(self) -> None:
        """Raise DataError with all that stops a run; also where no model is left to judge."""
        problems = list(self.problems)
        if not problems and not self.ready:
            problems = ["no model can be judged", *self.left_out()]
        if problems:
            raise DataError("\n".join(problems))

    def write(self, layout: Layout) -> None:
        """Write validation.tsv and validation.json."""
        # Tabs and line ends in a reason would break the columns for simple readers.
        plain = str.maketrans("\t\r\n", "   ")
        models = [asdict(row) for row in self.rows]
        lines = [[column.name for column in fields(Row)]]
        lines += [[printable(str(value)).translate(plain) for value in m.values()] for m in models]
        write_atomic(layout.validation_table, "".join("\t".join(line) + "\n" for line in lines))
        content = {
            "bench": self.bench,
            "questions": self.questions,
            "ok": self.ok,
            "problems": self.problems,
            "notes": self.notes,
            "dropped_questions": self.dropped,
            "models": models,
        }
        write_json(layout.validation, content)

    def table(self) -> str:
        """The rows and all that was found, in 80 columns where names allow it; counts that are 0
        for all models have no column.
        """
        found: dict[str, list[str]] = {}
        for row in self.rows:
            found.setdefault(row.reason, []).append(row.model)
        sections = {
            "Found": [f"{listing(who)}: {reason}" for reason, who in found.items() if reason],
            "Notes": self.notes,
            "Stops a run": self.problems,
        }
        lines = [f"{self.bench}: {self.questions:,} questions", ""]
        plain = [row.model for row in self.rows if row.state == "ready" and not row.reason]
        hidden = set(plain[MOST_PLAIN:])
        shown = [row for row in self.rows if row.model not in hidden]
        columns = [c for c in _COLUMNS if any(c.text(row) != "-" for row in self.rows)]
        lines += table(columns, shown, _STYLE)
        if hidden:
            lines.append(f"and {len(hidden)} more that are ready, with all answers")
        for title, texts in sections.items():
            lines += ["", f"{title}:"] if texts else []
            lines += [line for text in texts for line in _STYLE.wrap(text, "  ", "    ")]
        return printable("\n".join([*lines, "", self._verdict()]))

    def _verdict(self) -> str:
        states = Counter(row.state for row in self.rows)
        others = ("blocked", "foreign_judgments", *LEFT_OUT)
        parts = [f"{states[state]} {state}" for state in others if states[state]]
        end = "blocked, see above" if parts or self.problems else "none is selected"
        ready = f"{len(self.ready)} ready ({sum(self.games.values()):,} games)"
        return f"{', '.join([ready, *parts])}: {'nothing blocks' if self.ok else end}"
