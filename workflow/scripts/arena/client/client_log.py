"""The last words of a client's log: how many games it has, and why it stopped."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arena.journals.progress import epoch

TAIL = 8192  # bytes; the last words of a client and some lines before

_LINE = re.compile(r"^(\d{4}-\d\d-\d\dT\S+) [^:]+: (.*)$")
_COUNT = re.compile(r"\b\d+/(\d+) games\b(?: \(([^)]*)\))?")
_STATE = re.compile(r"(\w+) (\d+)")


@dataclass(frozen=True)
class LastWords:
    """games: all that it has to play, None if it never said. states: of those that it had played at
    the time `counted`. stopped: why it stopped, unless another attempt has begun since. remark:
    what it said after that it plays.
    """

    games: int | None = None
    states: Mapping[str, int] = field(default_factory=dict)
    counted: float | None = None
    stopped: str | None = None
    remark: str | None = None


def last_words(path: Path) -> LastWords:
    """Read the end of a log; one that is not there, or cannot be read now, said nothing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return LastWords()
    games = counted = stopped = remark = None
    states: dict[str, int] = {}
    for line in text.splitlines():
        if not (found := _LINE.match(line)):
            continue
        time, said = found.groups()
        stopped = None  # the last word of an attempt: what follows is another's
        if count := _COUNT.search(said):
            games, remark = int(count[1]), None  # it plays: what it said before is past
            counted = epoch(time)
            states = {state: int(number) for state, number in _STATE.findall(count[2] or "")}
        elif said.startswith("stopped: "):
            stopped = said.removeprefix("stopped: ")
        else:
            remark = said
    return LastWords(games, states, counted, stopped, remark)
