"""When the job ends, and until when games may still be asked and awaited.

At its limit Slurm sends SIGTERM to the server and all clients at the same moment, so a client has
to know the end beforehand: it stops asking while the open games can still finish, and leaves while
the files can still be written.
"""

import os
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime

from arena.support import slurm

LEAVE = 60.0  # s before the end: journal, siblings, Snakemake's own tidying up
BUSY = 30.0  # s; a busy controller answers within this or not at all
QUICKEST = 10.0  # s; no game is begun with less time than this to finish


class Deadline:
    """The end of the job (s since 1970), or None where nothing ends it."""

    def __init__(self, end: float | None = None, *, leave: float = LEAVE):
        self.end = end
        self._leave = leave
        self._seconds: deque[float] = deque(maxlen=200)  # of the last games: the load of now

    def observe(self, seconds: float) -> None:
        """A game took so long."""
        self._seconds.append(seconds)

    @property
    def leave_at(self) -> float:
        """When what is still open is given up."""
        return float("inf") if self.end is None else self.end - self._leave

    @property
    def last(self) -> float:
        """Until when the siblings may be waited for."""
        return float("inf") if self.end is None else self.end - self._leave / 2

    @property
    def drain_at(self) -> float:
        """When no further game is begun: 98 % of the last games would have ended by `leave_at`."""
        slow = sorted(self._seconds)[int(0.98 * (len(self._seconds) - 1))] if self._seconds else 0.0
        return self.leave_at - max(QUICKEST, slow)

    def is_draining(self) -> bool:
        return self.end is not None and time.time() >= self.drain_at

    def is_over(self) -> bool:
        return self.end is not None and time.time() >= self.leave_at


def job_end(environ: Mapping[str, str] = os.environ) -> float | None:
    """The end of this Slurm job (s since 1970); None outside Slurm or without a limit."""
    job = environ.get("SLURM_JOB_ID")
    if not job:
        return None
    stated = environ.get("SLURM_JOB_END_TIME", "")
    if stated.isdigit():
        return float(stated)
    end, problem = slurm.ask_of_job(job, "%e", BUSY)
    try:
        # Local time without a zone; "N/A" or "NONE" for a job without a limit.
        return None if problem else datetime.fromisoformat(end).timestamp()
    except ValueError:
        return None
