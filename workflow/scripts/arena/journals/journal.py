"""The journal of a model's games: append-only, one line a finished call, never rewritten in place.

A line is written with one `write` as its game ends: SIGKILL loses nothing that was finished, and
the death of a whole node what was not yet put on disk (`sync`). A game is known by its digest (see
`GameSettings.digest`). Lines of other settings stay; of several lines of a digest the last counts.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from arena.data.game_state import STATES
from arena.data.games import Game
from arena.support.coerce import count_of, dict_of, number_of
from arena.support.errors import JournalError, os_errors_as
from arena.support.jsonl import Line, dump_line, parse_line

NO_TOKENS = {"prompt": 0, "cached": 0, "completion": 0}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A terminal state of a game and what the judge said."""

    state: str
    label: str | None = None
    answer: str | None = None
    finish_reason: str | None = None
    usage: dict[str, int | None] | None = None
    reason: str | None = None
    is_unexplained: bool = False  # a refusal that does not say what in this game is at fault
    address: int = 0  # the number of the judge's address that it came from

    @property
    def is_refusal(self) -> bool:
        """The judge did not reply: this game cannot be played, or our requests are wrong."""
        return self.answer is None


@dataclass(slots=True)
class Record:
    """One line: a finished game. Its fields are the keys of the file, in their order.

    attempts: calls made for it so far, 0 where it was taken over without asking. seconds: of the
    last call. time: its end, ISO with zone. reason: why it is not "ok", or what was unusual.
    """

    digest: str
    uid: str
    game: int
    state: str
    label: str | None
    answer: str | None
    finish_reason: str | None
    usage: dict[str, int | None]
    attempts: int
    seconds: float
    time: str
    reason: str | None

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Record":
        """Raises JournalError on what is no record, or damaged; other keys are ignored."""
        try:
            record = msgspec.convert(plain | numbers_in(plain), cls)
        except msgspec.ValidationError as error:
            raise JournalError(f"no record of a game: {error}") from error
        if record.state not in STATES or record.game not in (0, 1):
            raise JournalError(f"unknown state {record.state!r} or game {record.game}")
        return record

    def line(self) -> str:
        return dump_line({key: getattr(self, key) for key in self.__slots__})

    @property
    def key(self) -> tuple[str, str, int]:
        """Of this very game, not only of its prompt."""
        return self.digest, self.uid, self.game

    @property
    def is_repeatable(self) -> bool:
        """The judge replied, but without a verdict: another asking may bring one."""
        return self.state in ("unparsed", "truncated")


def numbers_in(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a line; those that are none, or that nobody could add up, are 0."""
    usage = dict_of(plain.get("usage"))
    return {
        "usage": {key: count_of(usage.get(key)) for key in NO_TOKENS},
        "attempts": count_of(plain.get("attempts")),
        "seconds": number_of(plain.get("seconds")) or 0.0,
    }


def record_of(
    game: Game, outcome: Outcome, earlier: Record | None, *, calls: int, again: int, seconds: float
) -> Record:
    """The line of a game that has ended. calls: made for it since its last line, `earlier`. again:
    the number of the repetition (0: the first asking). seconds: of the last call.

    The text of a reply without a verdict outlives a repetition that brings none.
    """
    reason = outcome.reason
    if again:
        times = "once" if again == 1 else f"{again} times"
        what = "verdict" if outcome.state == "ok" else f"{reason or outcome.state}, also"
        reason = f"{what} after asking again {times}"
    record = Record(
        digest=game.digest,
        uid=game.uid,
        game=game.index,
        state=outcome.state,
        label=outcome.label,
        answer=outcome.answer,
        finish_reason=outcome.finish_reason,
        usage=outcome.usage or dict(NO_TOKENS),
        attempts=(earlier.attempts if earlier else 0) + calls,
        seconds=round(seconds, 3),
        time=datetime.now().astimezone().isoformat(timespec="milliseconds"),
        reason=reason,
    )
    if earlier is None or outcome.state not in ("too_long", "rejected"):
        return record
    return replace(
        record,
        state=earlier.state,
        answer=earlier.answer,
        finish_reason=earlier.finish_reason,
        reason=f"{earlier.reason}; {outcome.state} when asked again: {outcome.reason}",
    )


def read_records(path: Path | str, flaws: list[Line] | None = None) -> Iterator[Record]:
    """Yield the records of a journal in file order; what is no record goes to `flaws`."""
    with Path(path).open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = parse_line(number, raw)
            if line is None:
                continue
            try:
                if line.obj is None:
                    raise JournalError(line.error)
                yield Record.from_dict(line.obj)
            except JournalError as error:
                if flaws is not None:
                    flaws.append(Line(number, None, str(error), line.torn))


class Replayed:
    """What the lines of a journal say. records: the last line of each digest. asked: how many lines
    with calls of ours each of them has. held: keys of the very games that have a line, since games
    may share a prompt.
    """

    def __init__(self, records: Iterable[Record] = ()):
        self.records: dict[str, Record] = {}
        self.asked: Counter[str] = Counter()
        self.held: set[tuple[str, str, int]] = set()
        for record in records:
            self._take_in(record)

    def _take_in(self, record: Record) -> None:
        self.records[record.digest] = record
        self.asked[record.digest] += record.attempts > 0
        self.held.add(record.key)

    def times_asked(self, digest: str) -> int:
        """How often a game was asked: by us, or once by those whose judgments were adopted."""
        return self.asked[digest] or int(digest in self.records)


class Journal(Replayed):
    """A journal open for appending, whose lock is held; replayed of the digests asked for.

    flaws: lines that are no records, which stay until `compact`. torn: whether the file ended
    inside a line, which was dropped.
    """

    def __init__(self, path: Path | str, digests: Collection[str] | None = None):
        """Open and replay. digests: keep only these in memory; None keeps all.

        Raises JournalError where the folder or the file cannot be written.
        """
        super().__init__()
        self.path = Path(path)
        self.flaws: list[Line] = []
        what, then = "the journal cannot be written", ". Games are never played without one"
        with contextlib.ExitStack() as undo, self._errors(what, then):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o666)
            undo.callback(os.close, self._file)
            self.torn = self._drop_torn_tail()
            self._size = os.fstat(self._file).st_size
            for record in read_records(self.path, self.flaws):
                if digests is None or record.digest in digests:
                    self._take_in(record)
            undo.pop_all()

    def _errors(self, what: str, then: str = "") -> contextlib.AbstractContextManager[None]:
        return os_errors_as(JournalError, f"{self.path}: {what}", then)

    def _drop_torn_tail(self) -> bool:
        """A last line without its newline: completed if it is a whole record, else cut off."""
        data = self.path.read_bytes()
        tail = data[data.rfind(b"\n") + 1 :]
        if not tail:
            return False
        line = parse_line(1, tail)
        try:
            Record.from_dict((line and line.obj) or {})
        except JournalError:
            os.ftruncate(self._file, len(data) - len(tail))
            return True
        _write_all(self._file, b"\n")
        return False

    def append(self, record: Record) -> None:
        """Write one line. JournalError on a full disk or a second writer; the file stays whole."""
        # A lone surrogate in a reply is kept as the JSON escape that stands for it.
        data = record.line().encode("utf-8", "backslashreplace")
        then = ". Make room and start again: all games before it are kept"
        with self._errors("a finished game cannot be written", then):
            found = os.fstat(self._file)
            if not found.st_nlink:
                raise JournalError(
                    f"{self.path}: the journal was deleted while it was written, and its games "
                    "are gone: restore the file if you can, then start again"
                )
            if found.st_size != self._size:
                raise JournalError(
                    f"{self.path}: another process writes this journal too; this one stops. "
                    "Two runs share results_dir: wait for one to end, then start again"
                )
            try:
                _write_all(self._file, data)
            except OSError:
                # Shrinking needs no space. Where even that fails, the next start drops a torn line.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._size)
                raise
        self._size += len(data)
        self._take_in(record)

    def sync(self) -> None:
        """Have what was written survive the death of the node; JournalError if it cannot."""
        with self._errors("cannot be put on disk"):
            os.fsync(self._file)

    def close(self) -> None:
        try:
            self.sync()
        finally:
            os.close(self._file)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # The disk that failed us once may do so again: the first error is the one to tell.
        with contextlib.suppress(JournalError) if kind else contextlib.nullcontext():
            self.close()


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
