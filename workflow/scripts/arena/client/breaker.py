"""The circuit to the judge: opens after failures in a row, ends the job when it stays open.

closed      games flow; a reply of any kind closes the circuit
open        nothing is asked; the judge's health is
half open   the judge looks well: one game at a time, until one gets a reply
"""

import time

TRIP = 5  # games that failed since the last reply; one odd prompt says nothing of the judge
# s during which every answer is "too many requests": a quota that is used up, not a busy moment.
PATIENCE_THROTTLED = 900.0


class Breaker:
    """Counts failures; `cause` says why the job should end, once it should."""

    def __init__(self, patience: float):
        self._patience = patience
        self._games: set[object] = set()
        self._tripped = False
        self.trials = 0
        self._since: float | None = None  # first failure after the last reply
        self._throttled_since: float | None = None
        self._excused = 0.0
        self.last = ""

    @property
    def is_open(self) -> bool:
        return self._tripped or len(self._games) >= TRIP

    def replied(self) -> None:
        """The judge took a game and answered it."""
        self._games.clear()
        self._tripped = False
        self.trials = 0
        self._since = self._throttled_since = None
        self._excused = 0.0

    def failed(self, game: object, message: str, *, dead: bool = False) -> None:
        """dead: nothing listens any more, so that it opens at once."""
        self._tripped |= dead
        self.trials += self.is_open
        self._games.add(game)
        self.last = message
        self._since = time.monotonic() if self._since is None else self._since

    def throttled(self, message: str) -> None:
        """Too many requests: the judge lives."""
        self.last = message
        if self._throttled_since is None:
            self._throttled_since = time.monotonic()

    def excuse(self, seconds: float) -> None:
        """So long the judge was being started anew, which `judge.max_restarts` limits."""
        self._excused += seconds

    @property
    def cause(self) -> str | None:
        now = time.monotonic()
        if self._since is not None and self.is_open:
            without = now - self._since - self._excused
            if without > self._patience:
                return f"no reply for {without:.0f} s, last: {self.last}"
        if self._throttled_since is not None and now - self._throttled_since > PATIENCE_THROTTLED:
            minutes = (now - self._throttled_since) / 60
            return f"nothing but refusals for {minutes:.0f} minutes, last: {self.last}"
        return None
