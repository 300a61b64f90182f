"""The forecast as text for a terminal or a log, and compared with the actual use."""

from collections.abc import Iterable, Iterator
from textwrap import wrap

from arena.costs.forecast import Forecast
from arena.support.humanize import count, counted, duration
from arena.support.table import lay_out

WIDTH = 80  # of a default terminal and of a log
SHOWN = 5  # too long prompts that are listed


def page(forecast: Forecast) -> str:
    played = f"; {forecast.played:,} more are in the journals" if forecast.played else ""
    games = f"{counted(forecast.games, 'game')} of {counted(forecast.models, 'model')}{played}"
    sections = {
        "to judge": [games if forecast.games else "nothing: no game is open"],
        "prompts": _prompts(forecast) if forecast.games else (),
        "judge": forecast.prompt,
        "needs": _needs(forecast) if forecast.games else (),
        "note": forecast.notes,
    }
    lines = [f"Forecast: {forecast.bench}, judge {forecast.judge}{' (a toy)' * forecast.toy}"]
    for title, texts in sections.items():
        for number, text in enumerate(texts):
            first = f"{title if number == 0 else '':<10}"
            lines += wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * 10)
    return "\n".join(lines)


def _prompts(forecast: Forecast) -> Iterator[str]:
    name, _, correction = forecast.counter.partition(", times ")
    name = name.split(" (")[0] + (f", times {correction}" if correction else "")
    yield f"{forecast.median:,} tokens (median), longest {forecast.longest:,}; counted by {name}"
    context = f"the context of {forecast.context or 0:,} tokens ({forecast.context_from})"
    room = f"{context} minus {forecast.reply:,} for the reply"
    if forecast.context is None:
        yield "the judge's context is unknown: set judge.context to check prompt lengths"
    elif not forecast.too_long:
        yield f"all fit into {room}"
    else:
        games = counted(len(forecast.too_long), "game")
        yield f"{games} will have no verdict: the prompt exceeds {room}:"
    for model, uid, tokens in list(dict.fromkeys(forecast.too_long))[
        :SHOWN
    ]:  # a pair has one length
        yield f"{model}, question {uid}: {tokens:,} tokens"


def _needs(forecast: Forecast) -> Iterator[str]:
    tokens, jobs = f"{count(forecast.prompt_tokens)} prompt tokens", counted(forecast.jobs, "job")
    if forecast.rates is None:
        yield f"{tokens}; {jobs}"
        yield "run time unknown: this judge has not judged enough games here yet"
        return
    cost = "" if forecast.cost is None else f", cost {forecast.cost:,.2f}"
    yield f"{tokens} and {count(forecast.completion_tokens or 0)} completion tokens"
    longest = duration(forecast.longest_s)
    text = f"{jobs}, {duration(forecast.held_s)} in total, the longest {longest}: "
    yield f"{text}{forecast.gpu_hours:,.1f} GPU hours{cost}"
    batches = f"{(number := forecast.rates['batches'])} earlier batch{'es' * (number > 1)}"
    yield f"measured on {forecast.rates['games']:,} games of {batches} of this judge"


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
