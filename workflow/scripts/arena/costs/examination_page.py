"""The doctor's findings as a page for a terminal or a log."""

from collections.abc import Iterable, Iterator
from textwrap import wrap

from arena.costs.examination import Examination
from arena.support.humanize import count, counted, duration, share

WIDTH = 80  # of a terminal as it opens, and of a log
SHOWN = 5  # games that are too long, by name


def page(found: Examination) -> str:
    """A few lines a subject, none wider than a terminal."""
    sections = {
        "to play": _games(found),
        "answers": _answers(found),
        "prompts": _prompts(found),
        "judge": found.prompt,
        "forecast": _forecast(found),
        "note": found.notes,
    }
    lines = [f"Before the run: {found.bench}, judge {found.judge}{' (a toy)' * found.toy}"]
    for title, texts in sections.items():
        for number, text in enumerate(texts):
            first = f"{title if number == 0 else '':<10}"
            lines += wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * 10)
    return "\n".join(lines)


def _games(found: Examination) -> Iterator[str]:
    if not found.games:
        yield "nothing: every model has its judgments"
        return
    played = f"; {found.played:,} more are in the journals" if found.played else ""
    yield f"{counted(found.games, 'game')} of {counted(found.models, 'model')}{played}"
    if found.asked_once:
        games = counted(found.asked_once, "game")
        yield f"not asked: {games} with the prompt of another one"


def _answers(found: Examination) -> Iterator[str]:
    if found.answers:
        empty, cut = share(found.empty, found.answers), share(found.cut, found.answers)
        yield f"{found.answers:,}; empty {found.empty:,} ({empty}), cut off {found.cut:,} ({cut})"


def _prompts(found: Examination) -> Iterator[str]:
    if not found.games:
        return
    yield (
        f"{found.median:,} tokens (median), 95% up to {found.most:,}, longest {found.longest:,}; "
        f"counted by {_counter(found)}"
    )
    if found.context is None:
        yield "the judge's context is unknown: set judge.context to have lengths checked"
        return
    room = f"the context of {found.context:,} ({found.context_from}) less {found.reply:,} of reply"
    if not found.too_long:
        yield f"all fit into {room}"
        return
    yield f"{counted(len(found.too_long), 'game')} too long for {room}, without a verdict to come:"
    longest: dict[tuple[str, str], int] = {}  # both games of a question are as good as one
    for model, uid, tokens in found.too_long:
        longest[model, uid] = max(tokens, longest.get((model, uid), 0))
    for (model, uid), tokens in list(longest.items())[:SHOWN]:
        yield f"{model}, question {uid}: {tokens:,} tokens"


def _counter(found: Examination) -> str:
    """The counter's name without what it says about files to fetch."""
    name, _, correction = found.counter.partition(", times ")
    return name.split(" (")[0] + (f", times {correction}" if correction else "")


def _forecast(found: Examination) -> Iterator[str]:
    told = found.forecast
    if not told.games:
        return
    yield (
        f"{count(told.prompt_tokens)} prompt tokens, of which the models of a batch share "
        f"{count(told.shared_tokens)} ({share(told.shared_tokens, told.prompt_tokens)}; one model "
        f"at a time {share(found.one_by_one, told.prompt_tokens)}), and "
        f"{count(told.completion_tokens)} of replies"
    )
    jobs = counted(told.jobs, "job")
    if told.held_s is None:
        yield f"{jobs}; how long is not known"
    else:
        cost = "" if told.cost is None else f", cost {told.cost:,.2f}"
        yield (
            f"{jobs}, {duration(told.held_s)} in all, the longest {duration(told.longest_s)}: "
            f"{told.gpu_hours:,.1f} GPU hours{cost}"
        )
    yield f"rates {told.rates.source}"


def side_by_side(lines: Iterable[tuple[str, float | None, float | None]]) -> str:
    """Forecast and use in two columns, and use as a share of the forecast."""
    text = [f"{'':<20}{'forecast':>14}{'used':>14}{'used/forecast':>16}"]
    for what, told, used in lines:
        ratio = f"{used / told:.2f}" if told and used is not None else "–"
        text.append(f"{what:<20}{_number(told):>14}{_number(used):>14}{ratio:>16}")
    return "\n".join(text)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"
