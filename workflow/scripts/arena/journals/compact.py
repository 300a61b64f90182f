"""Check and compact journals."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from arena.data.judgments import is_foreign
from arena.data.layout import Layout
from arena.data.verdict import states_text
from arena.journals.adopt import move_aside
from arena.journals.journal import Record, read_records
from arena.journals.lock import Lock
from arena.support.coerce import dict_of, list_of
from arena.support.errors import JournalError, os_errors_as
from arena.support.jsonl import Line, iter_lines, write_atomic


def _read(path: Path) -> tuple[list[Record], dict[tuple[str, str, int], Record], list[Line]]:
    """All records, the last one of each game, and invalid lines. Raises JournalError."""
    flaws: list[Line] = []
    records = list(read_records(path, flaws))
    return records, {one.key: one for one in records}, flaws


def check(path: Path) -> tuple[list[str], bool]:
    """A summary of a journal, a line for each invalid line, and whether it is sound.

    An incomplete last line is fine: the next run drops it and asks that game again.
    """
    records, last, flaws = _read(path)
    states = states_text(Counter(record.state for record in last.values()))
    calls = sum(record.attempts for record in last.values())
    head = f"{path}: {len(last)} games ({states or 'none'}), {calls} calls"
    if adopted := sum(record.attempts == 0 for record in records):
        head += f", {adopted} adopted"
    if len(records) > len(last):
        head += f", {len(records) - len(last)} lines replaced by later ones"
    lines = [head, *(f"{path}:{flaw.number}: {flaw.error}" for flaw in flaws)]
    return lines, all(flaw.torn for flaw in flaws)


def compact(path: Path, *, reopen: Collection[str] = (), judgments: Path | None = None) -> str:
    """Rewrite a journal without lines that no reader needs; returns a summary.

    A game without a verdict keeps all its lines: their number says how often it was asked. Raises
    JournalError while another process uses the journal. reopen: also drop games in these states, so
    that they are asked again. judgments: folder of the judgment files; one with reopened games is
    moved to `reopened/`, or the next run would find nothing to do.
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
        summary = f"{path}: {len(records) - len(kept)} of {len(records)} lines dropped"
        summary += f", {reopened} games reopened, {len(flaws)} unreadable lines dropped"
        judgment = judgments and judgments / path.name
        is_ours = judgment and judgment.exists() and not is_foreign(judgment, path)
        # Moved first: if we are killed in between, it is made again from the unchanged journal.
        if judgment and is_ours and (reopened or _has_games_in(judgment, reopen)):
            aside = move_aside(judgment, Layout(path.parent.parent).reopened, datetime.now())
            summary += f", its judgments moved to {aside}"
        with os_errors_as(JournalError, f"{path}: cannot be written"):
            write_atomic(path, (record.line() for record in kept))
    return summary


def _has_games_in(judgment: Path, states: Collection[str]) -> bool:
    """Whether a judgment file has games in these states; the journal may have lost them when they
    were reopened for another baseline's file."""
    lines = (list_of(dict_of(line.obj).get("games")) for line in iter_lines(judgment))
    return any(dict_of(game).get("state") in states for games in lines for game in games)
