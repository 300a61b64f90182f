"""The monitor's screen: totals, jobs, models and what is wrong, in any width from 80 columns."""

import fnmatch
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from arena.campaign.jobs import JobRow
from arena.campaign.problems import Problem
from arena.campaign.status import CampaignStatus, ModelRow
from arena.data.game_state import STATES
from arena.support.humanize import count, duration, share
from arena.support.names import in_order
from arena.support.table import Column, Style, table

WIDE = 120  # columns of a terminal that has room for every detail
ROOMY = 32  # lines of a terminal that has room for blank ones

# What --sort knows. What needs a look comes first, what nothing can be said of last.
_ACTIVITY = ("stopped", "failed", "judging", "starting", "queued", "planned", "no job")
SORTS: dict[str, Callable[[ModelRow], Any]] = {
    "model": lambda row: in_order(row.model),
    "activity": lambda row: _ACTIVITY.index(row.at) if row.at in _ACTIVITY else len(_ACTIVITY),
    "answers": lambda row: row.answers.answered or 0,
    "games": lambda row: -row.played,
    "odd": lambda row: -row.odd,
    "speed": lambda row: -row.speed,
    "left": lambda row: -(row.left or 0),
}


def chosen(rows: Sequence[ModelRow], filters: Sequence[str], sort: str | None) -> list[ModelRow]:
    """Rows whose name matches one of the globs, or which are in a state of one of the names."""
    kept = [row for row in rows if not filters or any(_matches(row, one) for one in filters)]
    return sorted(kept, key=SORTS[sort]) if sort else kept


def _matches(row: ModelRow, wanted: str) -> bool:
    words = (row.mark, row.at, row.batch or "", *(s for s, games in row.states.items() if games))
    return fnmatch.fnmatchcase(row.model, wanted) or wanted in words


def screen(
    status: CampaignStatus,
    found: Sequence[Problem],
    rows: Sequence[ModelRow],
    style: Style,
    height: int | None = None,
) -> list[str]:
    """All lines; with a height, as many as a screen has, and models are cut before anything else.

    What is wrong comes last on a page that is printed once, where the eye is when it has scrolled
    by, and on top of a screen, where it is never cut.
    """
    blank = [""] if height is None or height >= ROOMY else []
    head = [*_heading(status, style), *blank, *_totals(status, style), *blank]
    jobs = [*_jobs(status, style), *blank] if status.jobs else []
    wrong = _problems(found, style)
    if height is None:
        return [*head, *jobs, *_models(status, rows, style, None), "", *wrong]
    wrong = [piece for line in wrong for piece in _pieces(line, style.width)]
    wrong = [*_first(wrong, height // 4), *blank]
    jobs = _first(jobs, height // 3)
    most = height - len(head) - len(wrong) - len(jobs) - 3  # heading, titles, the rest counted
    return [*head, *wrong, *jobs, *_models(status, rows, style, max(3, most))][:height]


def _pieces(line: str, width: int) -> list[str]:
    """A path that is longer than the screen, on as many lines as it needs."""
    if not line.startswith("  see ") or len(line) <= width:
        return [line]
    return [line[start : start + width] for start in range(0, len(line), width)]


def _first(lines: list[str], most: int) -> list[str]:
    """At most so many lines, and that there are more."""
    return (
        lines
        if len(lines) <= most
        else [*lines[: most - 1], f"  {len(lines) - most + 1} lines more"]
    )


def _heading(status: CampaignStatus, style: Style) -> list[str]:
    root = status.campaign.layout.root
    toy = " (a toy: its verdicts mean nothing)" if status.toy else ""
    at = datetime.fromtimestamp(status.time).strftime("%d %b %H:%M:%S")
    title = style.fit(f"{root.parent.name}, judge {root.name}{toy}", style.width - len(at) - 2)
    return [style.paint(title, "head") + at.rjust(style.width - len(title))]


def _totals(status: CampaignStatus, style: Style) -> list[str]:
    marks = [row.mark for row in status.rows]
    models = ", ".join(f"{marks.count(mark)} {mark}" for mark in ("done", "partial", "missing"))
    part = status.played / status.games if status.games else 0.0
    bar = style.bar(part, 20 if style.width < WIDE else 40)
    speed = f"{status.speed:.1f} a second, {duration(status.left)} left at this speed"
    states = ", ".join(f"{status.states[s]:,} {s}" for s in STATES if status.states[s] or s == "ok")
    again = sum(row.tally.retries for row in status.rows)
    prompt, cached, completion = status.usage
    lines = [
        f"models    {len(marks)}: {models}",
        f"games     {bar} {status.played:,} of {status.games:,}"
        f" ({share(status.played, status.games)})",
    ]
    if status.speed:
        lines.append(f"          {speed}")
    lines.append(f"          {states}" + (f"; {again:,} calls made again" if again else ""))
    lines.append(
        f"tokens    {count(prompt)} prompt ({share(cached, prompt)} cached), "
        f"{count(completion)} completion"
    )
    for answers in status.baselines:
        mark = style.paint(f"{style.mark(answers.mark)} {answers.mark}", answers.mark)
        lines.append(
            f"baseline  {answers.model}: {_of(answers.answered, answers.questions)} answers {mark}"
        )
    return lines


def _jobs(status: CampaignStatus, style: Style) -> list[str]:
    """What runs and waits, a line a batch; batches that are done are only counted."""
    by_model = {row.model: row for row in status.rows}
    newest = max(job.batch.run for job in status.jobs)
    shown = [job for job in status.jobs if job.state != "ended"]
    kinds = [job.state for job in status.jobs]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    heading = style.paint(f"JOBS of run {newest}: {counts}", "head")

    def name(job: JobRow) -> str:
        """Short for batches of this run, whole for older ones that still have a job."""
        return job.batch.name.removeprefix(f"{newest}-")

    def rows_of(job: JobRow) -> list[ModelRow]:
        return [by_model[model] for model in job.batch.models if model in by_model]

    def time(job: JobRow) -> str:
        held = job.held(status.time)
        if held is None:
            return ""
        limit = f" of {duration(job.job.limit)}" if job.job and job.job.limit else ""
        return duration(held) + limit

    columns = [
        Column("batch", name, right=False),
        Column("job", lambda job: job.job_id or "", right=False),
        Column("state", lambda job: job.state, kind=_job_kind, right=False),
        Column("node", lambda job: job.node, right=False),
        Column("time", time),
        Column(
            "done", lambda job: _of(sum(r.mark == "done" for r in rows_of(job)), len(rows_of(job)))
        ),
        Column(
            "games",
            lambda job: _of(
                sum(r.played for r in rows_of(job)), sum(r.games or 0 for r in rows_of(job))
            ),
        ),
        Column("why", lambda job: job.reason, right=False, shrinks=True),
    ]
    return [heading, *(table(columns, shown, style) if shown else [])]


def _job_kind(job: JobRow) -> str:
    return {"running": "done", "failed": "grave", "gone": "grave"}.get(job.state, "")


def _models(
    status: CampaignStatus, rows: Sequence[ModelRow], style: Style, most: int | None
) -> list[str]:
    current = {job.batch.name for job in status.jobs}
    all_rows = len(status.rows)
    columns = [
        Column("", lambda row: style.mark(row.mark), lambda row: row.mark),
        Column("model", lambda row: row.model, right=False, shrinks=True),
        Column(
            "answers",
            lambda row: (
                f"{_of(row.answers.answered, row.answers.questions)} {style.mark(row.answers.mark)}"
            ),
            lambda row: row.answers.mark,
        ),
        Column("judged", lambda row: _of(row.judged, row.games and row.games // 2)),
        Column("", lambda row: row.mark, lambda row: row.mark, right=False),
        Column("games", lambda row: _of(row.played, row.games)),
        *(
            Column(state, lambda row, state=state: f"{row.states.get(state, 0):,}", least=WIDE)
            for state in STATES
        ),
        Column(
            "odd", lambda row: f"{row.odd:,}" if row.odd else "", lambda _: "partial", most=WIDE - 1
        ),
        Column("again", lambda row: f"{row.tally.retries:,}" if row.tally.retries else ""),
        Column("a second", lambda row: f"{row.speed:.1f}" if row.speed else "", least=WIDE),
        Column("left", _left),
        Column("batch", lambda row: _batch(row, current), right=False, least=WIDE),
    ]
    shown = rows if most is None else rows[:most]
    heading = f"MODELS {len(rows)} of {all_rows}" if len(rows) != all_rows else f"MODELS {all_rows}"
    legend = ", ".join(f"{style.mark(kind)} {kind}" for kind in ("done", "partial", "missing"))
    lines = [f"{style.paint(heading, 'head')}   {legend}", *table(columns, shown, style)]
    if len(shown) < len(rows):
        lines.append(f"  {len(rows) - len(shown)} more: --filter, --sort, or a taller terminal")
    return lines


def _batch(row: ModelRow, current: set[str]) -> str:
    """Its name (of the first version's, `<run>-<number>`, the number) while it is shown above."""
    if row.batch is None:
        return ""
    return row.batch.rpartition("-")[2] if row.batch in current else "earlier"


def _left(row: ModelRow) -> str:
    """The time left while it plays, else what it waits for."""
    if row.at == "judging" and row.left is not None:
        return duration(row.left)
    return "" if row.at == "no answers" else row.at


def _problems(found: Sequence[Problem], style: Style) -> list[str]:
    if not found:
        return [style.paint("NOTHING WRONG", "head")]
    lines = [style.paint(f"WRONG {len(found)}", "head")]
    for problem in found:
        kind = "grave" if problem.grave else "note"
        first, *rest = style.wrap(problem.text, f"{style.mark(kind)} ", "  ")
        lines += [style.paint(first[:1], kind) + first[1:], *rest]
        if problem.where:
            lines.append(f"  see {problem.where}")
    return lines


def _of(part: int | None, whole: int | None) -> str:
    return f"{'–' if part is None else f'{part:,}'}/{'–' if whole is None else f'{whole:,}'}"
