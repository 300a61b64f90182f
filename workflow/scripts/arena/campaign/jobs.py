"""What became of each batch: its Slurm job and the record of its attempts, put together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from arena.journals.attempts import Attempt, stop_by_slurm
from arena.journals.batches import Batch, newest_run
from arena.journals.records import Stop, StopKind
from arena.support import slurm

ALIVE = ("running", "starting", "idle", "queued")
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STOPPED")
# Of a job that ended by itself the attempt's own record tells more.
_BY_ITSELF = ("COMPLETED", "FAILED")

# s; files are looked at more often, but one controller answers for a whole cluster
ASK_S = 30


@dataclass
class Slurm:
    """Slurm's answers, kept: asked anew when they are old, and about jobs that they do not know."""

    _queue: tuple[list[slurm.Job] | None, str | None] = (None, None)
    _time: float = -math.inf
    _known: set[str] = field(default_factory=set)
    _ended: dict[str, Stop | None] = field(default_factory=dict)
    _asked: float = -math.inf

    def queue(self, ids: set[str], now: float) -> tuple[list[slurm.Job] | None, str | None]:
        """As `slurm.squeue`. ids: jobs that may be there."""
        if now - self._time >= ASK_S or not ids <= self._known:
            self._queue, self._time, self._known = slurm.squeue(), now, ids
        return self._queue

    def ends(self, gone: Iterable[str], now: float) -> dict[str, Stop | None]:
        """Why jobs that left the queue without a record of their end did so, by the accounting;
        None: by themselves. A job whose end is not known there yet is asked for again later.
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

    state: `planned` (no job seen yet), `queued`, `idle` (the job has just begun), `starting` (the
    judge does not answer yet), `running`, `ended`, `failed`, or `gone` (it wrote no end: killed, or
    its node died). attempt: the newest; one of a former run is none of this. stop: why it failed or
    is gone, as far as is known.
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

    def held(self, now: float) -> float | None:
        """Seconds since the job began, or that it lasted; None while it waits."""
        if self.state in ("queued", "gone"):
            return None  # of one that is gone nobody knows
        if self.attempt is not None and self.attempt.start is not None:
            return self.attempt.elapsed(now)
        return self.job.elapsed if self.job else None

    @property
    def reason(self) -> str:
        """Why it waits, in Slurm's word; or why it ended."""
        if self.state == "queued" and self.job is not None:
            return self.job.reason if self.job.reason != "None" else ""
        return self.stop.text if self.stop else ""


def job_rows(batches: Sequence[Batch], asked: Slurm, now: float) -> tuple[list[JobRow], str | None]:
    """One row a batch, in their order, and why Slurm could not be asked (None: no need, or it was).

    Slurm is asked only where it may have a job of this campaign: where jobs ran on this machine, or
    all have ended, a controller that does not answer is nobody's concern.
    """
    begun = [one.attempt for one in batches if one.attempt]
    alive = {attempt.job for attempt in begun if attempt.job and attempt.end is None}
    alive |= {f"batch {name}" for name in _may_wait(batches)}
    queue, problem = asked.queue(alive, now) if alive else (None, None)
    in_order = sorted(queue or (), key=lambda job: (len(job.id), job.id))  # a retry's is the newer
    by_batch = {job.batch: job for job in in_order}
    by_id = {job.id: job for job in in_order}
    rows = []
    for batch in batches:
        known = by_id.get((batch.attempt and batch.attempt.job) or "")
        rows.append(_row(batch, by_batch.get(batch.name) or known, queue))
    # Killed: whether by Slurm only the accounting knows.
    killed = StopKind.KILLED
    silent = [row for row in rows if row.state == "gone" or (row.stop and row.stop.kind is killed)]
    ends = asked.ends([row.job_id for row in silent if row.job_id], now)
    for row in silent:
        row.stop = ends.get(row.job_id or "") or row.stop
    return rows, problem


def _may_wait(batches: Sequence[Batch]) -> list[str]:
    """Batches of the newest run that may have a job in the queue: not begun yet, or to be retried.

    None in a run whose batches are processes of a machine.
    """
    run = newest_run(list(batches))
    mine = [(b.name, b.attempt if _is_of_its_run(b) else None) for b in batches if b.run == run]
    if any(attempt is not None and attempt.job is None for _, attempt in mine):
        return []
    return [name for name, attempt in mine if attempt is None or attempt.failed]


def _is_of_its_run(batch: Batch) -> bool:
    """Whether the newest attempt was made in the run that planned the batch last."""
    return batch.attempt is not None and batch.attempt.run in (None, batch.run)


def _row(batch: Batch, job: slurm.Job | None, queue: list[slurm.Job] | None) -> JobRow:
    attempt, stop = batch.attempt, None
    is_gone = attempt is not None and attempt.end is None and _is_gone(attempt, queue)
    if attempt and (is_gone or attempt.end is not None) and not _is_of_its_run(batch):
        attempt, is_gone = None, False  # of a former run
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


def _is_gone(attempt: Attempt, queue: list[slurm.Job] | None) -> bool:
    """True where the process that should have written the end is surely dead."""
    if attempt.job is not None:
        return queue is not None and all(job.id != attempt.job for job in queue)
    return attempt.is_dead
