"""The batches of a campaign, read from their records."""

from dataclasses import dataclass, replace
from pathlib import Path

from arena.data.layout import Layout
from arena.journals.attempts import Attempt, read_attempts
from arena.journals.records import REPLAY, BatchPlan, Status, read_json
from arena.support.coerce import number_of


@dataclass(frozen=True)
class Batch:
    """A batch: its plan, its attempts (oldest first), its latest status, unreadable files."""

    plan: BatchPlan
    attempts: tuple[Attempt, ...] = ()
    status: Status | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.plan.batch

    @property
    def run(self) -> str:
        return self.plan.run

    @property
    def models(self) -> tuple[str, ...]:
        return self.plan.models

    @property
    def is_replay(self) -> bool:
        """It only makes judgments of complete journals, without a job or an attempt."""
        return self.name.startswith(REPLAY)

    @property
    def since(self) -> float | None:
        """When it was planned last; without a plan, when its first attempt began."""
        return self.plan.time or (self.attempts[0].start if self.attempts else None)

    @property
    def attempt(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def gpus(self) -> float:
        given = [attempt.gpus for attempt in self.attempts if attempt.gpus is not None]
        return given[-1] if given else self.plan.gpus

    def gpu_hours(self, now: float, run: str | None = None) -> float:
        """GPU hours used so far, by all attempts or by those of one run."""
        wanted = [a for a in self.attempts if run is None or (a.run or self.run) == run]
        return sum(attempt.gpu_hours(now, self.gpus) for attempt in wanted)


def read_batches(root: Path) -> list[Batch]:
    """All batches of a results folder, in the order in which they were planned."""
    layout = Layout(root)
    batches = [_read(layout, name) for name in layout.batch_names()]
    known = [batch for batch in batches if batch.models or batch.attempts or batch.unreadable]
    return sorted(known, key=lambda batch: (batch.run, batch.since or 0, batch.name))


def newest_run(batches: list[Batch]) -> str | None:
    return max((batch.run for batch in batches), default=None)


def _read(layout: Layout, name: str) -> Batch:
    files = layout.batch(name), layout.attempts(name)
    plain, record = map(read_json, files)
    broken = [str(path) for path, got in zip(files, (plain, record), strict=True) if got is None]
    plan = BatchPlan.from_json(plain or {}, name)
    attempts = _bounded(read_attempts(files[1]), plan, layout.logs(name))
    return Batch(plan, attempts, Status.read(layout.status(name)), tuple(broken))


def _bounded(attempts: list[Attempt], plan: BatchPlan, logs: Path) -> tuple[Attempt, ...]:
    """The attempts; those without an end get `latest`, an upper bound of it."""
    # Minutes. The first version recorded those of the first attempt; each retry added as many.
    first = number_of(plan.resources.get("runtime"))
    for number, attempt in enumerate(attempts):
        minutes = number_of(attempt.asked.get("runtime")) or (first and first * (number + 1))
        if attempt.start is None or attempt.end is not None:
            continue
        latest = [later.start for later in attempts[number + 1 :] if later.start is not None][:1]
        if attempt.job is not None and minutes is not None:
            latest.append(attempt.start + 60 * minutes)
        if attempt.is_dead:  # it and its judge wrote to their logs until they ended
            written = [path.stat().st_mtime for path in logs.glob("*") if path.exists()]
            latest.append(max([attempt.start, *written]))
        attempts[number] = replace(attempt, latest=min(latest, default=None))
    return tuple(attempts)
