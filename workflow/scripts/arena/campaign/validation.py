"""What can be judged and what cannot, checked before a judge is started."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from arena.batch.answer_plan import make_answer_plan
from arena.batch.made import check_owner, made_otherwise
from arena.campaign.validation_report import READY, Report, Row
from arena.data.answer_facts import Facts, FactsMemory
from arena.data.judgments import is_foreign
from arena.data.layout import Layout
from arena.data.prompts import ANY_CATEGORY, of_category
from arena.data.questions import Question, read_questions
from arena.setup.name_hints import NameHints
from arena.setup.settings import Settings, job_notes
from arena.support.errors import ConfigError, DataError
from arena.support.humanize import counted, listing
from arena.support.names import check_model_name, did_you_mean

# The leaderboard's table of all questions, and the config's key for all other categories.
_RESERVED = ("overall", ANY_CATEGORY)


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
    for name in (*models, *(name for name, _ in settings.opponents())):
        check_model_name(name)
    files = FactsMemory(layout.answers_memory, asked, bench)
    upstream_names = settings.upstream.api_config if settings.upstream else ()
    hints = NameHints(settings.answers_dir, upstream_names, models)
    rows, foreign, gaps = list[Row](), list[str](), set[int]()
    problems, games = list[str](), dict[str, int]()
    plan = make_answer_plan(settings, asked)
    for model, role, needed in _opponents(asked, settings):
        if model in plan.models:
            rows.append(_row(model, None, len(needed), 0, role, ["its answers are made first"]))
            continue
        row, without = _opponent_row(model, role, needed, settings, files)
        if model in plan.problems:
            row = replace(row, reason=f"{row.reason}; {plan.problems[model]}")
        rows.append(row)
        if row.state == "blocked":
            problems.append(f"{role} {model}: {row.reason}")
        else:
            gaps |= without
    for model in models:
        row, facts = _model_row(model, settings.answer(model), files, len(asked), hints)
        if model in plan.models:
            row = replace(row, state="to_answer", reason="")
        elif facts is None and model in plan.unfinished:
            row = replace(row, reason="its checkpoint is still being written")
        elif problem := plan.problems.get(model):
            reasons = [row.reason, problem] if facts and row.reason else [problem]
            state = row.state if facts else "broken"
            row = replace(row, state=state, reason="; ".join(reasons))
        missing = () if model in plan.models else facts.missing if facts else range(len(asked))
        to_play = 2 * (len(asked) - len(gaps.union(missing)))
        if row.state in READY and not to_play:
            # It would make its whole batch fail.
            both = settings.judge["reference"]
            others = "baseline and reference have" if both else "the baseline has"
            reason = f"no answers to the questions that {others} answered"
            row = replace(row, state="no_answers", reason=reason)
        judgment = settings.judgment(model)
        try:
            if row.state in READY and is_foreign(judgment, layout.journal(model)):
                foreign.append(model)
                reason = f"{judgment} was not made by this workflow"
                row = replace(row, state="foreign_judgments", reason=reason)
        except DataError as error:
            row = replace(row, state="broken", reason=str(error))
        if row.state == "no_answers" and settings.missing_answers == "error":
            problems.append(f"{model}: {row.reason} (missing_answers: error)")
        elif row.state in READY:
            games[model] = to_play
        rows.append(row)
    for name in settings.odd_names:
        try:
            check_model_name(name, where="its name")
        except ConfigError as error:
            rows.append(_row(name, None, len(asked), 0, "broken", [str(error)]))
    if foreign:
        text = f"{counted(len(foreign), 'judgment file')} in {settings.judgments_dir} not made by "
        text += f"this workflow would be overwritten ({listing(foreign)}): run `snakemake adopt` to"
        problems.append(f"{text} import them, or move them to another folder")
    files.save()
    dropped = [asked[position].uid for position in sorted(gaps)]
    notes = [*settings.pilot_note()]
    if gaps:
        number = counted(len(gaps), "question")
        notes.append(f"{number} dropped for all models: {listing(dropped)}")
    notes += [*hints.notes(games), *_alike([*models, *settings.baseline_models])]
    notes += [*job_notes(settings), *plan.notes]
    unselected = [model for model in settings.models if model not in models]
    notes += made_otherwise(layout, unselected, settings.digest)
    return Report(settings.bench, len(asked), rows, problems, notes, dropped, games, plan)


def _alike(names: Iterable[str]) -> Iterator[str]:
    """A note for each set of names that some file systems treat as one because they ignore case."""
    by_folded = defaultdict[str, set[str]](set)
    for name in names:
        by_folded[name.casefold()].add(name)
    for same in by_folded.values():
        if len(same) > 1:
            yield f"{', '.join(sorted(same))}: these names differ only in case. Is it one model?"


def _opponents(asked: Sequence[Question], settings: Settings) -> list[tuple[str, str, list[int]]]:
    """(model, role, positions of the questions it must answer) for baselines and reference."""
    baselines, reference = settings.baselines, settings.judge["reference"]
    needed = defaultdict[str, list[int]](list)
    for position, question in enumerate(asked):
        baseline = of_category(baselines, question.category)
        if not baseline:
            text = f"baseline: none for the category {question.category!r}; configured are: "
            raise ConfigError(text + ", ".join(sorted(baselines)))
        needed[baseline].append(position)
    opponents = [(model, "baseline", positions) for model, positions in needed.items()]
    return opponents + ([(reference, "reference", list(range(len(asked))))] if reference else [])


def _opponent_row(
    model: str, role: str, needed: list[int], settings: Settings, files: FactsMemory
) -> tuple[Row, set[int]]:
    """The row of a baseline or reference, and the positions of questions without an answer."""
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
    state = "blocked" if unusable or (gaps and policy == "block") else role
    return _row(model, facts, len(needed), len(needed) - len(gaps), state, remarks), gaps


def _model_row(
    model: str, path: str, files: FactsMemory, questions: int, hints: NameHints
) -> tuple[Row, Facts | None]:
    facts, remarks = _facts(path, files)
    state = "ready"
    if facts is None:
        state = "broken" if remarks else "no_answers"
        remarks = remarks or [f"no answers: {path} does not exist{hints.near(model)}"]
    elif facts.unreadable:
        state = "broken"
    elif not facts.answers and facts.strange:
        state = "broken"
        remarks = [f"{path}: none of its {facts.strange} answers is to a question of this bench"]
    elif not facts.answers:
        state, remarks = "no_answers", [f"no answers: {path} has none to these questions"]
    elif facts.missing:
        state = "incomplete"
        remarks.insert(0, f"{counted(len(facts.missing), 'question')} without an answer: skipped")
    return _row(model, facts, questions, facts.answers if facts else 0, state, remarks), facts


def _row(
    model: str, facts: Facts | None, questions: int, answers: int, state: str, remarks: list[str]
) -> Row:
    names = ("duplicates", "empty", "cut", "unreadable")
    counts = {name: getattr(facts, name) if facts else 0 for name in names}
    missing, reason = questions - answers, "; ".join(remarks)
    return Row(model, questions, answers, missing, **counts, state=state, reason=reason)


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
