"""What a run would ask, whether the prompts fit the judge's context, and what it will cost.

Needs a validation. Starts no judge. Times are extrapolated from earlier batches of this judge:

    seconds of a job = start + idle (means per job) + games * busy seconds per game
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd

from arena.batch.plan import make_plan
from arena.campaign.validation_report import Report
from arena.costs.ledger import TOTAL, account, ledger
from arena.costs.open_prompts import ENOUGH_GAMES, PromptCounter
from arena.data.layout import Layout
from arena.data.lengths import context_of
from arena.journals.batches import read_batches
from arena.journals.records import read_json
from arena.setup.prompt_check import prompt_differences
from arena.setup.settings import Settings
from arena.support.coerce import number_of
from arena.support.errors import DataError
from arena.support.humanize import count, counted, duration
from arena.support.jsonl import dump_line, write_atomic


def measured(rows: pd.DataFrame) -> dict[str, float] | None:
    """Mean rates of a ledger's batches; None without enough games."""
    used = rows[(rows.batch != TOTAL) & (rows.games > 0) & (rows.busy_s > 0)]
    sums = used.sum(numeric_only=True)
    if sums.games < ENOUGH_GAMES:
        return None
    overhead = sums.start_s + sums.idle_s
    return {
        **{"games": int(sums.games), "batches": len(used)},
        "reply": float(sums.completion_tokens / sums.games),  # tokens per game
        "game_s": float(sums.busy_s / sums.games),  # busy seconds of a server per game
        "job_s": float(overhead / sums.jobs),  # seconds of a job without an open game
        "gpus": float(3600 * sums.gpu_hours / (sums.busy_s + overhead)),  # per job
    }


@dataclass(frozen=True)
class Forecast:
    """What a run would ask and need; tokens as counted by `counter`, times in seconds, None if
    unknown.
    """

    bench: str
    judge: str
    toy: bool
    models: int  # with open games
    games: int
    played: int  # games that have their verdict, of all models that can be judged
    median: int  # tokens of a prompt
    longest: int
    counter: str
    context: int | None
    context_from: str
    reply: int  # max_tokens
    too_long: list[tuple[str, str, int]]  # model, uid, tokens of the prompt
    prompt: list[str]  # differences from the prompt of Arena-Hard-Auto's checkout
    jobs: int
    prompt_tokens: int
    completion_tokens: int | None = None
    held_s: float | None = None  # of all jobs
    longest_s: float | None = None  # of one job
    gpu_hours: float | None = None
    cost: float | None = None
    rates: dict[str, float] | None = None
    notes: tuple[str, ...] = ()


def forecast(settings: Settings, report: Report, now: float) -> Forecast:
    """report: of `validation.check_settings`.

    Reads every answer file that has open games; 117 models x 750 questions take some seconds.
    """
    judge = settings.judge
    context, context_from = context_of(judge)
    limit = context - judge["max_tokens"] if context else None
    counter = PromptCounter(settings, limit)
    counter.correct(sorted(report.ready))
    later = set(report.answers.models)
    ready = [one for one in settings.selected if one in report.ready and one not in later]
    batches = make_plan(settings, ready, report.games).batches.values()
    found = {model: counter.open_games(model) for models in batches for model in models}
    asked = [(model, *one) for model, (prompts, _) in found.items() for one in prompts]
    sizes = sorted(tokens for _, _, tokens in asked)
    games = [sum(len(found[model][0]) for model in models) for models in batches]
    result = Forecast(
        bench=settings.bench,
        judge=judge["name"],
        toy=settings.toy,
        models=len(found),
        games=len(sizes),
        played=sum(found[one][1] if one in found else report.games.get(one, 0) for one in ready),
        median=sizes[len(sizes) // 2] if sizes else 0,
        longest=max(sizes, default=0),
        counter=counter.name,
        context=context,
        context_from=context_from,
        reply=judge["max_tokens"],
        too_long=[one for one in asked if limit is not None and one[2] > limit],
        prompt=prompt_differences(settings),
        jobs=len(batches),
        prompt_tokens=sum(sizes),
        **_needs(settings, games, now),
    )
    notes = [*_notes(settings, result)]
    if later := later.intersection(report.ready):
        more = counted(sum(report.games[model] for model in later), "more game")
        notes.append(f"{more} for {counted(len(later), 'model')} whose answers are made first")
    return replace(result, notes=tuple(notes))


def _needs(settings: Settings, games: Sequence[int], now: float) -> dict[str, Any]:
    """What jobs of so many games need, from the rates of earlier jobs; {} without any.

    Slurm's accounting is used because it includes a job's first seconds.
    """
    accounts, _ = account(read_batches(settings.root))
    if not (rates := measured(ledger(settings.root, now, accounts=accounts))):
        return {}
    held = [rates["job_s"] + number * rates["game_s"] for number in games]
    hours, price = sum(held) / 3600 * rates["gpus"], settings.gpu_hour_cost
    return {
        **{"rates": rates, "completion_tokens": round(sum(games) * rates["reply"])},
        **{"held_s": sum(held), "longest_s": max(held, default=0.0), "gpu_hours": hours},
        "cost": None if price is None else hours * price,
    }


def _notes(settings: Settings, result: Forecast) -> Iterator[str]:
    """Warnings about a walltime or budget that will end a job or the run early."""
    minutes = settings.job_minutes(min(result.models, settings.batch_size))
    if (result.longest_s or 0) > 60 * minutes:
        capped = minutes == settings.walltime["max_minutes"]
        advice = "" if capped else "raise walltime.minutes_per_model, or "
        text = f"the longest job needs {duration(result.longest_s)}, its walltime is "
        yield f"{text}{duration(60 * minutes)}: {advice}lower batch_size"
    needs = {"games": result.games, "gpu_hours": result.gpu_hours}
    needs |= {"tokens": result.prompt_tokens + (result.completion_tokens or 0)}
    for kind, limit in settings.budget.items():
        if (needed := needs[kind] or 0) > limit:
            yield f"budget.{kind} of {count(limit)} covers {limit / needed:.0%} of this run"


def keep(result: Forecast, layout: Layout, now: float) -> None:
    """Write forecast.json for a later comparison, unless there is nothing to judge."""
    if result.games:
        write_atomic(layout.forecast, dump_line({"time": now, **asdict(result)}))


def against_used(layout: Layout, now: float, price: float | None) -> list[tuple[str, Any, Any]]:
    """(name, forecast, use since then) for the saved forecast. DataError if there is none, or if no
    batch has started since.
    """
    saved = read_json(layout.forecast) or {}
    since = number_of(saved.get("time"))
    if since is None:
        raise DataError(f"{layout.forecast}: no forecast; run `snakemake validate` before a run")
    accounts, _ = account(read_batches(layout.root))
    used = ledger(layout.root, now, price, accounts, since=since).iloc[-1]
    if not used.jobs:
        when = datetime.fromtimestamp(since).strftime("%d %b %Y %H:%M")
        raise DataError(f"{layout.forecast}: no batch was started since this forecast of {when}")
    keys = ("jobs", "games", "prompt_tokens", "completion_tokens", "held_s", "gpu_hours", "cost")
    held = {"held_s": used.start_s + used.busy_s + used.idle_s}
    known = {key: value for key, value in {**used, **held}.items() if pd.notna(value)}
    return [(key, number_of(saved.get(key)), known.get(key)) for key in keys]
