"""What a client is told from outside while it plays, and what it counts."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from arena.journals.journal import NO_TOKENS


@dataclass(slots=True)
class Hooks:
    """What a client is told from outside, each a quick call.

    share: requests that may be open now. others_play: siblings that would suffer if we failed.
    waiting: we are done but for games that do not go through (True), or play again (False).
    priority: whether requests say their question's position. ready: the judge is, for the first
    time. exceeded: why no more may be asked (budget), or None. lost: the lock was taken from us.
    """

    share: Callable[[], int]
    priority: Callable[[], bool] = lambda: False
    ready: Callable[[], None] = lambda: None
    others_play: Callable[[], list[str]] = list
    waiting: Callable[[bool], None] = lambda _: None
    exceeded: Callable[[], str | None] = lambda: None
    lost: Callable[[], bool] = lambda: False
    progress: Callable[[], None] = lambda: None
    tell: Callable[[str], None] = lambda _: None


@dataclass(slots=True)
class Counts:
    """Of this run: for the log's summary."""

    calls: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    again: int = 0
    usage: Counter[str] = field(default_factory=lambda: Counter(NO_TOKENS))
