"""What a campaign used: one row a batch and a total, from the records of its servers and the
journals.

A game belongs to the batch that was alive for its model when it ended. Times of a batch, in
seconds, over all its attempts (each retry is one, and each later run that asks for it):

    held  = start + busy + idle       while the batch had its node
    start = from the judge's launch until it answered
    busy  = at least one game was open
    idle  = the rest: the job began or ended, nobody asked, or the judge was restarted
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from arena.data.layout import Layout
from arena.journals.progress import Calls, Line, Progress
from arena.journals.records import Attempt, Batch, read_batches
from arena.support import slurm

TOTAL = "total"


@dataclass(frozen=True)
class Row:
    """A line of ledger.tsv, its fields in the order of the columns.

    failures: games that ended without a verdict, in any state but ok. asked_again: those of `games`
    that had ended so before. retries: calls that failed and were made again. restarts: times that
    the judge was started again. source: whose GPU hours these are, `slurm` (accounting) or `record`
    (the batch's own start and end). cost: None without a price.
    """

    batch: str
    models: int
    gpu_hours: float
    start_s: float
    busy_s: float
    idle_s: float
    games: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    games_per_hour: float | None
    failures: int
    asked_again: int
    retries: int
    restarts: int
    jobs: int
    source: str
    cost: float | None


COLUMNS = tuple(field.name for field in fields(Row))


def ledger(
    root: Path,
    now: float,
    price: float | None = None,
    accounts: Mapping[str, slurm.Account] | None = None,
    since: float = 0.0,
) -> list[Row]:
    """The rows of all batches that began, and the total as the last one.

    now: s since 1970, the end of what still runs. price: of one GPU hour. accounts: by Slurm job
    id, see `account`; what they lack is taken from the batch's own record. since: only attempts
    that began at this time or later.
    """
    begun = []
    for batch in read_batches(root):
        late = tuple(one for one in batch.attempts if not since or (one.start or 0) >= since)
        begun += [replace(batch, attempts=late)] if late else []
    lines = _lines_by_batch(root, begun, now)
    rows = [_row(batch, lines[batch.name], now, price, accounts or {}) for batch in begun]
    return [*rows, _total(rows, {model for batch in begun for model in batch.models})]


def account(root: Path) -> tuple[dict[str, slurm.Account], str | None]:
    """Slurm's accounting of all jobs of a campaign, and why it cannot be had."""
    return slurm.sacct(one.job for b in read_batches(root) for one in b.attempts if one.job)


def as_tsv(rows: Iterable[Row]) -> str:
    """What ledger.tsv holds; a number that is not known is an empty field."""
    frame = pd.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS))
    return frame.round(4).to_csv(sep="\t", index=False, lineterminator="\n")


class _Asked(NamedTuple):
    """A finished game: whether it had ended before, without a verdict, and its calls since."""

    line: Line
    again: bool
    calls: int


def _lines_by_batch(root: Path, batches: list[Batch], now: float) -> dict[str, list[_Asked]]:
    """The games that each batch asked. Those outside every attempt of their model's batches are
    left out.
    """
    found: dict[str, list[_Asked]] = {batch.name: [] for batch in batches}
    spans: dict[str, list[tuple[float, float, str]]] = {}
    for batch in batches:
        for attempt in batch.attempts:
            if attempt.start is not None:
                # The first version wrote ends in whole seconds, its last games end within them. An
                # attempt without an end may have lived a little longer than can be known.
                stop = now if attempt.end is None else attempt.end + 1
                span = (attempt.start, stop, batch.name)
                for model in batch.models:
                    spans.setdefault(model, []).append(span)
    for model, times in spans.items():
        times.sort(reverse=True)  # the attempt that began last
        calls = Calls()
        for line in Progress(Layout(root).journal(model)).update().lines:
            end = line.end
            if not line.attempts or end is None:
                continue
            asked = _Asked(line, calls.again(line), calls.of(line))
            name = next((n for start, stop, n in times if start <= end <= stop), None)
            if name is not None:
                found[name].append(asked)
    return found


def _row(
    batch: Batch,
    asked: list[_Asked],
    now: float,
    price: float | None,
    accounts: Mapping[str, slurm.Account],
) -> Row:
    lines = [one.line for one in asked]
    start = sum(_starting(attempt, now) for attempt in batch.attempts)
    busy = open_seconds((line.end - (line.seconds or 0), line.end) for line in lines)
    jobs = {attempt.job for attempt in batch.attempts if attempt.job}
    accounted = bool(jobs) and jobs <= set(accounts)
    if accounted:  # Slurm counts from the job's first second, before ours ran
        held = sum(accounts[job].elapsed for job in jobs)
        # Where GPUs are no counted resource of the accounting it names none: then those asked for.
        hours = sum(accounts[job].gpu_hours for job in jobs) or held / 3600 * batch.gpus
    else:
        held = sum(attempt.held(now) for attempt in batch.attempts)
        hours = batch.gpu_hours(now)
    return Row(
        batch=batch.name,
        models=len(batch.models),
        gpu_hours=hours,
        start_s=start,
        busy_s=busy,
        idle_s=max(0.0, held - start - busy),
        games=len(lines),
        prompt_tokens=sum(line.tokens("prompt") for line in lines),
        cached_tokens=sum(line.tokens("cached") for line in lines),
        completion_tokens=sum(line.tokens("completion") for line in lines),
        games_per_hour=_per_hour(len(lines), busy),
        failures=sum(line.state != "ok" for line in lines),
        asked_again=sum(one.again for one in asked),
        retries=sum(one.calls - 1 for one in asked),
        restarts=sum(len(attempt.restarts) for attempt in batch.attempts),
        jobs=len(batch.attempts),
        source="slurm" if accounted else "record",
        cost=None if price is None else hours * price,
    )


def _total(rows: list[Row], models: Collection[str]) -> Row:
    """The sum of all rows; a model that was in several batches is one."""
    sums = {
        column: sum(getattr(row, column) for row in rows)
        for column in COLUMNS
        if column not in ("batch", "models", "games_per_hour", "source", "cost")
    }
    costs = [row.cost for row in rows if row.cost is not None]
    sources = sorted({row.source for row in rows})
    return Row(
        batch=TOTAL,
        models=len(models),
        **sums,
        games_per_hour=_per_hour(sums["games"], sums["busy_s"]),
        source="+".join(sources),
        cost=sum(costs) if costs else None,
    )


def _per_hour(games: int, busy: float) -> float | None:
    """Games an hour of busy time; None where nothing was asked."""
    return games / busy * 3600 if busy > 0 else None


def _starting(attempt: Attempt, now: float) -> float:
    """Seconds from the launch until the judge answered; to the end where it never did."""
    launched = attempt.launched or (attempt.start if attempt.ready is not None else None)
    return 0.0 if launched is None else max(0.0, (attempt.ready or attempt.until(now)) - launched)


def open_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals: how long at least one game was open."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
