"""What a run would ask, whether the prompts fit the judge's context, and what it will cost.

Needs a validation. Starts no judge. Times are extrapolated from earlier batches of this judge:

    seconds of a job = start + idle (means per job) + games * busy seconds per game

The forecast is a dict, as in forecast.json. Tokens are as counted by `counter`, times in seconds,
None if unknown. models: with open games. played: games that have their verdict. median, longest:
tokens of a prompt. reply: max_tokens. too_long: (model, uid, tokens) of prompts. prompt: how it
differs from that of Arena-Hard-Auto's checkout. held_s: of all jobs; longest_s: of one.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd

from arena.batch.plan import make_plan
from arena.campaign.validation import Report
from arena.costs.ledger import TOTAL, ledger
from arena.data import weight_files
from arena.data.games import Game
from arena.data.layout import Layout
from arena.data.metadata import token_counter
from arena.data.weights import context_length
from arena.journals.records import read_json
from arena.journals.replay import CurrentGames, open_games
from arena.setup.notes import prompt_differences
from arena.setup.settings import Settings, job_minutes
from arena.support.coerce import number_of
from arena.support.errors import DataError
from arena.support.humanize import count, counted, duration
from arena.support.jsonl import dump_line, write_atomic
from arena.support.table import lay_out

WIDTH = 80  # of a default terminal and of a log
SHOWN = 5  # too long prompts that are listed
Forecast = dict[str, Any]
# Prompts of a model that are tokenized; the others are estimated from their characters within a few
# per cent, so 117 models take seconds.
SAMPLE = 20
CHAT_TOKENS = 15  # added by the chat template to a system and a user message (Llama 3)
NEAR = 0.8  # of the limit: above, tokens are counted, since estimates may be wrong by a fifth
# Judged games to correct estimates with, and of how many models: enough for a mean.
ENOUGH_GAMES, MODELS_COMPARED = 20, 3


class PromptCounter:
    """Counts tokens of prompts; questions and baselines are read once.

    limit: most tokens of a prompt, None if unknown. name: of the tokenizer or estimate.
    """

    def __init__(self, settings: Settings, models: Sequence[str], limit: int | None):
        self._layout, self._current = Layout(settings.root), CurrentGames(settings)
        self._count, self.name, is_judges = counter_for(settings.judge["path"])
        self._factor = 1.0  # of an estimate, to the judge's tokens
        self._near = math.inf if limit is None else NEAR * limit
        if not is_judges:
            self._correct(models)

    def _correct(self, models: Iterable[str]) -> None:
        """Scale lengths by the token counts of earlier games."""
        played = [model for model in models if self._layout.journal(model).exists()]
        ours = theirs = compared = 0
        for model in played[:MODELS_COMPARED]:
            games, journal = self._current.of(model)
            for game, (_, tokens) in zip(games, self._measured(games), strict=True):
                record = journal.records.get(game.digest)
                if record and (prompt := record.usage.get("prompt")):
                    ours, theirs, compared = ours + tokens, theirs + prompt, compared + 1
        if compared >= ENOUGH_GAMES:
            self._factor = theirs / ours
            self.name += f", times {self._factor:.2f} by {compared:,} games of this judge"

    def open_games(self, model: str) -> tuple[list[tuple[str, int]], int]:
        """(uid, prompt tokens) of a model's open games, and how many games have their verdict.

        Both games of a question have one prompt, and are one open game, if the answers are equal.
        """
        games, journal = self._current.of(model)
        asked = open_games(games, journal, self._current.requests)
        still_open = {game.digest for game in asked}
        return self._measured(asked), sum(game.digest not in still_open for game in games)

    def _measured(self, games: Sequence[Game]) -> list[tuple[str, int]]:
        """The two games of a pair have the same texts in another order, so one length."""
        texts = {game.uid: "\n".join(part["content"] for part in game.messages) for game in games}
        about = estimate(list(texts.values()), self._count)
        tokens = {}
        for (uid, text), length in zip(texts.items(), about, strict=True):
            near = self._factor * (length + CHAT_TOKENS) > self._near
            length = self._count(text) if near else length
            tokens[uid] = round(self._factor * (length + CHAT_TOKENS))
        return [(game.uid, tokens[game.uid]) for game in games]


def estimate(texts: Sequence[str], count: Callable[[str], int]) -> list[int]:
    """Tokens of many similar texts, estimated from an even sample."""
    step = max(1, len(texts) // SAMPLE)
    sample = {i: count(texts[i]) for i in range(0, len(texts), step)}
    characters = sum(len(texts[i]) for i in sample)
    ratio = sum(sample.values()) / characters if characters else 0.0
    return [sample.get(i, round(len(text) * ratio)) for i, text in enumerate(texts)]


def counter_for(path: str | None) -> tuple[Callable[[str], int], str, bool]:
    """Counts tokens for a judge with weights at `path`; its name; and whether it is the judge's own
    tokenizer, all that is loaded.
    """
    counter, name = token_counter()
    file = Path(path or "") / "tokenizer.json"
    if not (path and file.is_file()):
        return counter, name, False
    try:
        from tokenizers import Tokenizer  # installed with vLLM, not one of our requirements
    except ImportError:
        return counter, f"{name}; for the judge's own: pip install tokenizers", False
    tokenizer = Tokenizer.from_file(str(file))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count, "the judge's tokenizer", True


def context_of(judge: dict[str, Any]) -> tuple[int | None, str]:
    """The judge's context in tokens (None: unknown) and its source."""
    if judge.get("context"):
        return judge["context"], "judge.context"
    if stated := re.search(r"--max-model-len[\s=\\'\"]+([^\s;'\"]+)", judge.get("command") or ""):
        # vLLM also takes `16k` and `auto`.
        return int(stated[1]) if stated[1].isdecimal() else None, "judge.command"
    if judge.get("path") and (file := Path(judge["path"]) / "config.json").is_file():
        with suppress(DataError):  # invalid: unknown
            if length := context_length(weight_files.read_json(file), {}):
                return length, str(file)
    return None, "unknown; set judge.context"


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


def forecast(settings: Settings, report: Report, now: float) -> Forecast:
    """report: of `validation.check_settings`.

    Reads every answer file that has open games; 117 models x 750 questions take some seconds.
    """
    judge = settings.judge
    context, context_from = context_of(judge)
    limit = context - judge["max_tokens"] if context else None
    counter = PromptCounter(settings, sorted(report.ready), limit)
    later = set(report.answers.models)
    ready = [one for one in settings.selected if one in report.ready and one not in later]
    batches = make_plan(settings, ready, report.games).batches.values()
    found = {model: counter.open_games(model) for models in batches for model in models}
    asked = [(model, *one) for model, (prompts, _) in found.items() for one in prompts]
    sizes = sorted(tokens for _, _, tokens in asked)
    result = {
        **{"bench": settings.bench, "judge": judge["name"], "toy": settings.toy},
        **{"models": len(found), "games": len(sizes), "jobs": len(batches)},
        "played": sum(found[one][1] if one in found else report.games.get(one, 0) for one in ready),
        "median": sizes[len(sizes) // 2] if sizes else 0,
        "longest": max(sizes, default=0),
        **{"counter": counter.name, "context": context, "context_from": context_from},
        "reply": judge["max_tokens"],
        "too_long": [one for one in asked if limit is not None and one[2] > limit],
        "prompt": prompt_differences(settings),
        "prompt_tokens": sum(sizes),
        **_needs(settings, [sum(len(found[m][0]) for m in models) for models in batches], now),
    }
    notes = list(_notes(settings, result))
    if later := later.intersection(report.ready):
        more = counted(sum(report.games[model] for model in later), "more game")
        notes.append(f"{more} for {counted(len(later), 'model')} whose answers are made first")
    return result | {"notes": notes}


def _needs(settings: Settings, games: Sequence[int], now: float) -> dict[str, Any]:
    """What jobs of so many games need, from the rates of earlier jobs.

    Slurm's accounting is used because it includes a job's first seconds.
    """
    if not (rates := measured(ledger(settings.root, now))):
        keys = ("rates", "completion_tokens", "held_s", "longest_s", "gpu_hours", "cost")
        return dict.fromkeys(keys)
    held = [rates["job_s"] + number * rates["game_s"] for number in games]
    hours, price = sum(held) / 3600 * rates["gpus"], settings.gpu_hour_cost
    return {
        **{"rates": rates, "completion_tokens": round(sum(games) * rates["reply"])},
        **{"held_s": sum(held), "longest_s": max(held, default=0.0), "gpu_hours": hours},
        "cost": None if price is None else hours * price,
    }


def _notes(settings: Settings, result: Forecast) -> Iterator[str]:
    """Warnings about a walltime or budget that will end a job or the run early."""
    minutes = job_minutes(settings.walltime, min(result["models"], settings.batch_size))
    if (result["longest_s"] or 0) > 60 * minutes:
        capped = minutes == settings.walltime["max_minutes"]
        advice = "" if capped else "raise walltime.minutes_per_model, or "
        text = f"the longest job needs {duration(result['longest_s'])}, its walltime is "
        yield f"{text}{duration(60 * minutes)}: {advice}lower batch_size"
    tokens = result["prompt_tokens"] + (result["completion_tokens"] or 0)
    for kind, limit in settings.budget.items():
        if (needed := (result | {"tokens": tokens})[kind] or 0) > limit:
            yield f"budget.{kind} of {count(limit)} covers {limit / needed:.0%} of this run"


def keep(result: Forecast, layout: Layout, now: float) -> None:
    """Write forecast.json for a later comparison, unless there is nothing to judge."""
    if result["games"]:
        write_atomic(layout.forecast, dump_line({"time": now, **result}))


def against_used(layout: Layout, now: float, price: float | None) -> list[tuple[str, Any, Any]]:
    """(name, forecast, use since then) for the saved forecast. DataError if there is none, or if no
    batch has started since.
    """
    saved = read_json(layout.forecast)
    since = number_of(saved.get("time"))
    if since is None:
        raise DataError(f"{layout.forecast}: no forecast; run `snakemake validate` before a run")
    used = ledger(layout.root, now, price, since=since).iloc[-1]
    if not used.jobs:
        when = datetime.fromtimestamp(since).strftime("%d %b %Y %H:%M")
        raise DataError(f"{layout.forecast}: no batch was started since this forecast of {when}")
    keys = ("jobs", "games", "prompt_tokens", "completion_tokens", "held_s", "gpu_hours", "cost")
    used["held_s"] = used.start_s + used.busy_s + used.idle_s
    return [(key, number_of(saved.get(key)), used.dropna().get(key)) for key in keys]


def page(found: Forecast) -> str:
    played = f"; {found['played']:,} more are in the journals" if found["played"] else ""
    games = f"{counted(found['games'], 'game')} of {counted(found['models'], 'model')}{played}"
    sections = {
        "to judge": [games if found["games"] else "nothing: no game is open"],
        "prompts": _prompts(found) if found["games"] else (),
        "judge": found["prompt"],
        "needs": _needs_text(found) if found["games"] else (),
        "note": found["notes"],
    }
    lines = [f"Forecast: {found['bench']}, judge {found['judge']}{' (a toy)' * found['toy']}"]
    for title, texts in sections.items():
        for number, text in enumerate(texts):
            first = f"{title if number == 0 else '':<10}"
            lines += wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * 10)
    return "\n".join(lines)


def _prompts(found: Forecast) -> Iterator[str]:
    name, _, correction = found["counter"].partition(", times ")
    name = name.split(" (")[0] + (f", times {correction}" if correction else "")
    yield f"{found['median']:,} tokens (median), longest {found['longest']:,}; counted by {name}"
    if found["context"] is None:
        yield "the judge's context is unknown: set judge.context to check prompt lengths"
        return
    context = f"the context of {found['context']:,} tokens ({found['context_from']})"
    room = f"{context} minus {found['reply']:,} for the reply"
    if not found["too_long"]:
        yield f"all fit into {room}"
        return
    games = counted(len(found["too_long"]), "game")
    yield f"{games} will have no verdict: the prompt exceeds {room}:"
    pairs = dict.fromkeys(found["too_long"])  # both games of a pair have one length
    for model, uid, tokens in list(pairs)[:SHOWN]:
        yield f"{model}, question {uid}: {tokens:,} tokens"


def _needs_text(found: Forecast) -> Iterator[str]:
    tokens, jobs = f"{count(found['prompt_tokens'])} prompt tokens", counted(found["jobs"], "job")
    if found["rates"] is None:
        yield f"{tokens}; {jobs}"
        yield "run time unknown: this judge has not judged enough games here yet"
        return
    cost = "" if found["cost"] is None else f", cost {found['cost']:,.2f}"
    yield f"{tokens} and {count(found['completion_tokens'] or 0)} completion tokens"
    longest = duration(found["longest_s"])
    text = f"{jobs}, {duration(found['held_s'])} in total, the longest {longest}: "
    yield f"{text}{found['gpu_hours']:,.1f} GPU hours{cost}"
    batches = counted(found["rates"]["batches"], "earlier batch", "earlier batches")
    yield f"measured on {found['rates']['games']:,} games of {batches} of this judge"


def side_by_side(lines: Iterable[tuple[str, float | None, float | None]]) -> str:
    """Forecast and use in two columns, and their ratio."""
    rows = [["", "forecast", "used", "used/forecast"]]
    for name, expected, used in lines:
        ratio = used / expected if expected and used is not None else None
        rows.append([name, *map(_number, (expected, used, ratio))])
    return "\n".join(lay_out(rows))


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"
