"""Before the run: what there is to play, whether it fits the judge, and what it will cost.

Comes after validation, which says what is broken; here is what would be asked. Starts no judge.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from arena.campaign.status import Survey, Surveyor
from arena.campaign.validation_report import Report
from arena.costs.forecast import ENOUGH_GAMES, Forecast, Load, forecast, rates_of
from arena.costs.ledger import account, ledger
from arena.costs.open_prompts import Examiner, Prompt
from arena.costs.sharing import shared_tokens
from arena.data.layout import Places, modified
from arena.data.lengths import Lengths, context_of, lengths_for
from arena.data.questions import read_questions
from arena.journals.records import read_batches, read_json
from arena.setup.prompt_check import prompt_differences
from arena.setup.settings import Settings
from arena.support.coerce import dict_of, number_of
from arena.support.errors import DataError
from arena.support.humanize import count, duration
from arena.support.jsonl import write_atomic

FORECAST = "forecast.json"  # below the results folder of the judge
FORECAST_OF_RUN = "forecast_of_run.json"  # that of the last run, where there is a newer one

# Models whose played games tell how far an estimate of tokens is off: enough for a mean.
MODELS_COMPARED = 3


@dataclass(frozen=True)
class Examination:
    """What was found; tokens by `counter`."""

    bench: str
    judge: str
    toy: bool
    batch_size: int
    models: int  # that have games to play
    games: int  # calls to make
    played: int  # games of these models that are in the journals
    asked_once: int  # games whose prompt is another game's of the same model
    answers: int
    empty: int
    cut: int
    median: int
    most: int  # tokens that 95 % of the prompts stay below
    longest: int
    counter: str
    context: int | None
    context_from: str
    reply: int  # max_tokens
    too_long: list[tuple[str, str, int]]  # model, uid, tokens of the prompt
    prompt: list[str]
    one_by_one: int  # tokens that would be shared in batches of one model
    forecast: Forecast
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: what forecast.json holds."""
        return vars(self) | {"forecast": self.forecast.to_dict()}


def examine(settings: Settings, report: Report, *, now: float | None = None) -> Examination:
    """Look at everything a run would ask. `report` is that of `validation.check_settings`.

    Reads every answer file that has open games; 117 models x 750 questions take some seconds.
    """
    now = time.time() if now is None else now
    judge = settings.judge
    lengths = lengths_for(judge["path"])
    context, context_from = context_of(judge)
    limit = context - judge["max_tokens"] if context else None
    survey = Surveyor(Places.of(settings)).survey(now)
    done = _done(survey, settings.digest)
    models = [name for name in settings.selected if name in report.ready and name not in done]
    questions = read_questions(settings.questions)
    examiner = Examiner(settings, questions, lengths, limit)
    played = [row.model for row in survey.rows if row.played and row.model in report.ready]
    if not lengths.is_judges and (corrected := _corrected(lengths, examiner, played)):
        lengths = corrected
        examiner = Examiner(settings, questions, lengths, limit)
    found = {model: examiner.open_games(model) for model in models}
    waiting = {model: games.prompts for model, games in found.items() if games.prompts}
    gpus, gpus_known = _gpus_of_a_job(settings)
    minutes = settings.walltime["start_minutes"]
    accounts, _ = account(settings.root)  # without them a job's first seconds are not known
    rows = ledger(settings.root, now, accounts=accounts)
    rates = rates_of(rows, gpus=gpus, start_s=60 * minutes)
    loads = [_load(batch) for batch in _batches(list(waiting.values()), settings.batch_size)]
    told = forecast(loads, rates, gpus=gpus, price=settings.gpu_hour_cost)
    sizes = sorted(prompt.tokens for prompts in waiting.values() for prompt in prompts) or [0]
    checked = [row for row in report.rows if row.model in waiting]
    notes = [*_walltime(settings, told, loads), *_budget(settings, told)]
    if not gpus_known:
        notes.append(
            "GPUs of a job are taken to be 1: run `snakemake plan` with your profile first"
        )
    return Examination(
        bench=settings.bench,
        judge=judge["name"],
        toy=settings.toy,
        batch_size=settings.batch_size,
        models=len(waiting),
        games=told.games,
        played=sum(found[model].played for model in waiting),
        asked_once=sum(found[model].once for model in waiting),
        answers=sum(row.answers for row in checked),
        empty=sum(row.empty for row in checked),
        cut=sum(row.cut for row in checked),
        median=sizes[len(sizes) // 2],
        most=sizes[min(len(sizes) - 1, int(0.95 * len(sizes)))],
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
        one_by_one=sum(_load([prompts]).shared for prompts in waiting.values()),
        forecast=told,
        notes=notes,
    )


def _done(survey: Survey, digest: str) -> set[str]:
    """Models whose judgments are surely complete, so that their answers need not be read.

    They are not older than anything they are made from, and were made in a batch of these settings.
    Of all others the journal must tell: a file may be newer and hold what it held.
    """
    newest = {model: batch.settings for batch in survey.batches for model in batch.models}
    return {row.model for row in survey.rows if row.current and newest.get(row.model) == digest}


def _corrected(lengths: Lengths, examiner: Examiner, played: list[str]) -> Lengths | None:
    """The counter corrected by the prompts of games that were played; None without enough."""
    step = max(1, len(played) // MODELS_COMPARED)
    sums = [examiner.compare(model) for model in played[::step][:MODELS_COMPARED]]
    games, ours, theirs = (sum(column) for column in zip(*sums, strict=True)) if sums else (0, 0, 0)
    if games < ENOUGH_GAMES or not ours:
        return None
    factor = theirs / ours
    return lengths.scaled(factor, f"times {factor:.2f} by {games:,} games of this judge")


def _batches(models: list[list[Prompt]], size: int) -> list[list[list[Prompt]]]:
    return [models[start : start + size] for start in range(0, len(models), size)]


def _load(batch: Sequence[Sequence[Prompt]]) -> Load:
    prompts = [prompt for prompts in batch for prompt in prompts]
    return Load(
        models=len(batch),
        games=len(prompts),
        prompt=sum(prompt.tokens for prompt in prompts),
        shared=shared_tokens(prompt.pieces for prompt in prompts),
    )


def _gpus_of_a_job(settings: Settings) -> tuple[float, bool]:
    """GPUs that a job asks for, by the newest plan or batch; and whether that is known."""
    if settings.judge["server"] != "vllm":
        return 0, True
    plan = settings.root / "plan.json"
    batches = read_batches(settings.root)
    written = max((batch.written or 0 for batch in batches), default=0)
    if (modified(plan) or 0) > written:
        planned = json.loads(plan.read_text(encoding="utf-8"))
        counts = [batch["resources"]["gpus"] for batch in planned]
        if counts:
            return max(counts), True
    return (batches[-1].gpus, True) if batches else (1, False)


def _walltime(settings: Settings, told: Forecast, loads: Sequence[Load]) -> Iterator[str]:
    """Where the longest job needs more than it will ask for."""
    minutes = settings.job_minutes(max((load.models for load in loads), default=0))
    if told.longest_s and told.longest_s > 60 * minutes:
        capped = minutes == settings.walltime["max_minutes"]
        advice = "" if capped else "raise walltime.minutes_per_model, or "
        yield (
            f"the longest job needs {duration(told.longest_s)}, more than the "
            f"{duration(60 * minutes)} of walltime it will ask for: {advice}lower batch_size"
        )


def _budget(settings: Settings, told: Forecast) -> Iterator[str]:
    """Limits that will end the run before all is played."""
    needed = {
        "games": told.games,
        "tokens": told.prompt_tokens + told.completion_tokens,
        "gpu_hours": told.gpu_hours,
    }
    for kind, limit in settings.budget.items():
        if needed.get(kind) and needed[kind] > limit:
            part = limit / needed[kind]
            yield f"budget.{kind} of {count(limit)} covers {part:.0%} of what is to do"


def keep(found: Examination, root: Path, now: float) -> None:
    """Write forecast.json, to be compared with what the run will have used.

    With nothing to play nothing is forecast. The forecast that a run began with is put aside.
    """
    if not found.games:
        return
    path = root / FORECAST
    if (path.exists() and (told := _told(path))) and _begun(root, told["time"]):
        path.replace(root / FORECAST_OF_RUN)
    told = json.dumps({"time": now, **found.to_dict()}, ensure_ascii=False)
    write_atomic(path, told + "\n")


def kept(root: Path) -> dict[str, Any]:
    """The newest forecast that a run began with.

    Raises DataError where none was made, none has had a run, or it cannot be read.
    """
    paths = [path for name in (FORECAST, FORECAST_OF_RUN) if (path := root / name).exists()]
    if not paths:
        raise DataError(
            f"{root / FORECAST}: no forecast was made; run `snakemake validate` before a run"
        )
    for path in paths:
        if (told := _told(path)) is None:
            raise DataError(
                f"{path}: no forecast of this version; remove it and run `snakemake validate`"
            )
        if _begun(root, told["time"]):
            return told
    since = datetime.fromtimestamp(told["time"]).strftime("%d %b %Y %H:%M")
    raise DataError(f"{path}: no batch was begun since this forecast of {since}")


def _told(path: Path) -> dict[str, Any] | None:
    """A forecast as `keep` wrote it; None of what is none."""
    told = read_json(path) or {}
    known = {one.name for one in fields(Forecast)} <= dict_of(told.get("forecast")).keys()
    return told if known and number_of(told.get("time")) is not None else None


def _begun(root: Path, since: float) -> bool:
    """Whether a batch that was planned since has begun."""
    return any(batch.lives and (batch.written or 0) >= since for batch in read_batches(root))
