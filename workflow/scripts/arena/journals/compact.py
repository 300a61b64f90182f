"""Checking journals and making them smaller; see `arena.journals.journal` for what they hold."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from arena.data.game_state import states_text
from arena.data.judgments import is_foreign
from arena.data.layout import Layout
from arena.journals.adopt import move_aside
from arena.journals.journal import Record, read_records
from arena.journals.lock import Lock
from arena.support.errors import JournalError, os_errors_as
from arena.support.jsonl import Line, iter_lines, write_atomic


@dataclass(slots=True)
class Checked:
    """What a journal holds. superseded: lines that a later one of the same game replaces."""

    path: Path
    states: Counter[str]
    superseded: int
    adopted: int
    calls: int
    flaws: list[Line]

    @property
    def is_sound(self) -> bool:
        """A torn last line is a kill's trace: the next run drops it and asks that game."""
        return all(flaw.torn for flaw in self.flaws)

    def lines(self) -> list[str]:
        shown = states_text(self.states) or "none"
        head = f"{self.path}: {self.states.total()} games ({shown}), {self.calls} calls"
        if self.adopted:
            head += f", {self.adopted} adopted"
        if self.superseded:
            head += f", {self.superseded} lines replaced by later ones"
        return [head] + [f"{self.path}:{flaw.number}: {flaw.error}" for flaw in self.flaws]


def _read(path: Path) -> tuple[list[Record], dict[tuple[str, str, int], Record], list[Line]]:
    """All records, the last one of each game, and the lines that are none. JournalError."""
    flaws: list[Line] = []
    with os_errors_as(JournalError, f"{path}: cannot be read"):
        records = list(read_records(path, flaws))
    return records, {one.key: one for one in records}, flaws


def check(path: Path) -> Checked:
    """Read a whole journal. JournalError where it cannot be read at all."""
    records, last, flaws = _read(path)
    return Checked(
        path,
        Counter(record.state for record in last.values()),
        superseded=len(records) - len(last),
        adopted=sum(record.attempts == 0 for record in records),
        calls=sum(record.attempts for record in last.values()),
        flaws=flaws,
    )


def compact(path: Path, *, reopen: Collection[str] = (), judgments: Path | None = None) -> str:
    """Rewrite a journal without what no reader needs; returns what was dropped, in words.

    The lines of a game that was asked again and has no verdict yet stay all: their number says how
    often it was asked. JournalError where a living process plays from the journal.

    reopen: drop games in these states too, so that they are asked again. judgments: folder of the
    judgment files; one with reopened games is moved into `reopened/` of the results, since as long
    as it is in its place the next run finds nothing to do.
    """
    with Lock(path) as lock:
        lock.acquire()
        records, last, flaws = _read(path)
        kept = [
            record
            for record in records
            if (final := last[record.key]).state not in reopen
            and (record is final or final.is_repeatable)
        ]
        reopened = sum(record.state in reopen for record in last.values())
        said = f"{path}: {len(records) - len(kept)} of {len(records)} lines dropped"
        said += f", {reopened} games reopened, {len(flaws)} unreadable lines gone"
        judgment = judgments / path.name if judgments else None
        if judgment and (not judgment.exists() or is_foreign(judgment, path)):
            judgment = None
        # First: if we are killed in between, the file is made again of the journal as it was.
        if judgment and (reopened or _has_games_in(judgment, reopen)):
            aside = move_aside(judgment, Layout(path.parent.parent).reopened, datetime.now())
            said += f", its judgments moved to {aside}"
        with os_errors_as(JournalError, f"{path}: cannot be written"):
            write_atomic(path, (record.line() for record in kept))
    return said


def _has_games_in(judgment: Path, states: Collection[str]) -> bool:
    """Whether a judgment file of ours was made with such games, also where they were reopened for
    another file of the same journal (another baseline's) before."""
    games = (game for line in iter_lines(judgment) for game in (line.obj or {}).get("games") or ())
    return any(game and game.get("state") in states for game in games)
