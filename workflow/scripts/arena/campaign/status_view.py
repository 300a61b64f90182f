"""The monitor's screen: totals, jobs, models and problems, at any width from 80 columns."""

import fnmatch
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from arena.campaign.jobs import JobRow
from arena.campaign.problems import Problem
from arena.campaign.status import MARKS, CampaignStatus, ModelRow
from arena.data.verdict import STATES
from arena.support.humanize import count, counted, duration, listing, share
from arena.support.names import in_order
from arena.support.table import Column, Style, table

WIDE = 120  # columns of a terminal with room for batches and speeds
WIDEST = 160  # ... and for each state in which a game ends
ROOMY = 32  # lines of a terminal with room for blank ones

# All states of models, active ones first.
ACTIVITY = (
    *("judging", "answering", "starting", "publishing", "stopped", "failed"),
    *("queued", "planned", "no job", "left out", "no answers", "done"),
)
# The choices of --sort.
SORTS: dict[str, Callable[[ModelRow], Any]] = {
    "model": lambda row: in_order(row.model),
    "activity": lambda row: ACTIVITY.index(row.at),
    "answers": lambda row: row.answers.answered or 0,
    "games": lambda row: -row.played,
    "no-verdict": lambda row: -row.no_verdict,
    "speed": lambda row: -row.speed,
    "left": lambda row: -(row.left or 0),
}


def chosen(rows: Sequence[ModelRow], filters: Sequence[str], sort: str | None) -> list[ModelRow]:
    """Rows that match one of the filters (a glob of model names, or a mark, state or batch)."""
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
    *,
    ordered: bool = False,
) -> list[str]:
    """All lines; with a height, as many as fit: models are cut first, and the most active ones
    stay unless the rows are `ordered`.

    Problems come last on a page that is printed once, next to the prompt, and on top of a screen,
    where they are never cut.
    """
    blank = [""] if height is None or height >= ROOMY else []
    head = [*_heading(status, style), *blank, *_totals(status, style), *blank]
    jobs = [*_jobs(status, style), *blank] if status.jobs else []
    if status.stage and any(job.state != "ended" for job in status.stage.jobs):
        totals = status.stage.totals
        made = ", ".join(filter(None, [_part(totals), _pace(totals, "answers")]))
        heading = style.paint(f"ANSWERS {made}", "head")
        jobs = [heading, *_jobs(status.stage, style), *blank, *jobs]
    wrong = _problems(found, style)
    if height is None:
        return [*head, *jobs, *_models(status, rows, style, None), "", *wrong]
    wrong = [piece for line in wrong for piece in _pieces(line, style.width)]
    wrong = [*_first(wrong, height // 4), *blank]
    jobs = _first(jobs, height // 3)
    most = height - len(head) - len(wrong) - len(jobs) - 3  # heading, titles, count of the rest
    if len(rows) > most and not ordered:
        rows = sorted(rows, key=SORTS["activity"])
    return [*head, *wrong, *jobs, *_models(status, rows, style, max(3, most))][:height]


def _pieces(line: str, width: int) -> list[str]:
    """The line; a path that is longer than the screen is split into several."""
    if not line.startswith("  see "):
        return [line]
    return [line[start : start + width] for start in range(0, len(line), width)]


def _first(lines: list[str], most: int) -> list[str]:
    """At most so many lines, and how many more there are."""
    more = len(lines) - most
    return lines if more <= 0 else [*lines[: most - 1], f"  {more + 1} more lines"]


def _heading(status: CampaignStatus, style: Style) -> list[str]:
    toy = " (a toy: its verdicts mean nothing)" if status.toy else ""
    at = datetime.fromtimestamp(status.time).strftime("  %d %b %H:%M:%S")
    title = style.fit(status.title + toy, style.width - len(at))
    return [style.paint(title, "head") + at.rjust(style.width - len(title))]


def _totals(status: CampaignStatus, style: Style) -> list[str]:
    totals, states = status.totals, status.totals["states"]
    judged = ", ".join(f"{totals[mark]} {mark}" for mark in MARKS)
    known = "" if totals["with_answers"] is None else f"; with answers: {totals['with_answers']}"
    played, games = totals["played"], totals["games"]
    bar = style.bar(played / games if games else 0.0, 20 if style.width < WIDE else 40)
    counts = ", ".join(f"{states[s]:,} {s}" for s in STATES if states[s] or s == "ok")
    retries = f"; {counted(totals['retries'], 'retry', 'retries')}" if totals["retries"] else ""
    prompt, completion = totals["prompt_tokens"], count(totals["completion_tokens"])
    tokens = f"{count(prompt)} prompt ({share(totals['cached_tokens'], prompt)} cached)"
    unit, what = f"{status.words.request}s", "state" if status.is_answering else "judged"
    lines = [f"models    {len(status.rows)}{known}", f"{what:<10}{judged}"]
    lines.append(f"{unit:<10}{bar} {_part(totals)}")
    if pace := _pace(totals, unit):
        lines.append(f"          {pace}")
    lines += [f"          {counts}{retries}", f"tokens    {tokens}, {completion} completion"]
    for one in status.baselines:
        mark = style.paint(f"{style.mark(one.mark)} {one.mark}", one.mark)
        lines.append(f"baseline  {one.model}: {of(one.answered, one.questions)} answers {mark}")
    if not status.has_run:
        lines.append(f"run       none yet in {status.campaign.layout.root}")
    elif status.batches and not status.campaign.same_questions(status.batches[-1]):
        lines.append("run       the newest asked other questions: give its --config to see it")
    if beside := status.campaign.beside():
        results = status.campaign.layout.root.absolute().parent.parent
        names = [os.path.relpath(folder, results) for folder in beside]
        lines.append(f"others    {listing(names)}: not shown, see --results")
    return lines


def _part(totals: Mapping[str, Any]) -> str:
    played, games = totals["played"], totals["games"]
    return f"{played:,} of {games:,} ({share(played, games)})"


def _pace(totals: Mapping[str, Any], unit: str) -> str:
    """Speed and time left; "" while nothing runs."""
    speed, left = totals["games_per_second"], duration(totals["seconds_left"])
    return f"{speed:.1f} {unit}/s, {left} left at this speed" if speed else ""


def job_columns(status: CampaignStatus) -> list[Column]:
    """Also of the monitor's page."""
    kinds = {"running": "done", "failed": "grave", "gone": "grave"}

    def done(job: JobRow) -> str:
        return of(sum(row.done for row in status.rows_of(job)), len(status.rows_of(job)))

    def games(job: JobRow) -> str:
        mine = status.rows_of(job)
        return of(sum(row.played for row in mine), sum(row.games or 0 for row in mine))

    def time(job: JobRow) -> str:
        elapsed = job.elapsed(status.time)
        limit = f" of {duration(job.job.limit)}" if job.job and job.job.limit else ""
        return "" if elapsed is None else duration(elapsed) + limit

    return [
        Column("batch", lambda job: job.batch.name, right=False),
        Column("job", lambda job: job.job_id or "", right=False),
        Column("state", lambda job: job.state, lambda job: kinds.get(job.state, ""), right=False),
        Column("node", lambda job: job.node, right=False),
        Column("time", time, key=lambda job: job.elapsed(status.time)),
        Column("done", done),
        Column(f"{status.words.request}s", games),
        # Only the first line: a log's last lines are in the problems.
        Column("reason", lambda job: job.reason.partition("\n")[0], right=False, shrinks=True),
    ]


def _jobs(status: CampaignStatus, style: Style) -> list[str]:
    """Running and waiting jobs, one line for each batch; ended ones are only counted."""
    newest = max(job.batch.run for job in status.jobs)
    states = Counter(job.state for job in status.jobs)
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    shown = [job for job in status.jobs if job.state != "ended"]
    heading = style.paint(f"JOBS of run {newest}: {counts}", "head")
    return [heading, *(table(job_columns(status), shown, style) if shown else [])]


def model_columns(status: CampaignStatus, style: Style) -> list[Column]:
    """Also of the monitor's page."""
    current = {job.batch.name for job in status.jobs}

    def answers(row: ModelRow) -> str:
        one = row.answers
        return f"{of(one.answered, one.questions)} {style.mark(one.mark)}"

    def left(row: ModelRow) -> str:
        """Time left while it is judged, else its state."""
        if row.left is not None:
            return duration(row.left)
        return "" if row.at == "no answers" else row.at

    def batch(row: ModelRow) -> str:
        """Name of a batch that is listed in JOBS; "earlier" for any other."""
        return row.batch if row.batch in current else "earlier" if row.batch else ""

    def number(games: int) -> str:
        return f"{games:,}" if games else ""

    def state(name: str) -> Column:
        return Column(name, lambda row: f"{row.states.get(name, 0):,}", least=WIDEST, spare=6)

    unit, missed = f"{status.words.request}s", status.words.missed
    of_judging = [
        Column("answers", answers, lambda row: row.answers.mark, spare=1),
        Column("judged", lambda row: of(row.judged, row.games and row.games // 2)),
    ]
    return [
        Column("", lambda row: style.mark(row.mark), lambda row: row.mark),
        Column("model", lambda row: row.model, right=False, names=True),
        *([] if status.is_answering else of_judging),
        Column("", lambda row: row.mark, lambda row: row.mark, right=False, spare=5),
        Column(unit, lambda row: of(row.played, row.games)),
        *map(state, STATES[1:]),
        Column(missed, lambda row: number(row.no_verdict), lambda _: "partial", spare=3),
        Column("retries", lambda row: number(row.tally.retries), spare=4),
        Column(f"{unit}/s", lambda row: f"{row.speed:.1f}" if row.speed else "", least=WIDE),
        Column("left", left, key=lambda row: row.left),
        Column("batch", batch, right=False, least=WIDE, spare=2),
    ]


def _models(
    status: CampaignStatus, rows: Sequence[ModelRow], style: Style, most: int | None
) -> list[str]:
    shown = rows if most is None else rows[:most]
    part = f"{len(rows)} of " if len(rows) != len(status.rows) else ""
    heading = f"MODELS {part}{len(status.rows)}"
    legend = ", ".join(f"{style.mark(kind)} {kind}" for kind in MARKS)
    columns = model_columns(status, style)
    lines = [f"{style.paint(heading, 'head')}   {legend}", *table(columns, shown, style)]
    if len(shown) < len(rows):
        lines.append(f"  {len(rows) - len(shown)} more: --filter, --sort, or a taller terminal")
    return lines


def _problems(found: Sequence[Problem], style: Style) -> list[str]:
    lines = [style.paint(f"PROBLEMS {len(found)}" if found else "no problems", "head")]
    for problem in found:
        kind = "grave" if problem.grave else "note"
        text, *log = problem.text.splitlines()  # the last lines of a log, each on its own line
        first, *rest = style.wrap(text, f"{style.mark(kind)} ", "  ")
        lines += [style.paint(first[:1], kind) + first[1:], *rest]
        lines += [piece for line in log for piece in style.wrap(line, "  ", "    ")]
        if problem.where and problem.where not in problem.text:
            lines.append(f"  see {problem.where}")
    return lines


def of(part: int | None, whole: int | None) -> str:
    return f"{'–' if part is None else f'{part:,}'}/{'–' if whole is None else f'{whole:,}'}"
