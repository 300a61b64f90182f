"""What a campaign used: a row for each batch and a total, from the batches' records and the
journals.

A game belongs to the batch that was running for its model when it ended. Times of a batch, in
seconds, over all its attempts (retries, and later runs of the same batch):

    held  = start + busy + idle       while the job ran
    start = from the judge's launch until it was ready
    busy  = at least one game was open
    idle  = the rest: start and end of the job, restarts of the judge
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from arena.data.layout import Layout
from arena.journals.attempts import Attempt
from arena.journals.batches import Batch, read_batches
from arena.journals.progress import Calls, Progress
from arena.support import slurm

TOTAL = "total"
# Sums over games; columns that are summed for the total; all columns in their order.
_OF_GAMES = (
    *("games", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("failures", "asked_again", "retries"),
)
_SUMS = (*_OF_GAMES, "gpu_hours", "start_s", "busy_s", "idle_s", "restarts", "jobs")
COLUMNS = (
    *("batch", "models", "gpu_hours", "start_s", "busy_s", "idle_s", *_OF_GAMES[:4]),
    *("games_per_hour", *_OF_GAMES[4:], "restarts", "jobs", "source", "cost"),
)


def ledger(
    root: Path,
    now: float,
    price: float | None = None,
    accounts: Mapping[str, slurm.Account] | None = None,
    since: float = 0.0,
) -> pd.DataFrame:
    """A row with COLUMNS for each batch that was started, and the total as the last one.

    failures: games that ended without a verdict, in any state but ok. asked_again: games that had
    ended so before. retries: calls that failed and were retried. restarts: of the judge. source:
    of the GPU hours: `slurm` (accounting) or `record` (the batch's own start and end). NaN: cost
    without a price, games_per_hour without a game.

    now: s since 1970, taken as the end of running batches. price: of one GPU hour. accounts: by
    Slurm job id, see `account`; else the batch's own record counts. since: only attempts that
    started at this time or later.
    """
    started = []
    for batch in read_batches(root):
        late = tuple(one for one in batch.attempts if not since or (one.start or 0) >= since)
        started += [replace(batch, attempts=late)] if late else []
    games = _games(root, started, now)
    rows = [_row(batch, games[games.batch == batch.name], now, accounts or {}) for batch in started]
    total: dict[str, Any] = {column: sum(row[column] for row in rows) for column in _SUMS}
    models = {model for batch in started for model in batch.models}
    sources = "+".join(sorted({row["source"] for row in rows}))
    total |= {"batch": TOTAL, "models": len(models), "source": sources}
    frame = pd.DataFrame([*rows, total])
    frame["games_per_hour"] = 3600 * frame.games / frame.busy_s.where(frame.busy_s > 0)
    frame["cost"] = frame.gpu_hours * (math.nan if price is None else price)
    return frame[list(COLUMNS)]


def account(batches: Iterable[Batch]) -> tuple[dict[str, slurm.Account], str | None]:
    """Slurm's accounting of all jobs of these batches, and why it failed (or None)."""
    return slurm.sacct(one.job for batch in batches for one in batch.attempts if one.job)


def as_tsv(rows: pd.DataFrame) -> str:
    """Content of ledger.tsv; unknown numbers are empty fields."""
    return rows.round(4).to_csv(sep="\t", index=False, lineterminator="\n")


def _games(root: Path, batches: Sequence[Batch], now: float) -> pd.DataFrame:
    """The games that were asked: their batch, `begin`, `end`, and their tokens and retries. Games
    outside of all attempts of their model's batches are left out.
    """
    found = []
    attempts: dict[str, list[tuple[float, float, str]]] = defaultdict(list)  # of each model
    for batch in batches:
        for attempt in batch.attempts:
            if attempt.start is not None:
                # The first version recorded ends in whole seconds, which may be too early.
                stop = now if attempt.end is None else attempt.end + 1
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
    start = sum(_starting(attempt, now) for attempt in batch.attempts)
    busy = open_seconds(zip(games.begin, games.end, strict=True))
    jobs = {attempt.job for attempt in batch.attempts if attempt.job}
    accounted = bool(jobs) and jobs <= set(accounts)
    if accounted:  # includes the seconds before our program starts
        held = sum(accounts[job].elapsed for job in jobs)
        # A Slurm that does not track GPUs reports none: count those requested.
        hours = sum(accounts[job].gpu_hours for job in jobs) or held / 3600 * batch.gpus
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


def _starting(attempt: Attempt, now: float) -> float:
    """Seconds from the launch until the judge was ready, or until the end if it never was."""
    launched = attempt.launched or (attempt.start if attempt.ready is not None else None)
    return 0.0 if launched is None else max(0.0, (attempt.ready or attempt.until(now)) - launched)


def open_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals: the time in which at least one game was open."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
