"""What became of each batch: its Slurm job and the record of its judge server, put together."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from arena.journals.records import Batch, Life, is_dead
from arena.support import slurm

ALIVE = ("running", "starting", "idle", "queued")
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STOPPED")

# s; files are looked at more often, but one controller answers for a whole cluster
SQUEUE_S = 30


@dataclass
class Queue:
    """Slurm's queue, which keeps its last answer: asked anew when that is old or knows no job."""

    _answer: tuple[list[slurm.Job] | None, str | None] = (None, None)
    _time: float = -math.inf
    _known: set[str] = field(default_factory=set)

    def ask(self, ids: set[str], now: float) -> tuple[list[slurm.Job] | None, str | None]:
        """As `slurm.squeue`. ids: jobs that may be there; the old answer knows no new one."""
        if now - self._time >= SQUEUE_S or not ids <= self._known:
            self._answer, self._time, self._known = slurm.squeue(), now, ids
        return self._answer


@dataclass(frozen=True)
class JobRow:
    """A batch and its job.

    state: `planned` (no job seen yet), `queued`, `starting` (the judge does not answer yet),
    `running`, `ended`, `failed`, or `gone` (it ended without a word: killed, or its node died).
    """

    batch: Batch
    state: str
    job: slurm.Job | None

    @property
    def life(self) -> Life | None:
        return self.batch.lives[-1] if self.batch.lives else None

    @property
    def job_id(self) -> str | None:
        return self.job.id if self.job else self.life.job if self.life else None

    @property
    def node(self) -> str:
        return (self.job.node if self.job else "") or (self.life.node if self.life else "") or ""

    def held(self, now: float) -> float | None:
        """Seconds since the job began, or that it lasted; None while it waits."""
        if self.state in ("queued", "gone"):
            return None  # of one that is gone nobody knows
        if self.life is not None and self.life.start is not None:
            return self.life.held(now)
        return self.job.elapsed if self.job else None

    @property
    def reason(self) -> str:
        """Why it waits, in Slurm's word; or why it ended."""
        if self.state == "queued" and self.job is not None:
            return self.job.reason if self.job.reason != "None" else ""
        return (self.life.cause or "") if self.life and self.state in ("failed", "ended") else ""


def job_rows(
    batches: Iterable[Batch], workdir: Path, root: Path, queued: Queue, now: float
) -> tuple[list[JobRow], str | None]:
    """One row a batch, in their order, and why Slurm could not be asked (None: no need, or it was).

    Slurm is asked only where it may have a job of this campaign: where jobs ran on this machine, or
    all have ended, a controller that does not answer is nobody's concern.
    """
    batches = list(batches)
    batch_of = {life.job: batch.name for batch in batches for life in batch.lives if life.job}
    submitted = slurm.batch_of_job(workdir, root)
    batch_of |= submitted
    lives = [life for batch in batches for life in batch.lives]
    alive = {*submitted, *(life.job for life in lives if life.job and life.end is None)}
    queue, problem = queued.ask(alive, now) if alive else (None, None)
    mine = {batch_of[job.id]: job for job in queue or () if job.id in batch_of}
    jobs = ((batch, mine.get(batch.name)) for batch in batches)
    return [JobRow(batch, _state(batch, job, queue), job) for batch, job in jobs], problem


def _state(batch: Batch, job: slurm.Job | None, queue: list[slurm.Job] | None) -> str:
    life = batch.lives[-1] if batch.lives else None
    if job is not None and job.state in _WAITING:
        return "queued"
    if life is None or (job is not None and life.job != job.id):
        return "idle" if job is not None else "planned"  # the job has just begun
    if life.end is not None:
        return "failed" if life.failed else "ended"
    if job is None and _is_gone(life, queue):
        return "gone"
    if life.ready is not None:
        return "running"
    return "idle" if life.launched is None else "starting"


def _is_gone(life: Life, queue: list[slurm.Job] | None) -> bool:
    """True where the process that should have written the end is surely dead."""
    if life.job is not None:
        return queue is not None and all(job.id != life.job for job in queue)
    return is_dead(life)
