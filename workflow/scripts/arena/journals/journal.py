"""The journal of a model: an append-only file with one line for each finished game or answer.

Each line is one `write`: SIGKILL loses nothing, and a node failure at most the lines since the last
`sync`. A game is identified by its digest (see `GameSettings.digest`). Lines of other settings
stay; of several lines with one digest the last one counts.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from arena.data.games import Game
from arena.data.verdict import STATES
from arena.support.coerce import count_of, dict_of, number_of
from arena.support.errors import JournalError, os_errors_as
from arena.support.jsonl import Line, dump_line, parse_line

NO_TOKENS = {"prompt": 0, "cached": 0, "completion": 0}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a game: its state and the reply. address: index of the judge's address."""

    state: str
    label: str | None = None
    answer: str | None = None
    finish_reason: str | None = None
    usage: dict[str, int | None] | None = None
    reason: str | None = None
    is_unexplained: bool = False  # a refusal that may have nothing to do with this game
    address: int = 0

    @property
    def is_refusal(self) -> bool:
        """The judge refused the request, because of this game or because all are wrong."""
        return self.answer is None


@dataclass(slots=True)
class Record:
    """One line: a finished game; the fields are the keys of the file, in their order.

    attempts: calls made for it so far, 0 where the reply was imported or copied. seconds: of the
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
        """Raises JournalError for an invalid record; unknown keys are ignored. Numbers that are
        invalid or absurdly large become 0.
        """
        usage = dict_of(plain.get("usage"))
        numbers = {
            "usage": {key: count_of(usage.get(key)) for key in NO_TOKENS},
            "attempts": count_of(plain.get("attempts")),
            "seconds": number_of(plain.get("seconds")) or 0.0,
        }
        try:
            record = msgspec.convert(plain | numbers, cls)
        except msgspec.ValidationError as error:
            raise JournalError(f"invalid record: {error}") from error
        if record.state not in STATES or record.game not in (0, 1):
            raise JournalError(f"unknown state {record.state!r} or game {record.game}")
        return record

    @classmethod
    def of(cls, game: Game, outcome: Outcome, calls: int, seconds: float, time: str) -> "Record":
        return cls(
            digest=game.digest,
            uid=game.uid,
            game=game.index,
            state=outcome.state,
            label=outcome.label,
            answer=outcome.answer,
            finish_reason=outcome.finish_reason,
            usage=outcome.usage or dict(NO_TOKENS),
            attempts=calls,
            seconds=round(seconds, 3),
            time=time,
            reason=outcome.reason,
        )

    def line(self) -> str:
        return dump_line({key: getattr(self, key) for key in self.__slots__})

    @property
    def key(self) -> tuple[str, str, int]:
        """Identifies the game; several games may share a digest."""
        return self.digest, self.uid, self.game

    @property
    def is_repeatable(self) -> bool:
        """It has a reply without a verdict, so asking again may give one."""
        return self.state in ("unparsed", "truncated")


def record_of(
    game: Game, outcome: Outcome, earlier: Record | None, *, calls: int, again: int, seconds: float
) -> Record:
    """The record of a finished game. calls: made since its last record, `earlier`. again: number of
    the repetition (0: first time). seconds: of the last call.

    If a repetition is refused, the earlier reply without a verdict is kept.
    """
    reason = outcome.reason
    if earlier and outcome.state in ("too_long", "rejected"):
        reason = f"{earlier.reason or earlier.state}; {outcome.state} when asked again: {reason}"
        outcome = replace(outcome, state=earlier.state, answer=earlier.answer)
        outcome = replace(outcome, finish_reason=earlier.finish_reason)
    elif again:
        times = "once" if again == 1 else f"{again} times"
        what = "verdict" if outcome.state == "ok" else f"{reason or outcome.state}, also"
        reason = f"{what} after asking again {times}"
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    calls += earlier.attempts if earlier else 0
    return Record.of(game, replace(outcome, reason=reason), calls, seconds, now)


def read_records(path: Path | str, flaws: list[Line] | None = None) -> Iterator[Record]:
    """Yield the records of a journal in file order; invalid lines are added to `flaws`. Raises
    JournalError if the file cannot be read.
    """
    with os_errors_as(JournalError, f"{path}: cannot be read"), Path(path).open("rb") as file:
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
    """What a journal contains. records: the last record of each digest. asked: number of records
    with calls, by digest. last: the last record of each game, by `Record.key`.
    """

    def __init__(self, records: Iterable[Record] = ()):
        self.records: dict[str, Record] = {}
        self.asked: Counter[str] = Counter()
        self.last: dict[tuple[str, str, int], Record] = {}
        for record in records:
            self._take_in(record)

    def _take_in(self, record: Record) -> None:
        self.records[record.digest] = record
        self.asked[record.digest] += record.attempts > 0
        self.last[record.key] = record

    def times_asked(self, digest: str) -> int:
        """How often a game was asked; once, if it was adopted from another tool."""
        return self.asked[digest] or int(digest in self.records)


class Journal(Replayed):
    """A journal open for appending; the caller holds its lock.

    torn: the file had an incomplete last line, which was dropped. Other invalid lines stay until
    `compact`.
    """

    def __init__(self, path: Path | str, digests: Collection[str] | None = None):
        """Open the file and read it. digests: keep only these in memory; None keeps all.

        Raises JournalError where the folder or the file cannot be written.
        """
        super().__init__()
        self.path = Path(path)
        with contextlib.ExitStack() as undo, self._errors("cannot open the journal"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o666)
            undo.callback(os.close, self._file)
            self.torn = self._drop_torn_tail()
            self._size = os.fstat(self._file).st_size
            for record in read_records(self.path):
                if digests is None or record.digest in digests:
                    self._take_in(record)
            undo.pop_all()

    def _errors(self, what: str, then: str = "") -> contextlib.AbstractContextManager[None]:
        return os_errors_as(JournalError, f"{self.path}: {what}", then)

    def _drop_torn_tail(self) -> bool:
        """Complete or cut off a last line without a newline; True if it was cut off."""
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
        """Append one line. JournalError on a full disk or a second writer; the file stays valid."""
        # A lone surrogate in a reply becomes its JSON escape.
        data = record.line().encode("utf-8", "backslashreplace")
        then = ". Free disk space and start again: all earlier results are kept"
        with self._errors("cannot write to the journal", then):
            found = os.fstat(self._file)
            if not found.st_nlink:
                raise JournalError(
                    f"{self.path}: the journal was deleted while it was written, and its results "
                    "are lost; restore the file if you can, then start again"
                )
            if found.st_size != self._size:
                raise JournalError(
                    f"{self.path}: another process writes this journal too, so this one stops. "
                    "Two runs share results_dir: wait for one to end, then start again"
                )
            try:
                _write_all(self._file, data)
            except OSError:
                # If even this fails, the next start drops the incomplete line.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._size)
                raise
        self._size += len(data)
        self._take_in(record)

    def sync(self) -> None:
        """Write to disk what must survive a node failure; JournalError if that fails."""
        with self._errors("cannot write the journal to disk"):
            os.fsync(self._file)

    def close(self) -> None:
        with self._errors("cannot write the journal to disk"):
            try:
                self.sync()
            finally:
                os.close(self._file)  # on NFS this may fail as well

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error, closing may fail for the same reason: only the first is reported.
        with contextlib.suppress(JournalError) if kind else contextlib.nullcontext():
            self.close()


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
