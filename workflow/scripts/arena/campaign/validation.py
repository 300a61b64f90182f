"""What can be judged and what cannot, known before a judge is started.

`check_settings` is the door for the workflow; `check` is the function behind it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from arena.campaign.validation_report import READY, Report, Row
from arena.data.answer_facts import Facts, FactsMemory
from arena.data.judgments import is_foreign
from arena.data.layout import Layout
from arena.data.prompts import ANY_CATEGORY
from arena.data.questions import Question, read_questions
from arena.setup.name_hints import NameHints
from arena.setup.settings import Settings, job_notes
from arena.support.errors import ConfigError, DataError
from arena.support.humanize import counted, listing
from arena.support.names import check_model_name, did_you_mean

# The leaderboard's own table, and what stands for all categories that are not named.
_RESERVED = ("overall", ANY_CATEGORY)


def check_settings(settings: Settings) -> Report:
    """Check what a campaign stands on, with a memory in its results folder."""
    layout = Layout(settings.root)
    report = check(
        bench=settings.bench,
        questions=settings.questions,
        answers_dir=settings.answers_dir,
        models=settings.selected,
        baselines=settings.baselines,
        reference=settings.judge["reference"],
        judgments_dir=settings.judgments_dir,
        layout=layout,
        known_models=settings.upstream.api_config() if settings.upstream else (),
        missing_answers=settings.missing_answers,
        baseline_gaps=settings.baseline_gaps,
        memory=layout.answers_memory,
        odd_names=settings.odd_names,
    )
    return replace(report, notes=report.notes + job_notes(settings))


def check(
    *,
    bench: str,
    questions: str | Path,
    answers_dir: str | Path,
    models: Sequence[str],
    baselines: Mapping[str, str],
    judgments_dir: str | Path,
    layout: Layout,
    reference: str | None = None,
    known_models: Iterable[str] = (),
    missing_answers: str = "skip",
    baseline_gaps: str = "drop",
    memory: Path | None = None,
    odd_names: Sequence[str] = (),
) -> Report:
    """Check questions, answers, baselines and judgments of a campaign.

    models: those to judge, neither baselines nor reference. baselines: category -> model, "*" for
    every category not named. reference: the model whose answers the judge also sees. known_models:
    names of the user's api_config.yaml, for suggestions. missing_answers ("skip", "error"): of a
    model without answers. baseline_gaps ("drop", "block"): of a question that the baseline or the
    reference has not answered. memory: of what was found, by path, size and time of change.
    odd_names: of models that cannot be a file's, each of which costs its own line. A judgment
    without its journal was made by others.

    Raises DataError where the questions, or a category of theirs, cannot be used, and ConfigError
    where a category has no baseline, or a name cannot be a file's.
    """
    asked = read_questions(questions)
    _check_categories(asked, questions)
    answers_dir = str(answers_dir)
    for name in (*models, *baselines.values(), *([reference] if reference else [])):
        check_model_name(name)
    files = FactsMemory(memory, asked)
    hints = NameHints(answers_dir, known_models, models)
    rows: list[Row] = []
    problems: list[str] = []
    gaps: set[int] = set()
    for model, role, needed in _opponents(asked, baselines, reference):
        row, without = _opponent_row(model, role, needed, answers_dir, files, baseline_gaps)
        rows.append(row)
        gaps |= without
        if row.state == "blocked":
            problems.append(f"{role} {model}: {row.reason}")
    foreign: list[str] = []
    games: dict[str, int] = {}
    for model in models:
        row, facts = _model_row(model, answers_dir, files, len(asked), hints)
        to_play = 2 * (len(asked) - len(gaps.union(facts.missing))) if facts else 0
        if row.state in READY and not to_play:
            # In its batch it would fail, and take the others with it.
            others = "baseline and reference have" if reference else "the baseline has"
            reason = f"no answers to the questions that {others} answered"
            row = replace(row, state="no_answers", reason=reason)
        judgment = f"{judgments_dir}/{model}.jsonl"
        try:
            others_made_it = row.state in READY and is_foreign(judgment, layout.journal(model))
        except DataError as error:
            others_made_it, row = False, replace(row, state="broken", reason=str(error))
        if others_made_it:
            foreign.append(model)
            reason = f"{judgment} was not made by this workflow"
            row = replace(row, state="foreign_judgments", reason=reason)
        elif row.state == "no_answers" and missing_answers == "error":
            problems.append(f"{model}: {row.reason} (missing_answers: error)")
        elif row.state in READY:
            games[model] = to_play
            hints.note(model)
        rows.append(row)
    for name in odd_names:
        try:
            check_model_name(name, where="its name")
        except ConfigError as error:
            rows.append(Row(name, len(asked), 0, len(asked), 0, 0, 0, 0, "broken", str(error)))
    if foreign:
        problems.append(
            f"{counted(len(foreign), 'judgment file')} in {judgments_dir} "
            f"{'was' if len(foreign) == 1 else 'were'} not made by this workflow and would be "
            f"overwritten ({listing(foreign)}): run `snakemake adopt` to take in what is judged, "
            "or move them away"
        )
    files.save()
    dropped = [asked[position].uid for position in sorted(gaps)]
    notes = [f"{counted(len(gaps), 'question')} dropped for all models: {listing(dropped)}"]
    notes = (notes if gaps else []) + hints.notes() + list(_alike([*models, *baselines.values()]))
    return Report(bench, len(asked), rows, problems, notes, dropped, games, files.read)


def _alike(names: Iterable[str]) -> Iterator[str]:
    """A note for each set of names that are one name where file systems ignore case."""
    by_folded: dict[str, set[str]] = {}
    for name in names:
        by_folded.setdefault(name.casefold(), set()).add(name)
    for same in by_folded.values():
        if len(same) > 1:
            yield f"{', '.join(sorted(same))}: differ in case only; are they two models?"


def _check_categories(asked: Sequence[Question], questions: str | Path) -> None:
    for question in asked:
        if question.category in _RESERVED:
            raise DataError(
                f"{questions}:{question.line}: no category can be called {question.category!r}: "
                "that is the name of all of them together"
            )


def _opponents(
    asked: Sequence[Question], baselines: Mapping[str, str], reference: str | None
) -> list[tuple[str, str, list[int]]]:
    """(model, role, positions of the questions it must answer) of baselines and reference."""
    needed: dict[str, list[int]] = {}
    for position, question in enumerate(asked):
        baseline = baselines.get(question.category) or baselines.get(ANY_CATEGORY)
        if not baseline:
            raise ConfigError(
                f"baseline: none for the category {question.category!r} of the questions; there "
                f"are baselines for {', '.join(sorted(baselines))}"
            )
        needed.setdefault(baseline, []).append(position)
    opponents = [(model, "baseline", positions) for model, positions in needed.items()]
    return opponents + ([(reference, "reference", list(range(len(asked))))] if reference else [])


def _opponent_row(
    model: str, role: str, needed: list[int], folder: str, files: FactsMemory, policy: str
) -> tuple[Row, set[int]]:
    """The row of a baseline or reference, and the positions of its gaps."""
    path = f"{folder}/{model}.jsonl"
    facts, fault = _facts(path, files)
    if facts is None:
        if not fault:
            near = did_you_mean(model, (file.stem for file in Path(folder).glob("*.jsonl")))
            fault = f"no answers: {path} does not exist{near}"
        return _row(model, None, len(needed), 0, "blocked", [fault]), set(needed)
    gaps = set(needed).intersection(facts.missing)
    remarks = _remarks(facts, path)
    if gaps:
        then = "dropped for all models" if policy == "drop" else f"baseline_gaps: {policy}"
        remarks.insert(0, f"{counted(len(gaps), 'question')} without an answer: {then}")
    blocked = facts.unreadable or len(gaps) == len(needed) or (gaps and policy == "block")
    state = "blocked" if blocked else role
    return _row(model, facts, len(needed), len(needed) - len(gaps), state, remarks), gaps


def _model_row(
    model: str, folder: str, files: FactsMemory, questions: int, hints: NameHints
) -> tuple[Row, Facts | None]:
    path = f"{folder}/{model}.jsonl"
    facts, fault = _facts(path, files)
    if facts is None:
        state = "broken" if fault else "no_answers"
        reason = fault or f"no answers: {path} does not exist{hints.near(model)}"
        return _row(model, None, questions, 0, state, [reason]), None
    remarks = _remarks(facts, path)
    if facts.unreadable:
        state = "broken"
    elif not facts.answers and facts.strange:
        state = "broken"
        remarks = [f"{path}: none of its {facts.strange} answers is to a question of this bench"]
    elif not facts.answers:
        state, remarks = "no_answers", [f"no answers: {path} is empty"]
    elif facts.missing:
        state = "incomplete"
        remarks.insert(0, f"{counted(len(facts.missing), 'question')} without an answer: skipped")
    else:
        state = "ready"
    return _row(model, facts, questions, facts.answers, state, remarks), facts


def _facts(path: str, files: FactsMemory) -> tuple[Facts | None, str]:
    """The facts, or what keeps a file that exists from being read."""
    try:
        return files.facts(path), ""
    except DataError as error:
        return None, str(error)


def _row(
    model: str, facts: Facts | None, questions: int, answers: int, state: str, remarks: list[str]
) -> Row:
    names = ("duplicates", "empty", "cut", "unreadable")
    counts = {name: getattr(facts, name) if facts else 0 for name in names}
    missing, reason = questions - answers, "; ".join(remarks)
    return Row(model, questions, answers, missing, **counts, state=state, reason=reason)


def _remarks(facts: Facts, path: str) -> list[str]:
    """What was found in a file, the worst first."""
    remarks: list[str] = []
    if facts.first_unreadable:
        line, message = facts.first_unreadable
        more = f" (and {facts.unreadable - 1} more)" if facts.unreadable > 1 else ""
        remarks.append(f"{path}:{line}: {message}{more}")
    if facts.empty:
        remarks.append(f"{counted(facts.empty, 'empty answer')} (judged too)")
    if facts.cut:
        remarks.append(f"{counted(facts.cut, 'answer')} cut off at the token cap")
    if facts.duplicates:
        remarks.append(f"{counted(facts.duplicates, 'duplicate')}: the last answer counts")
    if facts.strange:
        remarks.append(
            f"{counted(facts.strange, 'answer')} to questions that are not in this bench: ignored"
        )
    if facts.other_model:
        remarks.append(facts.other_model)
    return remarks
