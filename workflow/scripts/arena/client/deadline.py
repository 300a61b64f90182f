"""When the job ends, and until when games may still be asked and awaited.

Slurm's SIGTERM leaves 30 s. So a batch stops asking while the open games can still finish. Before
that it asks Slurm again, for the job may have got more time; and for the time that is left, not for
the time of day of the end, so that the clocks of node and controller may differ.
"""

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Callable

from arena.support import slurm

LEAVE = 60.0  # s before the end: judgment files, the judge's end, Snakemake's own tidying up
BUSY = 30.0  # s; a busy controller answers within this or not at all
QUICKEST = 10.0  # s; no game is begun with less time than this to finish
STILL = 10.0  # s between two looks, of which there is one a second: the job was suspended


class Deadline:
    """The end of the job (monotonic); infinite where nothing ends it."""

    def __init__(
        self, left: float | None = None, *, ask: Callable[[], float | None] = lambda: None
    ):
        """left: s until the job ends. ask: the same of Slurm, now; None where it cannot tell."""
        self.end = math.inf if left is None else time.monotonic() + left
        self._ask = ask
        self._seconds: deque[float] = deque(maxlen=200)  # of the last games: the load of now
        self._looked, self._resumed = time.monotonic(), -math.inf

    @classmethod
    def of_this_job(cls) -> "Deadline":
        """Of the Slurm job that we are in; without an end outside Slurm or without a limit."""
        job = os.environ.get("SLURM_JOB_ID")
        if not job:
            return cls()
        left, stated = slurm.time_left(job, BUSY), os.environ.get("SLURM_JOB_END_TIME", "")
        if left is None and stated.isdigit():
            left = float(stated) - time.time()
        return cls(left, ask=lambda: slurm.time_left(job, BUSY))

    def observe(self, seconds: float) -> None:
        """A game took so long. One during which the job stood still says nothing of the load."""
        self._look()
        if time.monotonic() - seconds >= self._resumed:
            self._seconds.append(seconds)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked > STILL:
            self._resumed = now
        self._looked = now

    @property
    def leave_at(self) -> float:
        """When what is still open is given up (monotonic)."""
        return self.end - LEAVE

    @property
    def drain_at(self) -> float:
        """When no further game is begun: 98 % of the last games would have ended by `leave_at`."""
        slow = sorted(self._seconds)[int(0.98 * (len(self._seconds) - 1))] if self._seconds else 0.0
        return self.leave_at - max(QUICKEST, slow)

    def is_draining(self) -> bool:
        self._look()
        return time.monotonic() >= self.drain_at

    def is_over(self) -> bool:
        return time.monotonic() >= self.leave_at

    async def extended(self) -> bool:
        """Ask Slurm once more; whether games may be begun again."""
        left = await asyncio.to_thread(self._ask)
        if left is not None:
            self.end = max(self.end, time.monotonic() + left)
        return not self.is_draining()
