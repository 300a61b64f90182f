"""What a campaign used: one row a batch and a total, from the records of its servers and the
journals.

A game belongs to the batch that was alive for its model when it ended. Times of a batch, in
seconds, over all its lives (a retry is another life):

    held  = start + busy + idle       while the batch had its node
    start = from the judge's launch until it answered
    busy  = at least one game was open
    idle  = the rest: the job began or ended, nobody asked, or the judge was restarted
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from arena.journals.records import Batch, Life, read_batches
from arena.journals.progress import Calls, Line, Progress
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

    Parameters
    ----------
    root
        Results folder of a judge.
    now
        Seconds since 1970: the end of what still runs.
    price
        Of one GPU hour.
    accounts
        By Slurm job id; see `account`. What it lacks is taken from the batch's own record.
    since
        Only batches that were planned at this time or later.
    """
    planned = [b for b in read_batches(root) if (b.written or since) >= since]
    begun = [batch for batch in planned if batch.lives]
    lines = _lines_by_batch(root, begun, now)
    rows = [_row(batch, lines[batch.name], now, price, accounts or {}) for batch in begun]
    return [*rows, _total(rows, {model for batch in begun for model in batch.models})]


def account(root: Path) -> tuple[dict[str, slurm.Account], str | None]:
    """Slurm's accounting of all jobs of a campaign, and why it cannot be had."""
    return slurm.sacct(life.job for b in read_batches(root) for life in b.lives if life.job)


def write_tsv(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of ledger.tsv; a number that is not known is an empty field."""
    yield "\t".join(COLUMNS) + "\n"
    for row in rows:
        yield "\t".join(_cell(value) for value in asdict(row).values()) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


class _Asked(NamedTuple):
    """A finished game: whether it had ended before, without a verdict, and its calls since."""

    line: Line
    again: bool
    calls: int


def _lines_by_batch(root: Path, batches: list[Batch], now: float) -> dict[str, list[_Asked]]:
    """The games that each batch asked. Those outside every life of their model's batches are left
    out.
    """
    found: dict[str, list[_Asked]] = {batch.name: [] for batch in batches}
    spans: dict[str, list[tuple[float, float, str]]] = {}
    for batch in batches:
        for life in batch.lives:
            if life.start is not None:
                # An end is written in whole seconds, its last games end within them. One without
                # an end may have lived a little longer than can be known.
                stop = now if life.end is None else life.end + 1
                span = (life.start, stop, batch.name)
                for model in batch.models:
                    spans.setdefault(model, []).append(span)
    for model, lives in spans.items():
        calls = Calls()
        for line in Progress(root / "games" / f"{model}.jsonl").update().lines:
            end = line.end
            if not line.attempts or end is None:
                continue
            asked = _Asked(line, calls.again(line), calls.of(line))
            name = next((n for start, stop, n in reversed(lives) if start <= end <= stop), None)
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
    start = sum(_starting(life, now) for life in batch.lives)
    busy = open_seconds((line.end - (line.seconds or 0), line.end) for line in lines)
    jobs = {life.job for life in batch.lives if life.job}
    accounted = bool(jobs) and jobs <= set(accounts)
    if accounted:  # Slurm counts from the job's first second, before ours ran
        held = sum(accounts[job].elapsed for job in jobs)
        # Where GPUs are no counted resource of the accounting it names none: then those asked for.
        hours = sum(accounts[job].gpu_hours for job in jobs) or held / 3600 * batch.gpus
    else:
        held = sum(life.held(now) for life in batch.lives)
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
        restarts=sum(len(life.restarts) for life in batch.lives),
        jobs=len(batch.lives),
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


def _starting(life: Life, now: float) -> float:
    """Seconds from the launch until the judge answered; to the end where it never did."""
    launched = life.launched or (life.start if life.ready is not None else None)
    return 0.0 if launched is None else max(0.0, (life.ready or life.until(now)) - launched)


def open_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals: how long at least one game was open."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
