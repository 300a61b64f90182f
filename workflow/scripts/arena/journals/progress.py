"""The progress of a model's games, read from its journal while it is written.

Only the keys needed here are decoded, not the judge's replies, and a second read continues where
the first one ended.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from arena.data.verdict import STATES
from arena.journals.records import Count
from arena.support.coerce import epoch
from arena.support.jsonl import parse_line


class Usage(msgspec.Struct, gc=False, frozen=True):
    """Tokens of one call; None where the server did not report them."""

    prompt: Count | None = None
    cached: Count | None = None
    completion: Count | None = None


class Line(msgspec.Struct, gc=False):
    """One line of a journal without the reply; see `journal.Record`."""

    uid: str
    game: int
    state: str
    usage: Usage | None = None
    attempts: Count | None = None
    seconds: float | None = None
    time: str | None = None
    digest: str = ""

    @property
    def end(self) -> float | None:
        return epoch(self.time)

    def tokens(self, kind: str) -> int:
        return (getattr(self.usage, kind) or 0) if self.usage else 0


_DECODER = msgspec.json.Decoder(Line)


def _decode(raw: memoryview) -> Line:
    """Raises ValueError for an invalid line."""
    try:
        return _DECODER.decode(raw)
    except (ValueError, RecursionError):
        line = parse_line(1, bytes(raw))  # it may have a lone surrogate, which msgspec refuses
        return msgspec.convert(line and line.obj, Line)


class Progress:
    """The lines of one journal; `update` reads those appended since the last call.

    A last line without a newline is still being written and left for the next call. A file that
    shrank or was replaced is read from the start. unreadable: number of invalid lines. problem: why
    the file cannot be read now; earlier lines stay.
    """

    def __init__(self, path: Path):
        self.path = path
        self.problem: str | None = None
        self._start_over()

    def _start_over(self) -> None:
        self._offset = 0
        self._inode: int | None = None
        self.lines: list[Line] = []
        self.unreadable = 0

    def update(self) -> "Progress":
        self.problem = None
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if self._inode not in (None, stat.st_ino) or stat.st_size < self._offset:
                    self._start_over()
                self._inode = stat.st_ino
                if stat.st_size > self._offset:
                    file.seek(self._offset)
                    self._take(file.read())
        except FileNotFoundError:
            self._start_over()
        except OSError as error:
            self.problem = error.strerror or str(error)
        return self

    def _take(self, data: bytes) -> None:
        view, position, take = memoryview(data), 0, self.lines.append
        while (end := data.find(b"\n", position)) >= 0:
            try:
                take(_decode(view[position:end]))
            except ValueError:
                self.unreadable += bool(data[position:end].strip())
            position = end + 1
        self._offset += position


class Calls:
    """Counts the calls behind the lines of a journal, given in their order: `attempts` of a game
    that was asked again includes the earlier calls.
    """

    def __init__(self) -> None:
        self._counted: dict[str, int] = {}

    def again(self, line: Line) -> bool:
        """Whether an earlier line has the same digest."""
        return line.digest in self._counted

    def of(self, line: Line) -> int:
        attempts, counted = line.attempts or 0, self._counted.get(line.digest, 0)
        self._counted[line.digest] = attempts
        return attempts - counted if attempts > counted else attempts


class Tally:
    """Totals of lines. Of several lines of one game the last counts, but the calls of all."""

    def __init__(self, lines: Iterable[Line], counts: Callable[[Line], bool] = lambda _: True):
        """counts: which lines count; the others only show how many calls were made before."""
        self._asked: list[Line] = []
        last: dict[tuple[str, int], Line] = {}
        calls_of, calls = Calls().of, 0
        for line in lines:
            paid = calls_of(line) if line.attempts else 0
            if counts(line):
                last[line.uid, line.game] = line
                if line.attempts:
                    self._asked.append(line)
                    calls += paid
        self.states = Counter(line.state for line in last.values())
        self.played = sum(self.states[state] for state in STATES)
        pairs = Counter(uid for (uid, _), line in last.items() if line.state in STATES)
        self.questions = list(pairs.values()).count(2)
        kinds = ("prompt", "cached", "completion")  # cached: part of prompt
        self.usage = tuple(sum(line.tokens(kind) for line in self._asked) for kind in kinds)
        self.retries = calls - len(self._asked)  # failed calls that were repeated

    @property
    def last_end(self) -> float | None:
        """End of the last game that was asked, s since 1970."""
        return next((end for line in reversed(self._asked) if (end := line.end)), None)

    def recent(self, window: float, now: float) -> tuple[int, float]:
        """Number of games in the last `window` seconds, and when the first of them began."""
        first, count = now, 0
        for line in reversed(self._asked):
            end = line.end
            if end is None or end < now - window:
                break
            first, count = min(first, end - (line.seconds or 0)), count + 1
        return count, first
