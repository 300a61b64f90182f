"""A circuit breaker: opens after several failures in a row, ends the job if it stays open.

closed      requests are sent; a reply of any kind closes the circuit
open        nothing is sent until the server looks healthy
half open   one request at a time, until one gets a reply
"""

import time

TRIP = 5  # requests that failed since the last reply; a single odd prompt must not open the circuit
# s during which every reply is "too many requests": the quota is used up, the server is not busy.
PATIENCE_THROTTLED = 900.0


class Breaker:
    """Counts failures. patience: s without a reply, while the circuit is open, that end the job."""

    def __init__(self, patience: float):
        self._patience = patience
        self.last = ""  # message of the last failure
        self.replied()

    def replied(self) -> None:
        """The server replied to a request."""
        self._failing: set[object] = set()
        self._unreachable = False
        self.trials = 0
        self._since: float | None = None  # first failure after the last reply
        self._throttled_since: float | None = None
        self._excused = 0.0

    @property
    def is_open(self) -> bool:
        return self._unreachable or len(self._failing) >= TRIP

    def failed(self, request: object, message: str, *, unreachable: bool = False) -> None:
        """unreachable: nothing listens any more, so the circuit opens at once."""
        self._unreachable |= unreachable
        self.trials += self.is_open
        self._failing.add(request)
        self.last = message
        self._since = time.monotonic() if self._since is None else self._since

    def throttled(self, message: str) -> None:
        """Too many requests: the server is alive."""
        self.last = message
        if self._throttled_since is None:
            self._throttled_since = time.monotonic()

    def excuse(self, seconds: float) -> None:
        """Do not count the time of a restart, which `max_restarts` limits."""
        self._excused += seconds

    @property
    def cause(self) -> str | None:
        """Why the job should end, or None."""
        now = time.monotonic()
        if self._since is not None and self.is_open:
            without = now - self._since - self._excused
            if without > self._patience:
                return f"no reply for {without:.0f} s, last failure: {self.last}"
        if self._throttled_since is not None and now - self._throttled_since > PATIENCE_THROTTLED:
            minutes = (now - self._throttled_since) / 60
            return f"only 'too many requests' for {minutes:.0f} minutes, last failure: {self.last}"
        return None
