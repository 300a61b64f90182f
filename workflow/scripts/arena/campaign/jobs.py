"""The state of each batch, from its Slurm job and the record of its attempts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from arena.journals.attempts import Attempt, stop_by_slurm
from arena.journals.batches import Batch, newest_run
from arena.journals.records import Stop, StopKind
from arena.support import slurm

ALIVE = ("running", "starting", "idle", "queued")
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STOPPED")
# The job ended by itself: the attempt's own record has the cause.
_BY_ITSELF = ("COMPLETED", "FAILED")

ASK_S = 30  # files are read more often, but one Slurm controller serves the whole cluster


@dataclass
class SlurmCache:
    """Slurm's answers; asked again when they are old or about a job that they do not have."""

    _queue: tuple[list[slurm.Job] | None, str | None] = (None, None)
    _time: float = -math.inf
    _known: set[str] = field(default_factory=set)
    _ended: dict[str, Stop | None] = field(default_factory=dict)
    _asked: float = -math.inf

    def queue(self, ids: set[str], now: float) -> tuple[list[slurm.Job] | None, str | None]:
        """As `slurm.squeue`. ids: jobs that may be in the queue."""
        if now - self._time >= ASK_S or not ids <= self._known:
            self._queue, self._time, self._known = slurm.squeue(), now, ids
        return self._queue

    def ends(self, gone: Iterable[str], now: float) -> dict[str, Stop | None]:
        """Why jobs ended that recorded no end, from Slurm's accounting; None: by themselves. Jobs
        that are not in the accounting yet are asked for again later.
        """
        new = [job for job in gone if job not in self._ended]
        if new and now - self._asked >= ASK_S:
            self._asked = now
            for job, times in slurm.ended(new).items():
                state = max(times, key=lambda time: time[2])[0]
                self._ended[job] = None if state in _BY_ITSELF else stop_by_slurm(state)
        return self._ended


@dataclass
class JobRow:
    """A batch and its job.

    state: `planned` (no job yet), `queued`, `idle` (the job has just started), `starting` (the
    server is not ready yet), `running`, `ended`, `failed`, or `gone` (it recorded no end: it was
    killed or its node failed). attempt: the newest one; None if it is of an earlier run. stop: why
    it failed or is gone, if known.
    """

    batch: Batch
    state: str
    job: slurm.Job | None
    attempt: Attempt | None = None
    stop: Stop | None = None

    @property
    def job_id(self) -> str | None:
        return self.job.id if self.job else self.attempt.job if self.attempt else None

    @property
    def node(self) -> str:
        return (self.job and self.job.node) or (self.attempt and self.attempt.node) or ""

    def elapsed(self, now: float) -> float | None:
        """Seconds that the job has run; None while it waits, and if it is gone (unknown)."""
        if self.state in ("queued", "gone"):
            return None
        if self.attempt is not None and self.attempt.start is not None:
            return self.attempt.elapsed(now)
        return self.job.elapsed if self.job else None

    @property
    def reason(self) -> str:
        """Why it waits, as Slurm's reason code; or why it ended."""
        if self.state == "queued" and self.job is not None:
            return self.job.reason if self.job.reason != "None" else ""
        return self.stop.text if self.stop else ""


def job_rows(
    batches: Sequence[Batch], cache: SlurmCache, now: float
) -> tuple[list[JobRow], str | None]:
    """One row for each batch, in their order, and why squeue failed (None: it did not).

    Slurm is asked only if it may have a job of this campaign: if jobs ran on this machine, or all
    have ended, it does not matter that a controller does not answer.
    """
    latest = [batch.attempt for batch in batches if batch.attempt]
    alive = {attempt.job for attempt in latest if attempt.job and attempt.end is None}
    alive |= {f"batch {name}" for name in _may_wait(batches)}
    queue, problem = cache.queue(alive, now) if alive else (None, None)
    in_order = sorted(queue or (), key=lambda job: (len(job.id), job.id))  # the newest one wins
    by_batch = {job.batch: job for job in in_order}
    by_id = {job.id: job for job in in_order}
    rows = []
    for batch in batches:
        known = by_id.get((batch.attempt and batch.attempt.job) or "")
        rows.append(_row(batch, by_batch.get(batch.name) or known, queue))
    # Only the accounting knows whether Slurm killed a job.
    killed = StopKind.KILLED
    unclear = [row for row in rows if row.state == "gone" or (row.stop and row.stop.kind is killed)]
    ends = cache.ends([row.job_id for row in unclear if row.job_id], now)
    for row in unclear:
        row.stop = ends.get(row.job_id or "") or row.stop
    return rows, problem


def _may_wait(batches: Sequence[Batch]) -> list[str]:
    """Batches of the newest run that may have a queued job: not started yet, or to be retried.

    [] for a run whose batches are processes of one machine.
    """
    run = newest_run(list(batches))
    mine = [(b.name, b.attempt if _is_of_its_run(b) else None) for b in batches if b.run == run]
    if any(attempt is not None and attempt.job is None for _, attempt in mine):
        return []
    return [name for name, attempt in mine if attempt is None or attempt.failed]


def _is_of_its_run(batch: Batch) -> bool:
    """Whether the newest attempt belongs to the run that planned the batch last."""
    return batch.attempt is not None and batch.attempt.run in (None, batch.run)


def _row(batch: Batch, job: slurm.Job | None, queue: list[slurm.Job] | None) -> JobRow:
    attempt, stop, is_gone = batch.attempt, None, False
    if attempt is not None and attempt.end is None:  # is the process that records it dead?
        vanished = queue is not None and all(job.id != attempt.job for job in queue)
        is_gone = vanished if attempt.job is not None else attempt.is_dead
    if attempt and (is_gone or attempt.end is not None) and not _is_of_its_run(batch):
        attempt, is_gone = None, False
    if job is not None and job.state in _WAITING:
        state = "queued"
    elif attempt is None or (job is not None and attempt.job != job.id):
        state = "idle" if job is not None else "planned"
    elif attempt.end is not None:
        state, stop = "failed" if attempt.failed else "ended", attempt.stop
    elif is_gone:
        state = "gone"
    elif attempt.ready is not None:
        state = "running"
    else:
        state = "idle" if attempt.launched is None else "starting"
    return JobRow(batch, state, job, attempt, stop)
