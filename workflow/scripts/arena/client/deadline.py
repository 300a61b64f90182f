"""When the job ends, and until when requests may be sent and their replies awaited.

Slurm leaves 30 s after SIGTERM, so a batch stops sending while open requests can still finish.
Before it stops, it asks Slurm again, because the job may have got more time. It asks for the time
that is left, not for the time of the end, because the clocks of node and controller may differ.
"""

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Callable

from arena.support import slurm

LEAVE = 60.0  # s before the end: to write files, to stop the server, for Snakemake's clean-up
BUSY = 30.0  # s; a busy controller answers within this or not at all
QUICKEST = 10.0  # s; no request is sent with less time than this to finish
STILL = 10.0  # s without a call of `_look`, which comes once a second: the job was suspended


class Deadline:
    """The end of the job (monotonic); infinite if nothing ends it."""

    def __init__(
        self, left: float | None = None, *, ask: Callable[[], float | None] = lambda: None
    ):
        """left: s until the job ends. ask: asks Slurm for this again; None if it does not know."""
        self.end = math.inf if left is None else time.monotonic() + left
        self._ask = ask
        self._seconds: deque[float] = deque(maxlen=200)  # of the last requests: the current load
        self._looked, self._resumed = time.monotonic(), -math.inf

    @classmethod
    def of_this_job(cls) -> "Deadline":
        """Of the Slurm job of this process; infinite outside Slurm or without a time limit."""
        job = os.environ.get("SLURM_JOB_ID")
        if not job:
            return cls()
        left, stated = slurm.time_left(job, BUSY), os.environ.get("SLURM_JOB_END_TIME", "")
        if left is None and stated.isdigit():
            left = float(stated) - time.time()
        return cls(left, ask=lambda: slurm.time_left(job, BUSY))

    def observe(self, seconds: float) -> None:
        """A request took so long. If the job was suspended meanwhile, that tells nothing."""
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
        """When requests that are still open are given up (monotonic)."""
        return self.end - LEAVE

    @property
    def drain_at(self) -> float:
        """When no more is sent: 98 % of the last requests would have finished by `leave_at`."""
        slow = sorted(self._seconds)[int(0.98 * (len(self._seconds) - 1))] if self._seconds else 0.0
        return self.leave_at - max(QUICKEST, slow)

    def is_draining(self) -> bool:
        self._look()
        return time.monotonic() >= self.drain_at

    def is_over(self) -> bool:
        return time.monotonic() >= self.leave_at

    async def extended(self) -> bool:
        """Ask Slurm again; whether the job got enough time to send more requests."""
        left = await asyncio.to_thread(self._ask)
        if left is not None:
            self.end = max(self.end, time.monotonic() + left)
        return not self.is_draining()
