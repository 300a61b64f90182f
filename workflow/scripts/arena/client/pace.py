"""How fast requests are sent: how many are kept open, how long a failed one waits, and whether any
is sent at all.

The circuit breaker opens after several failures in a row, and ends the job if it stays open:

closed      requests are sent; a reply of any kind closes the circuit
open        nothing is sent until the server looks healthy
half open   one request at a time, until one gets a reply
"""

import math
import random
import time
from collections.abc import Callable

CUT = 0.7  # of the limit at each "too many requests"; half would leave a batch of ten idle
CUT_EVERY = 1.0  # s; one burst of refusals is one cut
FIRST_DELAY = 1.0  # s before a failed request is retried, doubled at each failure ...
LONGEST_DELAY = 60.0  # ... up to this: a restarted server is found again within a minute
TRIP = 5  # requests that failed since the last reply; a single odd prompt must not open the circuit
# s during which every reply is "too many requests": the quota is used up, the server is not busy.
PATIENCE_THROTTLED = 900.0


class AdaptiveLimit:
    """How many requests are kept open: as many as the server can run (`most`, which may become
    known late), fewer when it says so. Additive increase, multiplicative decrease.
    """

    def __init__(self, most: Callable[[], int]):
        self._most = most
        self._limit = math.inf
        self._last_cut = -math.inf
        self.hold_until = 0.0  # monotonic; no request is sent before

    @property
    def limit(self) -> int:
        return max(1, int(min(self._limit, self._most())))

    def replied(self) -> None:
        self._limit += 1 / self._limit

    def throttled(self, retry_after: float | None) -> None:
        now = time.monotonic()
        if now - self._last_cut >= CUT_EVERY:
            self._last_cut = now
            self._limit = max(1.0, min(self._limit, self._most()) * CUT)
        self.hold(retry_after or 0.0)

    def hold(self, seconds: float) -> None:
        self.hold_until = max(self.hold_until, time.monotonic() + seconds)


def delay(failures: int, retry_after: float | None = None) -> float:
    """Seconds before a retry. Jitter, so that many clients do not return together."""
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(max(0, failures - 1), 30))
    return max(retry_after or 0.0, random.uniform(longest / 2, longest))


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
        self._since: float | None = None  # when the circuit opened
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
        if self.is_open and self._since is None:
            self._since = time.monotonic()

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
        if self._since is not None:
            without = now - self._since - self._excused
            if without > self._patience:
                return f"no reply for {without:.0f} s, last failure: {self.last}"
        if self._throttled_since is not None and now - self._throttled_since > PATIENCE_THROTTLED:
            minutes = (now - self._throttled_since) / 60
            return f"only 'too many requests' for {minutes:.0f} minutes, last failure: {self.last}"
        return None
