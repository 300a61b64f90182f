"""The state of each batch, from its Slurm job and the record of its attempts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arena.journals.batches import Attempt, Batch, newest_run, stop_by_slurm
from arena.journals.records import Status, Stop, StopKind
from arena.support import slurm

ALIVE = ("running", "starting", "idle", "queued")
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STOPPED")
# The job ended by itself: the attempt's own record has the cause.
_BY_ITSELF = ("COMPLETED", "FAILED")

ASK_S = 30  # files are read more often, but one Slurm controller serves the whole cluster


@dataclass
class JobRow:
    """A batch and its job.

    state: `planned` (no job yet), `queued`, `idle` (the job has just started), `starting` (the
    server is not ready yet), `running`, `ended`, `failed`, or `gone` (it recorded no end: it was
    killed or its node failed). attempt: the newest one; None if it is of an earlier run or job.
    stop: why it failed or is gone, if known.
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

    @property
    def status(self) -> Status | None:
        """Of the newest attempt; that of earlier attempts is outdated."""
        last, attempt = self.batch.status, self.attempt
        return last if last and attempt and last.time >= attempt.start else None

    def elapsed(self, now: float) -> float | None:
        """Seconds that the job has run; None while it waits, and if it is gone (unknown)."""
        if self.state in ("queued", "gone"):
            return None
        if self.attempt is not None:
            return self.attempt.elapsed(now)
        return self.job.elapsed if self.job else None

    @property
    def reason(self) -> str:
        """Why it waits, as Slurm's reason code; or why it ended."""
        if self.state == "queued" and self.job is not None:
            return self.job.reason if self.job.reason != "None" else ""
        return self.stop.text if self.stop else ""


class JobReader:
    """Reads the jobs of a campaign repeatedly. Slurm is asked again when its answers are old or do
    not have a job; its accounting, until it knows why a job ended.
    """

    def __init__(self) -> None:
        self._queue: tuple[list[slurm.Job] | None, str | None] = (None, None)
        self._known: set[str] = set()  # jobs that were expected in it
        self._ends: dict[str, Stop | None] = {}  # None: the job ended by itself
        self._queue_asked = self._ends_asked = -math.inf

    def read(self, batches: Sequence[Batch], now: float) -> tuple[list[JobRow], str | None]:
        """One row for each batch, in their order, and why squeue failed (None: it did not).

        Slurm is asked only if it may have a job of this campaign: if jobs ran on this machine, or
        all have ended, it does not matter that a controller does not answer.
        """
        alive = {one.job for b in batches if (one := b.attempt) and one.job and one.end is None}
        alive |= {f"batch {name}" for name in _may_wait(batches)}
        if alive and (now - self._queue_asked >= ASK_S or not alive <= self._known):
            self._queue, self._queue_asked, self._known = slurm.squeue(), now, alive
        queue, problem = self._queue if alive else (None, None)
        in_order = sorted(queue or (), key=lambda job: (len(job.id), job.id))  # the newest one wins
        by_batch = {job.batch: job for job in in_order}
        by_id = None if queue is None else {job.id: job for job in in_order}
        rows = [_row(batch, by_batch.get(batch.name), by_id) for batch in batches]
        # Only the accounting knows whether Slurm killed a job.
        killed = StopKind.KILLED
        unclear = [r for r in rows if r.state == "gone" or (r.stop and r.stop.kind is killed)]
        new = [row.job_id for row in unclear if row.job_id and row.job_id not in self._ends]
        if new and now - self._ends_asked >= ASK_S:
            self._ends_asked = now
            for job, times in slurm.ended(new).items():
                state = max(times, key=lambda time: time[2])[0]
                self._ends[job] = None if state in _BY_ITSELF else stop_by_slurm(state)
        for row in unclear:
            row.stop = self._ends.get(row.job_id or "") or row.stop
        return rows, problem


def _may_wait(batches: Sequence[Batch]) -> list[str]:
    """Batches of the newest run that may have a queued job: not started yet, or to be retried.

    [] for a run whose batches are processes of one machine.
    """
    run = newest_run(list(batches))
    mine = [(b.name, b.attempt if _is_of_its_run(b) else None) for b in batches if b.run == run]
    if any(attempt is not None and attempt.job is None for _, attempt in mine):
        return []
    return [name for name, attempt in mine if attempt is None or attempt.stop]


def _is_of_its_run(batch: Batch) -> bool:
    """Whether the newest attempt belongs to the run that planned the batch last."""
    return batch.attempt is not None and batch.attempt.run in (None, batch.run)


def _row(batch: Batch, job: slurm.Job | None, queue: Mapping[str, slurm.Job] | None) -> JobRow:
    """job: the batch's newest in the queue, if any. queue: jobs by id; None: unknown."""
    attempt, stop, is_gone = batch.attempt, None, False
    known = queue.get(attempt.job) if queue and attempt and attempt.job else None
    job = job or known
    if attempt is not None and attempt.end is None:  # is the process that records it dead?
        vanished = queue is not None and known is None
        is_gone = vanished if attempt.job is not None else attempt.is_dead
    if attempt and (is_gone or attempt.end is not None) and not _is_of_its_run(batch):
        attempt = None
    if attempt and job is not None and attempt.job != job.id:
        attempt = None
    if job is not None and job.state in _WAITING:
        state = "queued"
    elif attempt is None:
        state = "idle" if job is not None else "planned"
    elif attempt.end is not None:
        state, stop = "failed" if attempt.stop else "ended", attempt.stop
    elif is_gone:
        state = "gone"
    elif attempt.ready is not None:
        state = "running"
    else:
        state = "idle" if attempt.launched is None else "starting"
    return JobRow(batch, state, job, attempt, stop)
