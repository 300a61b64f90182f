"""The forecast as a page for a terminal or a log, and beside what was used."""

from collections.abc import Iterable, Iterator
from textwrap import wrap

from arena.costs.forecast import Forecast
from arena.support.humanize import count, counted, duration
from arena.support.table import lay_out

WIDTH = 80  # of a terminal as it opens, and of a log
SHOWN = 5  # questions that are too long, by name


def page(told: Forecast) -> str:
    """A few lines a subject, none wider than a terminal."""
    played = f"; {told.played:,} more are in the journals" if told.played else ""
    games = f"{counted(told.games, 'game')} of {counted(told.models, 'model')}{played}"
    sections = {
        "to play": [games if told.games else "nothing: every model has its judgments"],
        "prompts": _prompts(told) if told.games else (),
        "judge": told.prompt,
        "forecast": _needs(told) if told.games else (),
        "note": told.notes,
    }
    lines = [f"Before the run: {told.bench}, judge {told.judge}{' (a toy)' * told.toy}"]
    for title, texts in sections.items():
        for number, text in enumerate(texts):
            first = f"{title if number == 0 else '':<10}"
            lines += wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * 10)
    return "\n".join(lines)


def _prompts(told: Forecast) -> Iterator[str]:
    name, _, correction = told.counter.partition(", times ")
    name = name.split(" (")[0] + (f", times {correction}" if correction else "")
    yield f"{told.median:,} tokens (median), longest {told.longest:,}; counted by {name}"
    context = f"the context of {told.context or 0:,} ({told.context_from})"
    room = f"{context} less {told.reply:,} of reply"
    if told.context is None:
        yield "the judge's context is unknown: set judge.context to have lengths checked"
    elif not told.too_long:
        yield f"all fit into {room}"
    else:
        games = counted(len(told.too_long), "game")
        yield f"{games} too long for {room}, without a verdict to come:"
    for model, uid, tokens in list(dict.fromkeys(told.too_long))[:SHOWN]:  # both games are as long
        yield f"{model}, question {uid}: {tokens:,} tokens"


def _needs(told: Forecast) -> Iterator[str]:
    tokens, jobs = f"{count(told.prompt_tokens)} prompt tokens", counted(told.jobs, "job")
    if told.rates is None:
        yield f"{tokens}; {jobs}"
        yield "how long they take is not known: this judge has not played enough here yet"
        return
    cost = "" if told.cost is None else f", cost {told.cost:,.2f}"
    yield f"{tokens} and {count(told.completion_tokens or 0)} of replies"
    yield (
        f"{jobs}, {duration(told.held_s)} in all, the longest {duration(told.longest_s)}: "
        f"{told.gpu_hours:,.1f} GPU hours{cost}"
    )
    batches = f"{(number := told.rates['batches'])} earlier batch{'es' * (number > 1)}"
    yield f"rates measured on {told.rates['games']:,} games of {batches} of this judge"


def side_by_side(lines: Iterable[tuple[str, float | None, float | None]]) -> str:
    """Forecast and use in two columns, and use as a share of the forecast."""
    rows = [["", "forecast", "used", "used/forecast"]]
    for what, told, used in lines:
        ratio = used / told if told and used is not None else None
        rows.append([what, *map(_number, (told, used, ratio))])
    return "\n".join(lay_out(rows))


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"
