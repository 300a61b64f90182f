"""The result of a validation: rows, errors and notes, as a table and as files."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields

from arena.batch.answer_plan import AnswerPlan
from arena.data.layout import Layout
from arena.journals.records import write_json
from arena.support.errors import DataError
from arena.support.humanize import counted, listing, printable
from arena.support.jsonl import write_atomic
from arena.support.table import Column, Style, table

READY = ("ready", "incomplete", "to_answer")
OPPONENTS = ("baseline", "reference", "blocked")
# States in which one model is not judged; a foreign judgment stops the whole run.
LEFT_OUT = {"no_answers": "without answers", "broken": "with broken files"}
MOST_LINES = 3  # more models in the same state share one line
MOST_PLAIN = 12  # rows of models without remarks
_STYLE = Style(80, unicode=False, whole=True)  # fits a default terminal and any log
_COLUMNS = [
    Column("model", lambda row: row.model, right=False, names=True),
    Column("answers", lambda row: f"{row.answers}/{row.questions}"),
    Column("missing", lambda row: str(row.missing or "-")),
    Column("duplicates", lambda row: str(row.duplicates or "-")),
    Column("empty", lambda row: str(row.empty or "-")),
    Column("cut", lambda row: str(row.cut or "-")),
    Column("unreadable", lambda row: str(row.unreadable or "-")),
    Column("state", lambda row: row.state, right=False),
]


@dataclass(frozen=True, slots=True)
class Row:
    """One model, a line of validation.tsv (FORMATS: "Our own files").

    state: ready, incomplete (judged on the answers that it has), to_answer (its answers are
    made in the same run), no_answers (none that can be judged), broken, foreign_judgments;
    baseline, reference, or blocked (one of these two that stops the run). reason: remarks in
    words, with file and line.
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
    """problems: errors that stop a run. notes: other remarks. dropped: uids of questions that the
    baseline or the reference has not answered. games: ready model -> number of its games, two for
    each question. answers: the plan of answers that are made first.
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
        return {row.model for row in self.rows if row.state in READY}

    @property
    def ok(self) -> bool:
        """Whether a run would start; it leaves out models without answers or with broken files."""
        return bool(self.ready) and not self.problems

    def left_out(self) -> list[str]:
        """A line for each model that will not be judged; one line for many in the same state."""
        lines = []
        for state, why in LEFT_OUT.items():
            lost = [row for row in self.rows if row.state == state]
            if len(lost) > MOST_LINES:
                models = f"{counted(len(lost), 'model')} {why}: {listing([r.model for r in lost])}"
                lines.append(f"left out: {models}; all of them: snakemake validate")
            else:
                lines += [printable(f"left out: {row.model}: {row.reason}") for row in lost]
        return lines

    def broken_notes(self, judged: Iterable[str]) -> list[str]:
        """A note for the tables on judged models whose files are broken now; [] without any."""
        broken = {row.model for row in self.rows if row.state == "broken"}
        found = [model for model in judged if model in broken]
        note = "judged on earlier answers, because their files are broken now: "
        return [note + listing(found, most=10)] if found else []

    def with_gaps(self) -> list[str]:
        """A line that names the models that will be judged on fewer questions than all."""
        rows = [row for row in self.rows if row.state == "incomplete"]
        found = [f"{row.model} ({row.answers} of {row.questions})" for row in rows]
        more = "; all of them: snakemake validate" * (len(rows) > MOST_LINES + 1)
        return [f"judged on fewer questions: {listing(found, MOST_LINES)}{more}"] if rows else []

    def raise_blocking(self) -> None:
        """Raise DataError with all errors that stop a run, or if no model can be judged."""
        problems = list(self.problems)
        if not problems and not self.ready:
            problems = ["no model can be judged", *self.left_out()]
        if problems:
            raise DataError("\n".join(problems))

    def write(self, layout: Layout) -> None:
        # Tabs and line ends in a reason would break the columns for simple readers.
        plain = str.maketrans("\t\r\n", "   ")
        models = [asdict(row) for row in self.rows]
        lines = [[column.name for column in fields(Row)]]
        lines += [[printable(str(value)).translate(plain) for value in m.values()] for m in models]
        write_atomic(layout.validation_table, "".join("\t".join(line) + "\n" for line in lines))
        content = {
            **{"bench": self.bench, "questions": self.questions, "ok": self.ok},
            **{"problems": self.problems, "notes": self.notes},
            **{"dropped_questions": self.dropped, "models": models},
        }
        write_json(layout.validation, content)

    def table(self) -> str:
        """Errors, rows, remarks and notes, in 80 columns if names allow it; counts that are 0 for
        all models have no column.
        """
        found, errors = dict[str, list[str]](), "\n".join(self.problems)
        for row in self.rows:
            if f"{row.model}: {row.reason}" not in errors:
                found.setdefault(row.reason, []).append(row.model)
        remarks = [f"{listing(who)}: {reason}" for reason, who in found.items() if reason]
        lines = [f"{self.bench}: {self.questions:,} questions", ""]
        lines += [*_section("Errors", self.problems), ""] if self.problems else []
        plain = [row.model for row in self.rows if row.state == "ready" and not row.reason]
        hidden = set(plain[MOST_PLAIN:])
        shown = [row for row in self.rows if row.model not in hidden]
        columns = [c for c in _COLUMNS if any(c.text(row) != "-" for row in self.rows)]
        lines += table(columns, shown, _STYLE)
        if hidden:
            lines.append(f"and {len(hidden)} more that are ready with all answers")
        for title, texts in {"Remarks": remarks, "Notes": self.notes}.items():
            lines += ["", *_section(title, texts)] if texts else []
        return printable("\n".join(lines))

    def conclusion(self, judged: int = 0) -> str:
        """In one line: what a run would do, or what stops it. judged: games in the journals."""
        models = [row for row in self.rows if row.state not in OPPONENTS]
        games = sum(self.games.values())
        known = f", {judged:,} of them judged" if judged else ""
        left_out = len(models) - len(self.ready)
        end = f"a run leaves out {left_out}, see above" if left_out else "no errors"
        if self.problems:
            subjects = [problem.partition(": ")[0] for problem in self.problems]
            end = f"nothing can run until this is fixed: {listing(subjects)}"
        elif not self.ready:
            end = "no model can be judged, see above" if models else "no model is selected"
        ready = f"{len(self.ready)} of {len(models)} ready ({games:,} games{known})"
        return printable(f"{ready}; {end}")


def _section(title: str, texts: Iterable[str]) -> list[str]:
    return [f"{title}:", *(line for text in texts for line in _STYLE.wrap(text, "  ", "    "))]
