"""Before the run: what there is to play, whether it fits the judge, and what it will cost.

Comes after validation, which says what is broken; here is what would be asked. Starts no judge.
Times come from earlier batches of this judge alone; without any, no time is told:

    held by a job = start + idle (means a job) + games * busy seconds a game
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from arena.campaign.campaign import Campaign
from arena.campaign.validation_report import Report
from arena.costs.ledger import TOTAL, Row, account, ledger
from arena.costs.open_prompts import Prompt, PromptCounter
from arena.data.layout import Layout
from arena.data.lengths import Lengths, context_of, lengths_for
from arena.data.questions import read_questions
from arena.journals.records import read_batches, read_json
from arena.setup.prompt_check import prompt_differences
from arena.setup.settings import Settings
from arena.support.coerce import number_of
from arena.support.errors import DataError
from arena.support.humanize import count, duration
from arena.support.jsonl import write_atomic

ENOUGH_GAMES = 20  # of earlier runs, before what is measured on them is believed
# Models whose played games tell how far an estimate of tokens is off: enough for a mean.
MODELS_COMPARED = 3


@dataclass(frozen=True)
class Rates:
    """Means of earlier batches of this judge, which had `games` games."""

    games: int
    batches: int
    reply: float  # completion tokens a game
    game_s: float  # of a server's busy time, a game
    job_s: float  # that a job holds its node without a game
    gpus: float  # of a job

    @classmethod
    def measured(cls, rows: Sequence[Row]) -> "Rates | None":
        """From a ledger; None without enough games in it."""
        used = [row for row in rows if row.batch != TOTAL and row.games and row.busy_s]
        games = sum(row.games for row in used)
        if games < ENOUGH_GAMES:
            return None
        busy = sum(row.busy_s for row in used)
        besides = sum(row.start_s + row.idle_s for row in used)
        return cls(
            games=games,
            batches=len(used),
            reply=sum(row.completion_tokens for row in used) / games,
            game_s=busy / games,
            job_s=besides / sum(row.jobs for row in used),
            gpus=3600 * sum(row.gpu_hours for row in used) / (busy + besides),
        )


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
    completion_tokens: int | None
    held_s: float | None  # by all jobs
    longest_s: float | None  # job
    gpu_hours: float | None
    cost: float | None
    rates: Rates | None
    notes: list[str]


def forecast(settings: Settings, report: Report, *, now: float | None = None) -> Forecast:
    """Look at everything a run would ask. `report` is that of `validation.check_settings`.

    Reads every answer file that has open games; 117 models x 750 questions take some seconds.
    """
    now = time.time() if now is None else now
    judge, root = settings.judge, settings.root
    context, context_from = context_of(judge)
    limit = context - judge["max_tokens"] if context else None
    judged = _judged(settings)
    models = [name for name in settings.selected if name in report.ready and name not in judged]
    counter, lengths = _counter(settings, report, limit)
    found = {model: counter.open_games(model) for model in models}
    waiting = {model: prompts for model, (prompts, _) in found.items() if prompts}
    accounts, _ = account(root)  # without them a job's first seconds are not known
    rates = Rates.measured(ledger(root, now, accounts=accounts))
    needs = _needs(list(waiting.values()), settings, rates)
    sizes = sorted(prompt.tokens for prompts in waiting.values() for prompt in prompts) or [0]
    return Forecast(
        bench=settings.bench,
        judge=judge["name"],
        toy=settings.toy,
        models=len(waiting),
        played=sum(found[model][1] for model in waiting),
        median=sizes[len(sizes) // 2],
        longest=sizes[-1],
        counter=lengths.name,
        context=context,
        context_from=context_from,
        reply=judge["max_tokens"],
        too_long=[
            (model, prompt.uid, prompt.tokens)
            for model, prompts in waiting.items()
            for prompt in prompts
            if limit is not None and prompt.tokens > limit
        ],
        prompt=prompt_differences(settings),
        rates=rates,
        notes=list(_notes(settings, needs, len(waiting))),
        **needs,
    )


def _judged(settings: Settings) -> set[str]:
    """Models whose judgments are surely complete, so that their answers need not be read.

    Of all others the journal must tell: a file may be newer and hold what it held.
    """
    campaign, batches = Campaign.of(settings), read_batches(settings.root)
    newest = {model: batch for batch in batches for model in batch.models}
    known = [m for m in settings.selected if m in newest or campaign.layout.made_record(m).exists()]
    return {model for model in known if campaign.is_judged(model, newest.get(model))}


def _counter(
    settings: Settings, report: Report, limit: int | None
) -> tuple[PromptCounter, Lengths]:
    """Where the judge's own tokenizer is not at hand, corrected by the prompts it has counted."""
    lengths, questions = lengths_for(settings.judge["path"]), read_questions(settings.questions)
    counter = PromptCounter(settings, questions, lengths, limit)
    layout = Layout(settings.root)
    played = [model for model in sorted(report.ready) if layout.journal(model).exists()]
    step = max(1, len(played) // MODELS_COMPARED)
    compared = played[::step][:MODELS_COMPARED] if not lengths.is_judges else []
    sums = [counter.compare(model) for model in compared]
    games, ours, theirs = (sum(column) for column in zip(*sums, strict=True)) if sums else (0, 0, 0)
    if games < ENOUGH_GAMES or not ours:
        return counter, lengths
    factor = theirs / ours
    lengths = lengths.scaled(factor, f"times {factor:.2f} by {games:,} games of this judge")
    return PromptCounter(settings, questions, lengths, limit), lengths


def _needs(models: list[list[Prompt]], settings: Settings, rates: Rates | None) -> dict[str, Any]:
    """Sums over all batches of a run."""
    size = settings.batch_size
    batches = [models[start : start + size] for start in range(0, len(models), size)]
    games = [sum(map(len, batch)) for batch in batches]
    needs: dict[str, Any] = {
        "jobs": len(batches),
        "games": sum(games),
        "prompt_tokens": sum(prompt.tokens for prompts in models for prompt in prompts),
    }
    if rates is None:
        unknown = ("completion_tokens", "held_s", "longest_s", "gpu_hours", "cost")
        return needs | dict.fromkeys(unknown)
    held = [rates.job_s + number * rates.game_s for number in games]
    hours, price = sum(held) / 3600 * rates.gpus, settings.gpu_hour_cost
    return needs | {
        "completion_tokens": round(sum(games) * rates.reply),
        "held_s": sum(held),
        "longest_s": max(held, default=0.0),
        "gpu_hours": hours,
        "cost": None if price is None else hours * price,
    }


def _notes(settings: Settings, needs: dict[str, Any], models: int) -> Iterator[str]:
    """A walltime and limits that will end a job or the run before all is played."""
    minutes = settings.job_minutes(min(models, settings.batch_size))
    if (needs["longest_s"] or 0) > 60 * minutes:
        capped = minutes == settings.walltime["max_minutes"]
        advice = "" if capped else "raise walltime.minutes_per_model, or "
        yield (
            f"the longest job needs {duration(needs['longest_s'])}, more than the "
            f"{duration(60 * minutes)} of walltime it will ask for: {advice}lower batch_size"
        )
    tokens = needs["prompt_tokens"] + (needs["completion_tokens"] or 0)
    for kind, limit in settings.budget.items():
        needed = (needs | {"tokens": tokens}).get(kind)
        if needed and needed > limit:
            yield f"budget.{kind} of {count(limit)} covers {limit / needed:.0%} of what is to do"


def keep(found: Forecast, layout: Layout, now: float) -> None:
    """Write forecast.json, to be compared with what the run will have used. With nothing to play
    nothing is forecast.
    """
    if found.games:
        content = json.dumps({"time": now, **asdict(found)}, ensure_ascii=False)
        write_atomic(layout.forecast, content + "\n")


def against_used(layout: Layout, now: float, price: float | None) -> list[tuple[str, Any, Any]]:
    """(what, forecast, used since) of the last forecast that was kept.

    Raises DataError where there is none, or no batch has begun since.
    """
    told = read_json(layout.forecast) or {}
    since = number_of(told.get("time"))
    if since is None:
        raise DataError(f"{layout.forecast}: no forecast; run `snakemake validate` before a run")
    accounts, _ = account(layout.root)
    used = ledger(layout.root, now, price, accounts, since=since)[-1]
    if not used.jobs:
        when = datetime.fromtimestamp(since).strftime("%d %b %Y %H:%M")
        raise DataError(f"{layout.forecast}: no batch was begun since this forecast of {when}")
    pairs = {
        "jobs": used.jobs,
        "games": used.games,
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "held_s": used.start_s + used.busy_s + used.idle_s,
        "gpu_hours": used.gpu_hours,
        "cost": used.cost,
    }
    return [(key, number_of(told.get(key)), value) for key, value in pairs.items()]
