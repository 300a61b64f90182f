"""What a campaign used: a row for each batch and a total, from the batches' records and the
journals; and their page in the report.

A game belongs to the batch that was running for its model when it ended. Times of a batch, in
seconds, over all its attempts (retries, and later runs of the same batch):

    held  = start + busy + idle       while the job ran
    start = from the judge's launch until it was ready
    busy  = at least one game was open
    idle  = the rest: start and end of the job, restarts of the judge
"""

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from arena.data.layout import Layout
from arena.journals.batches import Batch, read_batches
from arena.journals.progress import Calls, Progress
from arena.pages.html import Cell, Page, Part, Tab, Table, Value, number
from arena.support import slurm

TOTAL = "total"
# Sums over games; columns that are summed for the total.
_OF_GAMES = (
    *("games", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("failures", "asked_again", "retries"),
)
_SUMS = (*_OF_GAMES, "gpu_hours", "start_s", "busy_s", "idle_s", "restarts", "jobs")
# Column -> heading on the page, and what it means.
_HEADINGS = {
    "batch": ("Batch", ""),
    "models": ("Models", "that shared its judge server"),
    "gpu_hours": ("GPU hours", "by Slurm's accounting, else by the batch's own record"),
    "start_s": ("Start (s)", "from the judge's launch until it was ready"),
    "busy_s": ("Busy (s)", "at least one game was open"),
    "idle_s": ("Idle (s)", "the job ran without an open game"),
    "games": ("Games", ""),
    "prompt_tokens": ("Prompt tokens", "as counted by the server"),
    "cached_tokens": ("of these cached", "prefixes that prompts share, computed once"),
    "completion_tokens": ("Completion tokens", ""),
    "games_per_hour": ("Games per hour", "of busy time"),
    "failures": ("No verdict", "games that ended in any state but ok"),
    "asked_again": ("Asked again", "games that had ended without a verdict before"),
    "retries": ("Retries", "calls that failed and were repeated"),
    "restarts": ("Restarts", "of the judge"),
    "jobs": ("Jobs", "one for each attempt"),
    "source": ("Source", "of the GPU hours: Slurm's accounting, or the batch's own record"),
    "cost": ("Cost", "GPU hours times their price"),
}
COLUMNS = tuple(_HEADINGS)
_STRETCHES = {"start_s": "starting", "busy_s": "busy", "idle_s": "idle"}


def ledger(root: Path, now: float, price: float | None = None, since: float = 0.0) -> pd.DataFrame:
    """A row with COLUMNS for each batch that was started, and the total as the last one.

    source: `slurm` or `record`. NaN: cost without a price, games_per_hour without a game.

    now: s since 1970, taken as the end of running batches. price: of one GPU hour. since: only
    attempts that started at this time or later.
    """
    started = []
    for batch in read_batches(root):
        if attempts := tuple(one for one in batch.attempts if one.start >= since):
            started.append(replace(batch, attempts=attempts))
    accounts, problem = slurm.sacct(one.job for b in started for one in b.attempts if one.job)
    if problem:
        text = f"sacct failed ({problem}): GPU hours are taken from the batches' own records"
        print(text, file=sys.stderr)
    games = _games(root, started, now)
    rows = [_row(batch, games[games.batch == batch.name], now, accounts) for batch in started]
    total: dict[str, Any] = {column: sum(row[column] for row in rows) for column in _SUMS}
    models = {model for batch in started for model in batch.models}
    sources = "+".join(sorted({row["source"] for row in rows}))
    total |= {"batch": TOTAL, "models": len(models), "source": sources}
    frame = pd.DataFrame([*rows, total])
    frame["games_per_hour"] = 3600 * frame.games / frame.busy_s.where(frame.busy_s > 0)
    frame["cost"] = frame.gpu_hours * (math.nan if price is None else price)
    return frame[list(COLUMNS)]


def ledger_page(rows: pd.DataFrame, title: str, notes: Sequence[str] = ()) -> Page:
    """rows: of `ledger`; the last one is the total."""
    shown = [column for column in _HEADINGS if column != "cost" or rows.cost.notna().any()]
    batch, *others = (_HEADINGS[column] for column in shown)
    columns = dict([batch, ("Job time", "point at a part to see its seconds"), *others])
    lines = [_line(row, shown) for row in rows.to_dict("records")]
    table = Table(columns, lines, total=True)
    about = "One row for each batch of models that shared a judge server."
    part = Part(key=list(_STRETCHES.values()), table=table)
    return Page(title, about, notes, [Tab("ledger", [part])])


def _line(row: Mapping[str, Any], columns: Sequence[str]) -> list[Value]:
    batch, *cells = (_cell(column, row[column]) for column in columns)
    held = sum(row[column] for column in _STRETCHES)
    stretches = [
        (name, 100 * row[column] / held, f"{name} {row[column]:,.0f} s")
        for column, name in _STRETCHES.items()
        if held
    ]
    return [batch, Cell("", held, stretches=stretches), *cells]


def _cell(column: str, value: str | float) -> Value:
    if isinstance(value, str):
        return value
    return number(None if pd.isna(value) else value, 2 if column in ("gpu_hours", "cost") else 0)


def _games(root: Path, batches: Sequence[Batch], now: float) -> pd.DataFrame:
    """The games that were asked: their batch, `begin`, `end`, and their tokens and retries. Games
    outside of all attempts of their model's batches are left out.
    """
    found = []
    attempts: dict[str, list[tuple[float, float, str]]] = defaultdict(list)  # of each model
    for batch in batches:
        for attempt in batch.attempts:
            stop = now if attempt.end is None else attempt.end
            for model in batch.models:
                attempts[model].append((attempt.start, stop, batch.name))
    for model, times in attempts.items():
        times.sort(reverse=True)  # the attempt that started last wins
        calls = Calls()
        for line in Progress(Layout(root).journal(model)).update().lines:
            end = line.end
            if not line.attempts or end is None:
                continue
            again, asked = calls.again(line), calls.of(line)
            if name := next((name for start, stop, name in times if start <= end <= stop), None):
                tokens = map(line.tokens, ("prompt", "cached", "completion"))
                counts = (1, *tokens, int(line.state != "ok"), int(again), asked - 1)
                found.append((name, end - (line.seconds or 0), end, *counts))
    return pd.DataFrame(found, columns=["batch", "begin", "end", *_OF_GAMES])


def _row(
    batch: Batch, games: pd.DataFrame, now: float, accounts: Mapping[str, slurm.Account]
) -> dict[str, Any]:
    start = sum(attempt.starting(now) for attempt in batch.attempts)
    busy = open_seconds(zip(games.begin, games.end, strict=True))
    jobs = {attempt.job or "" for attempt in batch.attempts}
    accounted = jobs <= accounts.keys()  # not if an attempt ran without Slurm
    if accounted:  # includes the seconds before our program starts
        held = sum(accounts[job].elapsed for job in jobs)
        hours = sum(accounts[job].gpu_hours for job in jobs)
        # A Slurm that does not track GPUs reports none: count those requested.
        hours = hours or held / 3600 * batch.attempts[-1].gpus
    else:
        held = sum(attempt.elapsed(now) for attempt in batch.attempts)
        hours = batch.gpu_hours(now)
    return games[list(_OF_GAMES)].sum().to_dict() | {
        "batch": batch.name,
        "models": len(batch.models),
        "gpu_hours": hours,
        "start_s": start,
        "busy_s": busy,
        "idle_s": max(0.0, held - start - busy),
        "restarts": sum(len(attempt.restarts) for attempt in batch.attempts),
        "jobs": len(batch.attempts),
        "source": "slurm" if accounted else "record",
    }


def open_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals: the time in which at least one game was open."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
