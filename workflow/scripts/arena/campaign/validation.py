"""What can be judged and what cannot, checked before a judge is started."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, fields

from arena.batch.answer_plan import AnswerPlan, make_answer_plan
from arena.batch.made import check_owner, made_otherwise
from arena.data.answers import Facts, FactsMemory
from arena.data.judgments import is_foreign
from arena.data.layout import Layout
from arena.data.prompts import ANY_CATEGORY, needed_of_category
from arena.data.questions import read_questions
from arena.journals.records import write_json
from arena.setup.notes import NameHints, notes_on
from arena.setup.settings import Settings
from arena.support.errors import ConfigError, DataError
from arena.support.humanize import counted, listing, printable
from arena.support.jsonl import write_atomic
from arena.support.names import check_model_name, did_you_mean
from arena.support.table import Column, Style, table

READY = ("ready", "incomplete", "to_answer")
OPPONENTS = ("baseline", "reference", "blocked")
# States in which one model is not judged; a foreign judgment stops the whole run.
LEFT_OUT = {"no_answers": "without answers", "broken": "with broken files"}
MOST_LINES = 3  # more models in the same state share one line
MOST_PLAIN = 12  # rows of models without remarks
# The leaderboard's table of all questions, and the config's key for all other categories.
_RESERVED = ("overall", ANY_CATEGORY)
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
        none = [] if self.ready else ["no model can be judged", *self.left_out()]
        if problems := self.problems or none:
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


def check_settings(settings: Settings) -> Report:
    """Check questions, answers, baselines and judgments of a campaign.

    Facts about answer files are cached in the results folder. A model with an invalid name or
    broken files affects only its own row. Raises DataError if the questions or one of their
    categories cannot be used, and ConfigError if a category has no baseline.
    """
    check_owner(settings.judgments_dir, settings.root)
    bench, layout = read_questions(settings.questions), Layout(settings.root)
    asked, models = settings.asked(), settings.selected
    for question in bench:
        if question.category in _RESERVED:
            text = f"a category cannot be named {question.category!r}: this name is reserved for"
            raise DataError(f"{settings.questions}:{question.line}: {text} all categories")
    files = FactsMemory(layout.answers_memory, asked, bench)
    hints = NameHints(settings)
    rows, foreign, gaps = list[Row](), list[str](), set[int]()
    problems, games = list[str](), dict[str, int]()
    plan = make_answer_plan(settings, asked)
    opponents = defaultdict[tuple[str, str], list[int]](list)  # the questions it must answer
    for position, question in enumerate(asked):
        baseline = needed_of_category(settings.baselines, question.category, "baseline")
        opponents[baseline, "baseline"].append(position)
    if reference := settings.judge["reference"]:
        check_model_name(reference, where="config: judge.reference")
        opponents[reference, "reference"] = list(range(len(asked)))
    for (model, role), needed in opponents.items():
        if model in plan.models:
            reason = "its answers are made first"
            rows.append(_row(model, None, len(needed), len(needed), role, [reason]))
            continue
        facts, without, state, remarks = _opponent(model, role, needed, settings, files)
        remarks += [plan.problems[model]] if model in plan.problems else []
        rows.append(_row(model, facts, len(needed), len(without), state, remarks))
        if state == "blocked":
            problems.append(f"{role} {model}: {rows[-1].reason}")
        else:
            gaps |= without
    for model in models:
        facts, state, remarks = _model(model, settings.answer(model), files, hints)
        missing: Collection[int] = facts.missing if facts else range(len(asked))
        lost = gaps.union(missing)
        if model in plan.models:
            state, remarks, lost = "to_answer", [], gaps
        elif not facts and model in plan.unfinished:
            remarks = ["its checkpoint is still being written"]
        elif problem := plan.problems.get(model):
            state, remarks = (state, [*remarks, problem]) if facts else ("broken", [problem])
        to_play = 2 * (len(asked) - len(lost))
        if state in READY and not to_play:
            # It would make its whole batch fail.
            others = "baseline and reference have" if reference else "the baseline has"
            remarks = [f"no answers to the questions that {others} answered"]
            state = "no_answers"
        judgment = settings.judgment(model)
        try:
            if state in READY and is_foreign(judgment, layout.journal(model)):
                foreign.append(model)
                state, remarks = "foreign_judgments", [f"{judgment} was not made by this workflow"]
        except DataError as error:
            state, remarks = "broken", [str(error)]
        rows.append(_row(model, facts, len(asked), len(missing), state, remarks))
        if state == "no_answers" and settings.missing_answers == "error":
            problems.append(f"{model}: {rows[-1].reason} (missing_answers: error)")
        elif state in READY:
            games[model] = to_play
    for name in settings.odd_names:
        try:
            check_model_name(name, where="its name")
        except ConfigError as error:
            rows.append(_row(name, None, len(asked), len(asked), "broken", [str(error)]))
    if foreign:
        text = f"{counted(len(foreign), 'judgment file')} in {settings.judgments_dir} not made by "
        text += f"this workflow would be overwritten ({listing(foreign)}): run `snakemake adopt` to"
        problems.append(f"{text} import them, or move them to another folder")
    files.save()
    dropped = [asked[position].uid for position in sorted(gaps)]
    notes = [*settings.pilot_note()]
    if gaps:
        notes.append(f"{counted(len(gaps), 'question')} dropped for all models: {listing(dropped)}")
    notes += [*notes_on(settings, games), *plan.notes]
    unselected = [model for model in settings.models if model not in models]
    notes += made_otherwise(layout, unselected, settings.digest)
    return Report(settings.bench, len(asked), rows, problems, notes, dropped, games, plan)


def _opponent(
    model: str, role: str, needed: list[int], settings: Settings, files: FactsMemory
) -> tuple[Facts | None, set[int], str, list[str]]:
    """Facts, questions without an answer, state and remarks of a baseline or reference."""
    policy, path = settings.baseline_gaps, settings.answer(model)
    facts, remarks = _facts(path, files)
    gaps = set(needed).intersection(facts.missing) if facts else set(needed)
    unusable = facts is None or facts.unreadable or len(gaps) == len(needed)
    if facts is None and not remarks:
        near = did_you_mean(model, (file.stem for file in settings.answers_dir.glob("*.jsonl")))
        remarks = [f"no answers: {path} does not exist{near}"]
    elif facts and gaps:
        what = f"{counted(len(gaps), 'question')} without an answer"
        then = "dropped for all models" if policy == "drop" else f"baseline_gaps: {policy}"
        remarks = [*remarks, what] if unusable else [f"{what}: {then}", *remarks]
    return facts, gaps, "blocked" if unusable or (gaps and policy == "block") else role, remarks


def _model(
    model: str, path: str, files: FactsMemory, hints: NameHints
) -> tuple[Facts | None, str, list[str]]:
    """Facts, state and remarks of a model by its answers alone."""
    facts, remarks = _facts(path, files)
    if facts is None and not remarks:
        return None, "no_answers", [f"no answers: {path} does not exist{hints.near(model)}"]
    if facts is None or facts.unreadable:
        return facts, "broken", remarks
    if not facts.answers and facts.strange:
        text = f"{path}: none of its {facts.strange} answers is to a question of this bench"
        return facts, "broken", [text]
    if not facts.answers:
        return facts, "no_answers", [f"no answers: {path} has none to these questions"]
    if facts.missing:
        without = f"{counted(len(facts.missing), 'question')} without an answer: skipped"
        return facts, "incomplete", [without, *remarks]
    return facts, "ready", remarks


def _row(
    model: str, facts: Facts | None, questions: int, missing: int, state: str, remarks: list[str]
) -> Row:
    counts = {
        name: getattr(facts, name, 0) for name in ("duplicates", "empty", "cut", "unreadable")
    }
    reason = "; ".join(remarks)
    return Row(model, questions, questions - missing, missing, **counts, state=state, reason=reason)


def _facts(path: str, files: FactsMemory) -> tuple[Facts | None, list[str]]:
    """Facts and remarks about an answer file, the worst first; or why it cannot be read."""
    try:
        facts = files.facts(path)
    except DataError as error:
        return None, [str(error)]
    if facts is None:
        return None, []
    remarks = []
    if facts.first_unreadable:
        line, message = facts.first_unreadable
        more = f" (and {facts.unreadable - 1} more)" if facts.unreadable > 1 else ""
        remarks.append(f"{path}:{line}: {message}{more}")
    found = [
        (facts.empty, "empty answer", " (judged too)"),
        (facts.cut, "answer", " truncated at the token limit"),
        (facts.duplicates, "duplicate", ": the last answer counts"),
        (facts.strange, "answer", " to unknown questions: ignored"),
    ]
    remarks += [counted(number, noun) + what for number, noun, what in found if number]
    return facts, remarks + ([facts.other_model] if facts.other_model else [])
