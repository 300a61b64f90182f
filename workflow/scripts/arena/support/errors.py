"""The exceptions of this project, one tree.

    ArenaError                  anything a user can act on; printed without a traceback
    ├── ConfigError             a key of config.yaml, a profile or an Arena-Hard-Auto settings file
    ├── DataError               a question, answer or judgment file (names file and line)
    │   └── Unfinished          a checkpoint that is still being written; the next run may take it
    ├── JournalError            the journal of games: unreadable, held by another, disk full
    ├── JudgeError              the judge server: does not start, died too often, refuses the key
    └── OpenGames               some games have no terminal state yet; asking again may close them
        ├── BudgetSpent         this run may ask no more
        └── JobEnds             the job's time is used up

A message says what is wrong, where (file, line or key), and what to do.
"""

import contextlib
from collections.abc import Iterator

from arena.support.humanize import printable


class ArenaError(Exception):
    """Base of every error that a user can act on; what it quotes cannot steer a terminal.

    kind: that of the stop of a batch which it ends, see `arena.journals.records.StopKind`.
    """

    kind = "error"

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(ArenaError):
    """A setting is missing, unknown or contradicts another."""

    kind = "data"


class DataError(ArenaError):
    """A data file cannot be used as it is."""

    kind = "data"


class Unfinished(DataError):
    """A checkpoint is still being written; the next run may take it."""


class JournalError(ArenaError):
    """The journal of games cannot be read, written or locked."""

    kind = "journal"


class JudgeError(ArenaError):
    """The judge cannot be reached, started or trusted.

    kind: judge_start (on no node), judge_here (not on this one, or not this time), judge_died,
    judge_refuses.
    """

    def __init__(self, text: str, kind: str = "judge_refuses") -> None:
        super().__init__(text)
        self.kind = kind


class OpenGames(ArenaError):
    """Games remain without a terminal state; the next attempt asks only these."""

    kind = "open_games"


class BudgetSpent(OpenGames):
    """Games remain, and this run may ask no more; the next run asks only these."""

    kind = "budget"


class JobEnds(OpenGames):
    """Games remain, and the job has no time left for them; the next attempt asks only these."""

    kind = "walltime"


@contextlib.contextmanager
def os_errors_as(kind: type[ArenaError], what: str, then: str = "") -> Iterator[None]:
    """An OSError becomes one of ours: what failed (with its file), the system's reason, and then
    what to do."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {error.strerror or error}{then}") from error
