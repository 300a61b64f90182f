"""The most that a run may spend: games, tokens, GPU hours. Every batch checks it while it runs.

What a run (one start of Snakemake) spent is read from the files that all its jobs write, so they
share one budget without talking to each other. Requests that are open when the budget is used up
may finish, and other batches go on until they read again (at most `READ_EVERY[1]` seconds).
"""

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from arena.data.layout import Layout
from arena.journals.batches import Batch, read_batches
from arena.journals.progress import Progress

READ_EVERY = (0.05, 30.0)  # s between two reads of the files: near the limit, and far from it
# A second: 100 GPUs, and the games of 25 servers.
FASTEST = {"games": 50.0, "tokens": 150_000.0, "gpu_hours": 100 / 3600}
KINDS = {"games": "games", "tokens": "tokens", "gpu_hours": "GPU hours"}
SKEW_S = 86_400.0  # clocks of nodes and file servers differ by less than a day


class Budget:
    """What a run may spend and has spent. Reads only what was written since the last call."""

    def __init__(
        self, limits: Mapping[str, float], roots: Sequence[Path], run: str, planned: float
    ):
        """limits: by kind; without any, nothing is read. roots: results folders that the run fills.
        planned: when one of its batches was.
        """
        self._limits, self._roots, self._run, self._planned = limits, roots, run, planned
        self._journals: dict[Path, Progress] = {}
        self._games = self._tokens = 0
        self._due = 0.0
        self._reason: str | None = None

    @cached_property
    def _since(self) -> float:
        """When the first batch of the run began.

        Journals have the times of the nodes' clocks, plans those of the head node. If a node's
        clock is behind, its games would seem older than the run, so the start of each attempt, by
        the node's own clock, counts as well.
        """
        batches = [batch for batch in self._batches() if batch.run == self._run]
        starts = [one.start for batch in batches for one in batch.attempts if one.run == self._run]
        planned = filter(None, (batch.plan.time for batch in batches))
        return min([self._planned, *planned, *starts])

    def _batches(self) -> list[Batch]:
        return [batch for root in self._roots for batch in read_batches(root)]

    def spent(self, now: float) -> dict[str, float]:
        """What the run has spent, by kind. Tokens are those of prompts and completions."""
        for path in (path for root in self._roots for path in Layout(root).journals()):
            if path not in self._journals and path.stat().st_mtime < self._since - SKEW_S:
                continue
            journal = self._journals.setdefault(path, Progress(path))
            for line in journal.update().lines:
                if line.attempts and (line.end or 0) >= self._since:
                    self._games += 1
                    self._tokens += line.tokens("prompt") + line.tokens("completion")
            journal.lines.clear()  # they are counted
        hours = sum(batch.gpu_hours(now, self._run) for batch in self._batches())
        return {"games": self._games, "tokens": self._tokens, "gpu_hours": hours}

    def exceeded(self) -> str | None:
        """Why no further request may be sent, or None; a reason stays. Cheap: call it often."""
        limits, now = self._limits, time.time()
        if not limits or self._reason or now < self._due:
            return self._reason
        spent = self.spent(now)
        left = {kind: limit - spent[kind] for kind, limit in limits.items()}
        # So even a large campaign cannot exceed a limit by much before the next read.
        shortest, longest = READ_EVERY
        pause = min(more / FASTEST[kind] for kind, more in left.items())
        self._due = now + max(shortest, min(longest, pause))
        if kind := next((kind for kind in KINDS if left.get(kind, 1) <= 0), None):
            self._reason = (
                f"the budget of this run is used up: {limits[kind]:,} {KINDS[kind]} "
                f"(budget.{kind} in the config)"
            )
        return self._reason
