"""The monitor's screen: totals, jobs, models and problems, at any width from 80 columns."""

import fnmatch
import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from arena.campaign.jobs import JobRow
from arena.campaign.problems import Problem
from arena.campaign.status import CampaignStatus, ModelRow
from arena.data.game_state import STATES
from arena.support.coerce import dict_of, list_of
from arena.support.humanize import count, counted, duration, listing, share
from arena.support.names import in_order
from arena.support.table import Column, Style, table

WIDE = 120  # columns of a terminal with room for batches and speeds
WIDEST = 160  # ... and for each state in which a game ends
ROOMY = 32  # lines of a terminal with room for blank ones

# The choices of --sort. `activity`: active models first, done ones last.
_ACTIVITY = (
    "judging",
    "answering",
    "starting",
    "publishing",
    "stopped",
    "failed",
    "queued",
    "planned",
    "no job",
)
SORTS: dict[str, Callable[[ModelRow], Any]] = {
    "model": lambda row: in_order(row.model),
    "activity": lambda row: _ACTIVITY.index(row.at) if row.at in _ACTIVITY else len(_ACTIVITY),
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
        jobs = [*_answers(status.stage, style), *blank, *jobs]
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
    root = status.campaign.layout.root
    toy = " (a toy: its verdicts mean nothing)" if status.toy else ""
    at = datetime.fromtimestamp(status.time).strftime("%d %b %H:%M:%S")
    judge = "answers" if status.is_answering else f"judge {root.name}"
    title = style.fit(f"{root.parent.name}, {judge}{toy}", style.width - len(at) - 2)
    return [style.paint(title, "head") + at.rjust(style.width - len(title))]


def _totals(status: CampaignStatus, style: Style) -> list[str]:
    judged = ", ".join(f"{number} {mark}" for mark, number in status.marks.items())
    known = "" if status.with_answers is None else f"; with answers: {status.with_answers}"
    part = status.played / status.games if status.games else 0.0
    bar = style.bar(part, 20 if style.width < WIDE else 40)
    games = f"{status.played:,} of {status.games:,} ({share(status.played, status.games)})"
    states = ", ".join(f"{status.states[s]:,} {s}" for s in STATES if status.states[s] or s == "ok")
    retries = f"; {counted(status.retries, 'retry', 'retries')}" if status.retries else ""
    prompt, cached, completion = status.usage
    tokens = f"{count(prompt)} prompt ({share(cached, prompt)} cached), {count(completion)} "
    unit, what = f"{status.words.request}s", "state" if status.is_answering else "judged"
    lines = [f"models    {len(status.rows)}{known}", f"{what:<10}{judged}"]
    lines.append(f"{unit:<10}{bar} {games}")
    if status.speed:
        left = f"{duration(status.left)} left at this speed"
        lines.append(f"          {status.speed:.1f} {unit}/s, {left}")
    lines += [f"          {states}{retries}", f"tokens    {tokens}completion"]
    for one in status.baselines:
        mark = style.paint(f"{style.mark(one.mark)} {one.mark}", one.mark)
        lines.append(f"baseline  {one.model}: {_of(one.answered, one.questions)} answers {mark}")
    if not status.batches:
        lines.append(f"run       none yet in {status.campaign.layout.root}")
    elif pilot := _pilot(status):
        lines.append(f"run       the newest was a pilot: --config {pilot} shows it")
    if beside := status.campaign.beside():
        results = status.campaign.layout.root.absolute().parents[1]
        names = [os.path.relpath(folder, results) for folder in beside]
        lines.append(f"others    {listing(names)}: not shown, see --results")
    return lines


def _pilot(status: CampaignStatus) -> str:
    """What must be given after --config to see the newest run; "" if it asked the same questions
    as the settings.
    """
    settings, batch = status.campaign.settings, status.batches[-1]
    pilot = dict_of(batch.plan.params.get("pilot"))
    if not settings or status.campaign.same_questions(batch):
        return ""
    parts = [f"questions={size}"] if (size := pilot.get("questions")) else []
    if categories := list_of(pilot.get("categories")):
        parts.append(f"categories='[{', '.join(map(str, categories))}]'")
    if size and (seed := pilot.get("seed")) != settings.seed:
        parts.append(f"seed={seed}")
    return " ".join(parts)


def _answers(stage: CampaignStatus, style: Style) -> list[str]:
    heading = f"ANSWERS {stage.played:,} of {stage.games:,} ({share(stage.played, stage.games)})"
    if stage.speed:
        heading += f", {stage.speed:.1f} answers/s, {duration(stage.left)} left at this speed"
    return [style.paint(heading, "head"), *_jobs(stage, style)]


def _jobs(status: CampaignStatus, style: Style) -> list[str]:
    """Running and waiting jobs, one line for each batch; ended ones are only counted."""
    newest = max(job.batch.run for job in status.jobs)
    states = Counter(job.state for job in status.jobs)
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    kinds = {"running": "done", "failed": "grave", "gone": "grave"}

    def done(job: JobRow) -> str:
        return _of(sum(row.done for row in status.rows_of(job)), len(status.rows_of(job)))

    def games(job: JobRow) -> str:
        mine = status.rows_of(job)
        return _of(sum(row.played for row in mine), sum(row.games or 0 for row in mine))

    def reason(job: JobRow) -> str:
        return job.reason.partition("\n")[0]  # a log's last lines are in the problems

    def time(job: JobRow) -> str:
        elapsed = job.elapsed(status.time)
        limit = f" of {duration(job.job.limit)}" if job.job and job.job.limit else ""
        return "" if elapsed is None else duration(elapsed) + limit

    columns = [
        # Without the run in the names of its own batches (first version: `<run>-<number>`).
        Column("batch", lambda job: job.batch.name.removeprefix(f"{newest}-"), right=False),
        Column("job", lambda job: job.job_id or "", right=False),
        Column("state", lambda job: job.state, lambda job: kinds.get(job.state, ""), right=False),
        Column("node", lambda job: job.node, right=False),
        Column("time", time),
        Column("done", done),
        Column(f"{status.words.request}s", games),
        Column("reason", reason, right=False, shrinks=True),
    ]
    shown = [job for job in status.jobs if job.state != "ended"]
    heading = style.paint(f"JOBS of run {newest}: {counts}", "head")
    return [heading, *(table(columns, shown, style) if shown else [])]


def _models(
    status: CampaignStatus, rows: Sequence[ModelRow], style: Style, most: int | None
) -> list[str]:
    current = {job.batch.name for job in status.jobs}

    def answers(row: ModelRow) -> str:
        one = row.answers
        return f"{_of(one.answered, one.questions)} {style.mark(one.mark)}"

    def number(games: int) -> str:
        return f"{games:,}" if games else ""

    def state(name: str) -> Column:
        return Column(name, lambda row: f"{row.states.get(name, 0):,}", least=WIDEST, spare=6)

    def left(row: ModelRow) -> str:
        """Time left while it is judged, else its state."""
        if row.at == "judging" and row.left is not None:
            return duration(row.left)
        return "" if row.at == "no answers" else row.at

    def batch(row: ModelRow) -> str:
        """Name of a batch that is listed in JOBS; "earlier" for any other."""
        name = row.batch or ""
        return name.rpartition("-")[2] if name in current or not name else "earlier"

    unit, missing = f"{status.words.request}s", "empty" if status.is_answering else "no verdict"
    of_judging = [
        Column("answers", answers, lambda row: row.answers.mark, spare=1),
        Column("judged", lambda row: _of(row.judged, row.games and row.games // 2)),
    ]
    columns = [
        Column("", lambda row: style.mark(row.mark), lambda row: row.mark),
        Column("model", lambda row: row.model, right=False, names=True),
        *([] if status.is_answering else of_judging),
        Column("", lambda row: row.mark, lambda row: row.mark, right=False, spare=5),
        Column(unit, lambda row: _of(row.played, row.games)),
        *map(state, STATES[1:]),
        Column(missing, lambda row: number(row.no_verdict), lambda _: "partial", spare=3),
        Column("retries", lambda row: number(row.tally.retries), spare=4),
        Column(f"{unit}/s", lambda row: f"{row.speed:.1f}" if row.speed else "", least=WIDE),
        Column("left", left),
        Column("batch", batch, right=False, least=WIDE, spare=2),
    ]
    shown = rows if most is None else rows[:most]
    part = f"{len(rows)} of " if len(rows) != len(status.rows) else ""
    heading = f"MODELS {part}{len(status.rows)}"
    legend = ", ".join(f"{style.mark(kind)} {kind}" for kind in status.marks)
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


def _of(part: int | None, whole: int | None) -> str:
    return f"{'–' if part is None else f'{part:,}'}/{'–' if whole is None else f'{whole:,}'}"
