"""Before the run: what there is to play, whether it fits the judge, and what it will cost.

Comes after validation, which says what is broken; here is what would be asked. Starts no judge.
Times come from earlier batches of this judge alone; without any, no time is told:

    held by a job = start + idle (means a job) + games * busy seconds a game
"""

import time
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
    """Means of the batches of a ledger; None without enough games in it."""
    used = rows[(rows.batch != TOTAL) & (rows.games > 0) & (rows.busy_s > 0)]
    of = used.sum(numeric_only=True)
    if of.games < ENOUGH_GAMES:
        return None
    besides = of.start_s + of.idle_s
    return {
        **{"games": int(of.games), "batches": len(used)},
        "reply": float(of.completion_tokens / of.games),  # tokens a game
        "game_s": float(of.busy_s / of.games),  # of a server's busy time, a game
        "job_s": float(besides / of.jobs),  # that a job holds its node without a game
        "gpus": float(3600 * of.gpu_hours / (of.busy_s + besides)),  # of a job
    }


@dataclass(frozen=True)
class Forecast:
    """What a run would ask and need; tokens by `counter`, times in seconds, None is not known."""

    bench: str
    judge: str
    toy: bool
    models: int  # that have games to play
    games: int
    played: int  # games of these models that are in the journals
    median: int  # tokens of a prompt
    longest: int
    counter: str
    context: int | None
    context_from: str
    reply: int  # max_tokens
    too_long: list[tuple[str, str, int]]  # model, uid, tokens of the prompt
    prompt: list[str]  # how it differs from the checkout's
    jobs: int
    prompt_tokens: int
    completion_tokens: int | None = None
    held_s: float | None = None  # by all jobs
    longest_s: float | None = None  # job
    gpu_hours: float | None = None
    cost: float | None = None
    rates: dict[str, float] | None = None
    notes: tuple[str, ...] = ()


def forecast(settings: Settings, report: Report, *, now: float | None = None) -> Forecast:
    """Look at everything a run would ask. `report` is that of `validation.check_settings`.

    Reads every answer file that has open games; 117 models x 750 questions take some seconds.
    """
    now = time.time() if now is None else now
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
    told = Forecast(
        bench=settings.bench,
        judge=judge["name"],
        toy=settings.toy,
        models=len(found),
        games=len(sizes),
        played=sum(played for _, played in found.values()),
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
    notes = [*_notes(settings, told)]
    if later := later.intersection(report.ready):
        more = counted(sum(report.games[model] for model in later), "game")
        notes.append(f"{more} more, of {counted(len(later), 'model')} whose answers are made first")
    return replace(told, notes=tuple(notes))


def _needs(settings: Settings, games: Sequence[int], now: float) -> dict[str, Any]:
    """What jobs of so many games need by the rates of earlier ones; {} where there are none."""
    accounts, _ = account(read_batches(settings.root))  # know the first seconds of a job
    if not (rates := measured(ledger(settings.root, now, accounts=accounts))):
        return {}
    held = [rates["job_s"] + number * rates["game_s"] for number in games]
    hours, price = sum(held) / 3600 * rates["gpus"], settings.gpu_hour_cost
    return {
        **{"rates": rates, "completion_tokens": round(sum(games) * rates["reply"])},
        **{"held_s": sum(held), "longest_s": max(held, default=0.0), "gpu_hours": hours},
        "cost": None if price is None else hours * price,
    }


def _notes(settings: Settings, told: Forecast) -> Iterator[str]:
    """A walltime and limits that will end a job or the run before all is played."""
    minutes = settings.job_minutes(min(told.models, settings.batch_size))
    if (told.longest_s or 0) > 60 * minutes:
        capped = minutes == settings.walltime["max_minutes"]
        advice = "" if capped else "raise walltime.minutes_per_model, or "
        longest, asked = duration(told.longest_s), f"{duration(60 * minutes)} of walltime"
        text = f"the longest job needs {longest}, more than the {asked} it will ask for: "
        yield f"{text}{advice}lower batch_size"
    needs = {"games": told.games, "gpu_hours": told.gpu_hours}
    needs |= {"tokens": told.prompt_tokens + (told.completion_tokens or 0)}
    for kind, limit in settings.budget.items():
        if (needed := needs[kind] or 0) > limit:
            yield f"budget.{kind} of {count(limit)} covers {limit / needed:.0%} of what is to do"


def keep(found: Forecast, layout: Layout, now: float) -> None:
    """Write forecast.json, to be compared with what the run will have used."""
    if found.games:  # with nothing to play nothing is forecast
        write_atomic(layout.forecast, dump_line({"time": now, **asdict(found)}))


def against_used(layout: Layout, now: float, price: float | None) -> list[tuple[str, Any, Any]]:
    """(what, forecast, used since) of the last forecast that was kept; DataError without one, or
    where no batch has begun since.
    """
    told = read_json(layout.forecast) or {}
    since = number_of(told.get("time"))
    if since is None:
        raise DataError(f"{layout.forecast}: no forecast; run `snakemake validate` before a run")
    accounts, _ = account(read_batches(layout.root))
    used = ledger(layout.root, now, price, accounts, since=since).iloc[-1]
    if not used.jobs:
        when = datetime.fromtimestamp(since).strftime("%d %b %Y %H:%M")
        raise DataError(f"{layout.forecast}: no batch was begun since this forecast of {when}")
    keys = ("jobs", "games", "prompt_tokens", "completion_tokens", "held_s", "gpu_hours", "cost")
    held = {"held_s": used.start_s + used.busy_s + used.idle_s}
    known = {key: value for key, value in {**used, **held}.items() if pd.notna(value)}
    return [(key, number_of(told.get(key)), known.get(key)) for key in keys]
