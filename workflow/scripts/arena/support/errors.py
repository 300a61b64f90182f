"""The exceptions of this project, one tree.

    ArenaError                  anything a user can act on; printed without a traceback
    ├── ConfigError             a key of config.yaml, a profile or an Arena-Hard-Auto settings file
    ├── DataError               a question, answer or judgment file (names file and line)
    │   └── Unfinished          a checkpoint that is still being written; the next run may take it
    ├── JournalError            the journal of games: unreadable, locked by another, disk full
    ├── JudgeError              the judge server: does not start, crashed too often, refuses the key
    └── OpenGames               some games are not finished; the next attempt asks them
        ├── BudgetSpent         the budget of this run is used up
        └── JobEnds             the walltime of the job is used up

A message says what is wrong, where (file, line or key), and what to do.
"""

import contextlib
from collections.abc import Iterator

from arena.support.humanize import printable


class ArenaError(Exception):
    """Base of every error that a user can act on; control characters in quoted text are escaped.

    kind: why the batch stopped, if it ends with this error (`arena.journals.records.StopKind`).
    """

    kind = "error"

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(ArenaError):
    kind = "data"


class DataError(ArenaError):
    kind = "data"


class Unfinished(DataError):
    """A checkpoint is still being written; the next run may take it."""


class JournalError(ArenaError):
    kind = "journal"


class JudgeError(ArenaError):
    """The judge cannot be reached, started or used.

    kind: judge_start (would fail on every node), judge_here (failed on this node or this time),
    judge_died, judge_refuses.
    """

    def __init__(self, text: str, kind: str = "judge_refuses") -> None:
        super().__init__(text)
        self.kind = kind


class OpenGames(ArenaError):
    kind = "open_games"


class BudgetSpent(OpenGames):
    kind = "budget"


class JobEnds(OpenGames):
    kind = "walltime"


@contextlib.contextmanager
def os_errors_as(kind: type[ArenaError], what: str, then: str = "") -> Iterator[None]:
    """Turn an OSError into one of ours. what: what failed, with the file. then: what to do."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {error.strerror or error}{then}") from error
