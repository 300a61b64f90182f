"""What a run will need: tokens, jobs, GPU hours, cost; from what earlier runs took, else assumed.

    work of a batch = (prompt tokens - shared tokens) + DECODE * completion tokens
    busy            = work / rate of one judge server
    held            = start + busy + idle                         GPU hours = held * GPUs of a job

Decoding a token costs a server as much as DECODE tokens of a prompt. With one rate for both, one
earlier run is enough to know it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from arena.costs.ledger import TOTAL, Row

DECODE = 3.0
# Work a second and GPU. With 2,200 tokens a prompt, half of them shared, it comes to the two games
# a second for which the default walltime is made: a 70B in FP8 on one H100. Not measured by us.
ASSUMED_RATE = 5000.0
# Mean length of 8,000 published replies of gpt-4o to Arena-Hard (1,600 characters).
ASSUMED_REPLY = 400.0
ASSUMED_IDLE_S = 30.0  # clients' start and end of the job
ENOUGH_GAMES = 20  # of earlier runs, before their rates are believed


@dataclass(frozen=True)
class Rates:
    """Of one judge server. rate: work a second, None where nothing is known of this judge."""

    rate: float | None
    reply: float  # completion tokens a game
    start_s: float
    idle_s: float  # a job
    source: str


def rates_of(rows: Sequence[Row], *, gpus: float, start_s: float) -> Rates:
    """From the batches of a ledger; without enough games in it, from assumptions.

    gpus: of a job; 0 where the judge runs elsewhere or is a toy, and no rate can be assumed.
    start_s: until the judge answers, where no earlier run tells.
    """
    used = [row for row in rows if row.batch != TOTAL and row.games and row.busy_s]
    games = sum(row.games for row in used)
    if games < ENOUGH_GAMES:
        rate = ASSUMED_RATE * gpus if gpus else None
        words = "assumed for a 70B in FP8 on an H100: this judge has not been run here yet"
        words = words if gpus else "unknown: this judge has not been run here yet"
        return Rates(rate, ASSUMED_REPLY, start_s if gpus else 0.0, ASSUMED_IDLE_S, words)
    work = sum(
        row.prompt_tokens - row.cached_tokens + DECODE * row.completion_tokens for row in used
    )
    jobs = sum(row.jobs for row in used)
    batches = f"{len(used)} earlier batch{'es' * (len(used) > 1)}"
    return Rates(
        rate=work / sum(row.busy_s for row in used),
        reply=sum(row.completion_tokens for row in used) / games,
        start_s=sum(row.start_s for row in used) / jobs,
        idle_s=sum(row.idle_s for row in used) / jobs,
        source=f"measured on {games:,} games of {batches} of this judge",
    )


@dataclass(frozen=True)
class Load:
    """What one batch will ask."""

    models: int
    games: int
    prompt: int  # tokens
    shared: int  # of these, computed once for several games


@dataclass(frozen=True)
class Forecast:
    """Sums over all batches; None where no rate is known. Times in seconds."""

    jobs: int
    games: int
    prompt_tokens: int
    shared_tokens: int
    completion_tokens: int
    busy_s: float | None
    held_s: float | None
    longest_s: float | None  # job
    gpu_hours: float | None
    cost: float | None
    rates: Rates

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def forecast(loads: Sequence[Load], rates: Rates, *, gpus: float, price: float | None) -> Forecast:
    """Add up what the batches of a run will need."""
    completion = [load.games * rates.reply for load in loads]
    busy = held = longest = hours = None
    if rates.rate:
        each = [
            (load.prompt - load.shared + DECODE * tokens) / rates.rate
            for load, tokens in zip(loads, completion, strict=True)
        ]
        held_each = [rates.start_s + seconds + rates.idle_s for seconds in each]
        busy, held = sum(each), sum(held_each)
        longest = max(held_each, default=0.0)
        hours = held * gpus / 3600
    return Forecast(
        jobs=len(loads),
        games=sum(load.games for load in loads),
        prompt_tokens=sum(load.prompt for load in loads),
        shared_tokens=sum(load.shared for load in loads),
        completion_tokens=round(sum(completion)),
        busy_s=busy,
        held_s=held,
        longest_s=longest,
        gpu_hours=hours,
        cost=None if price is None or hours is None else hours * price,
        rates=rates,
    )


def against(told: dict[str, Any], used: Row) -> list[tuple[str, float | None, float | None]]:
    """(what, forecast, used) of a forecast that was kept and the ledger's sum of the runs since."""
    held = used.start_s + used.busy_s + used.idle_s
    return [
        ("batches", told["jobs"], used.jobs),
        ("games", told["games"], used.games),
        ("prompt tokens", told["prompt_tokens"], used.prompt_tokens),
        ("of these shared", told["shared_tokens"], used.cached_tokens),
        ("completion tokens", told["completion_tokens"], used.completion_tokens),
        ("busy seconds", told["busy_s"], used.busy_s),
        ("held seconds", told["held_s"], held),
        ("GPU hours", told["gpu_hours"], used.gpu_hours),
        ("cost", told["cost"], used.cost),
    ]
