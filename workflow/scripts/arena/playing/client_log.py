"""The last words of a client's log: how many games it has, and why it stopped."""

import re
from dataclasses import dataclass
from pathlib import Path

TAIL = 8192  # bytes; the last words of a client and some lines before

_LINE = re.compile(r"^(\d{4}-\d\d-\d\dT\S+) [^:]+: (.*)$")
_COUNT = re.compile(r"\b(\d+)/(\d+) games\b")


@dataclass(frozen=True)
class LastWords:
    """games: all that it has to play, None if it never said. remark: what it said after that it
    plays.
    """

    path: Path
    games: int | None = None
    stopped: str | None = None
    remark: str | None = None


def last_words(path: Path) -> LastWords:
    """Read the end of a log; one that is not there said nothing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return LastWords(path)
    games = stopped = remark = None
    for line in text.splitlines():
        if not (found := _LINE.match(line)):
            continue
        said = found[2]
        if count := _COUNT.search(said):
            games, remark = int(count[2]), None  # it plays: what it said before is past
        elif said.startswith("stopped: "):
            stopped = said.removeprefix("stopped: ")
        else:
            remark = said
    return LastWords(path, games, stopped, remark)
