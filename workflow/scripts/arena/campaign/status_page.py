"""The status as one JSON object, whose stable keys are in docs/campaign.md, and as an HTML page
that reloads itself.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from arena.campaign.jobs import ALIVE, JobRow
from arena.campaign.problems import Problem
from arena.campaign.status import Answers, CampaignStatus, ModelRow, pace
from arena.campaign.status_view import ACTIVITY, job_columns, model_columns, of
from arena.data.verdict import STATES
from arena.pages.html import Card, Cell, Page, Part, Tab, Table, Value
from arena.support.humanize import duration, share
from arena.support.table import Column, Style

# Of a curve: shorter steps are noise, and more of them do not fit on a screen.
LEAST_STEP_S, MOST_STEPS = 10, 120


def as_json(
    status: CampaignStatus, rows: Sequence[ModelRow], found: Sequence[Problem]
) -> dict[str, Any]:
    """Times are ISO 8601 in UTC, durations are seconds, unknown values are null."""
    return {
        "time": datetime.fromtimestamp(status.time, UTC).isoformat(timespec="seconds"),
        "root": str(status.campaign.layout.root),
        "beside": [str(folder) for folder in status.campaign.beside()],
        "toy": status.toy,
        "totals": status.totals,
        "baselines": [_answers(answers) for answers in status.baselines],
        "jobs": [_job(job, status.time) for job in status.jobs],
        "answers": status.stage and as_json(status.stage, status.stage.rows, ()),
        "models": [
            {
                **_answers(row.answers),
                "judged": row.judged,
                "played": row.played,
                "games": row.games,
                "states": {state: row.states[state] for state in STATES},
                **pace(row.speed, row.left),
                "judgments": row.mark,
                "at": row.at,
                "retries": row.tally.retries,
                "batch": row.batch,
            }
            for row in rows
        ],
        "wrong": [asdict(one) | {"where": one.where or None} for one in found],
    }


def _answers(one: Answers) -> dict[str, Any]:
    counts = {"answers": one.answered, "questions": one.questions}
    return {"model": one.model, **counts, "mark": one.mark}


def _job(job: JobRow, now: float) -> dict[str, Any]:
    elapsed = job.elapsed(now)
    return {
        "batch": job.batch.name,
        "models": list(job.batch.models),
        "state": job.state,
        "job": job.job_id,
        "node": job.node or None,
        "seconds": None if elapsed is None else round(elapsed),
        "limit": job.job.limit if job.job else None,
        "reason": job.reason or None,
        "expected_start": (job.job.expected or None) if job.job else None,
    }


def status_page(
    status: CampaignStatus,
    rows: Sequence[ModelRow],
    found: Sequence[Problem],
    refresh: float | None = None,
) -> Page:
    """refresh: see Page."""
    root = status.campaign.layout.root
    about = f"{root}, updated {datetime.fromtimestamp(status.time).strftime('%d %b %H:%M:%S')}"
    notes = ["The demo judge is a toy: its verdicts are meaningless."] if status.toy else []
    others = status.campaign.beside()
    notes += [f"Another results folder, not shown here: {path}" for path in others]
    page = Page(status.title, about, notes, written=status.time, refresh=refresh)
    page.tabs = [Tab(status.words.product.capitalize(), list(_parts(page, status, rows, found)))]
    if stage := status.stage:
        page.tabs.append(Tab("Answers", list(_parts(page, stage, stage.rows, ()))))
    return page


def _parts(
    page: Page, status: CampaignStatus, rows: Sequence[ModelRow], found: Sequence[Problem]
) -> Iterator[Part]:
    yield Part(cards=_cards(status, found))
    if found:
        remarks = [("\nsee ".join(filter(None, (one.text, one.where))), one.grave) for one in found]
        yield Part("Problems", remarks=remarks)
    yield Part("Models by state", "One square per model, filled by its progress.", tiles=_map(rows))
    if jobs := status.jobs:
        columns = job_columns(status)
        heads = [column.title.capitalize() for column in columns]
        lines = [[_cell(column, job) for column in columns] for job in jobs]
        yield Part("Jobs of the newest run", table=Table(heads, lines))
    what = f"{status.words.request}s"
    if points := speeds(status):
        from arena.pages import charts  # here: Altair takes half a second

        text = "Blue: all jobs together; grey: single jobs, whose names are tooltips."
        chart = page.chart(charts.speeds(points, what))
        yield Part(f"{what.capitalize()} per second", text, chart)
    columns = [one for one in model_columns(status, Style()) if one.title not in ("", *STATES)]
    model, *others = (one.title.capitalize() for one in columns)
    hints = dict.fromkeys([model, "State", "Progress", *others], "")
    hints["Progress"] = f"blue: done, orange: {status.words.missed}"
    cells = [[_cell(column, row) for column in columns] for row in rows]
    for row, line in zip(rows, cells, strict=True):
        line[1:1] = [row.at, _bar(row)]
    yield Part("Models", table=Table(hints, cells))


def _cards(status: CampaignStatus, found: Sequence[Problem]) -> list[Card]:
    totals, grave = status.totals, sum(one.grave for one in found)
    played, games, speed = totals["played"], totals["games"], totals["games_per_second"]
    known = "–" if totals["with_answers"] is None else totals["with_answers"]
    rest = f"{totals['partial']} partial, {totals['missing']} missing"
    is_alive = any(job.state in ALIVE for job in status.jobs)
    left = f"{duration(totals['seconds_left'])} left" if is_alive else "nothing runs"
    what = f"{status.words.request}s".capitalize()
    cards = [
        Card("Models", f"{totals['models']}", f"{known} with answers"),
        Card("Done", f"{totals['done']}", rest),
        Card(what, share(played, games), f"{played:,} of {games:,}"),
        Card("Speed", f"{speed:.1f}/s", left),
    ]
    if not status.is_answering:
        missed = played - totals["states"]["ok"]
        retries = f"{missed:,}; {totals['retries']:,} retries"
        cards.append(Card("No verdict", share(missed, played), retries))
        cards.append(Card("Problems", f"{len(found)}", f"{grave} of them stop work", bool(grave)))
    return cards


def _map(rows: Sequence[ModelRow]) -> dict[str, list[tuple[str, float]]]:
    tiles = defaultdict(list)
    for row in rows:
        part = 100 if row.at == "done" else 100 * min(1, row.played / (row.games or math.inf))
        tiles[row.at].append((f"{row.model}: {of(row.played, row.games)}", part))
    return {state: tiles[state] for state in ACTIVITY if tiles[state]}


def _cell(column: Column, row: Any) -> Value:
    text = column.text(row)
    if not column.right:
        return text
    number = re.match(r"[\d,.]+", text)
    key = column.key(row) if column.key else number and float(number[0].replace(",", ""))
    return Cell(text, "" if key is None else key)


def _bar(row: ModelRow) -> Cell:
    parts = {"busy": row.played - row.no_verdict, "starting": row.no_verdict}
    bar = [
        (name, 100 * number / max(row.games, row.played), f"{number:,}")
        for name, number in parts.items()
        if row.games and number
    ]
    return Cell("", row.played / row.games if bar and row.games else "", stretches=bar)


def speeds(status: CampaignStatus) -> list[dict[str, Any]]:
    """Time, batch and games a second in each step since the newest run's first job started; the
    batch "" is the sum of all batches. [] if no game has finished.
    """
    batches = {job.batch.name for job in status.jobs}
    attempts = [(job.batch.run, one) for job in status.jobs for one in job.batch.attempts]
    starts = [one.start for run, one in attempts if one.start and one.run in (None, run)]
    start = min(starts, default=status.time)
    ends = [
        (row.batch, end)
        for row in status.rows
        if row.batch in batches
        for line in row.journal.lines
        if line.attempts and (end := line.end) and start <= end <= status.time
    ]
    alive = any(job.state in ALIVE for job in status.jobs)
    length = (status.time if alive else max((end for _, end in ends), default=start)) - start
    step = max(LEAST_STEP_S, length / MOST_STEPS)
    counts = Counter(
        (name, int((end - start) / step)) for batch, end in ends for name in ("", batch)
    )
    return [
        {
            "time": datetime.fromtimestamp(start + (place + 0.5) * step, UTC).isoformat(),
            "batch": batch,
            "speed": counts[batch, place] / step,
        }
        for batch in dict.fromkeys(name for name, _ in counts)
        for place in range(max(1, int(length / step)))  # without the last one, which is not over
    ]
