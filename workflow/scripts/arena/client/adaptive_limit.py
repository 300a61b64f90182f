"""How many requests are kept open: as many as the server can run, fewer when it says so."""

import random
import time

CUT = 0.7  # of the limit at each "too many requests"; half would leave a batch of ten idle
CUT_EVERY = 1.0  # s; one burst of refusals is one cut
FIRST_DELAY = 1.0  # s before a failed request is retried, doubled at each failure ...
LONGEST_DELAY = 60.0  # ... up to this: a restarted server is found again within a minute


class AdaptiveLimit:
    """Additive increase, multiplicative decrease between 1 and `ceiling`."""

    def __init__(self, ceiling: int):
        self.ceiling = max(1, ceiling)
        self._limit = float(self.ceiling)
        self._last_cut = float("-inf")
        self.hold_until = 0.0  # monotonic; no request is sent before

    @property
    def limit(self) -> int:
        return int(self._limit)

    def set_ceiling(self, ceiling: int) -> None:
        """How many requests the server can run became known."""
        was_at_ceiling = self._limit >= self.ceiling
        self.ceiling = max(1, ceiling)
        self._limit = float(self.ceiling) if was_at_ceiling else min(self._limit, self.ceiling)

    def replied(self) -> None:
        self._limit = min(self.ceiling, self._limit + 1 / self._limit)

    def throttled(self, retry_after: float | None) -> None:
        now = time.monotonic()
        if now - self._last_cut >= CUT_EVERY:
            self._last_cut = now
            self._limit = max(1.0, self._limit * CUT)
        self.hold_until = max(self.hold_until, now + (retry_after or 0.0))


def delay(failures: int, chance: random.Random, retry_after: float | None = None) -> float:
    """Seconds before a retry. Jitter, so that many clients do not return together."""
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(max(0, failures - 1), 30))
    return max(retry_after or 0.0, chance.uniform(longest / 2, longest))
