"""The circuit to the judge: opens after failures in a row, ends the job when it stays open.

closed      games flow; a reply of any kind resets the count
open        nothing is asked; the judge's health is
half open   the judge looks well: one game at a time, until one gets a reply
"""

import time

TRIP = 5  # failures in a row; a judge that works at all replies to one of five
# s without a reply, while the judge looks up, until we stop. An external judge has nobody to
# restart it; a supervised one gets time for its supervisor's health checks to notice.
PATIENCE_EXTERNAL = 60.0
PATIENCE_SUPERVISED = 120.0
# s during which every answer is "too many requests": a quota that is used up, not a busy moment.
PATIENCE_THROTTLED = 900.0


class Breaker:
    """Counts failures; `cause` says why the job should end, once it should."""

    def __init__(self, patience: float, throttled: float = PATIENCE_THROTTLED):
        self._patience = patience
        self._throttled = throttled
        self._row = 0
        self._since: float | None = None  # first failure after the last reply
        self._throttled_since: float | None = None
        self._excused = 0.0
        self.last = ""

    @property
    def is_open(self) -> bool:
        return self._row >= TRIP

    def replied(self) -> None:
        """The judge took a game and answered it."""
        self._row = 0
        self._since = self._throttled_since = None
        self._excused = 0.0

    def failed(self, message: str) -> None:
        self._row += 1
        self.last = message
        self._since = time.monotonic() if self._since is None else self._since

    def throttled(self, message: str, wait: float | None) -> None:
        """Too many requests: the judge lives. `wait`: s that it asked for itself."""
        self.last = message
        now = time.monotonic()
        if self._throttled_since is None:
            self._throttled_since = now
        self._throttled_since += min(wait or 0.0, max(0.0, now - self._throttled_since))

    def excuse(self, seconds: float) -> None:
        """So long the judge was being started anew, which its supervisor limits."""
        self._excused += seconds

    def trip(self) -> None:
        """Open at once: nothing listens any more."""
        self._row = max(self._row, TRIP)

    @property
    def cause(self) -> str | None:
        now = time.monotonic()
        if self._since is not None and self.is_open:
            without = now - self._since - self._excused
            if without > self._patience:
                return f"no reply for {without:.0f} s, last: {self.last}"
        if self._throttled_since is not None and now - self._throttled_since > self._throttled:
            minutes = (now - self._throttled_since) / 60
            return f"nothing but refusals for {minutes:.0f} minutes, last: {self.last}"
        return None
