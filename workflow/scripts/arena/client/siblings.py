"""The other clients of a batch: who of them still plays.

When one consumer of a judge server fails, Snakemake kills the others and deletes what they wrote.
So a client that has to fail waits until the others are done. What a sibling does is read from its
lock file (see `arena.journals.lock`) and its judgment file: no other means of speaking is needed.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from arena.journals.lock import is_alive, read_holder

# s; a sibling with neither lock nor judgments may not have begun yet. All clients of a group start
# together, ten Python processes on two slow cores within half of this.
GRACE = 60.0


class Siblings:
    """The other models of a batch, their journals and their judgment files."""

    def __init__(
        self,
        models: Sequence[str],
        batch: str | None,
        games: Path,
        judgments: Path,
        grace: float = GRACE,
    ):
        self._models = tuple(models)
        self._batch = batch
        self._games = games
        self._judgments = judgments
        self._begun_by = time.monotonic() + grace

    def state(self, model: str) -> str:
        """ "done", "playing", "waiting" (only for us others), or "absent"."""
        if (self._judgments / f"{model}.jsonl").exists():
            return "done"
        lock = self._games / f"{model}.jsonl.lock"
        holder = read_holder(lock)
        if holder is None or holder.batch != self._batch or not is_alive(holder, lock):
            return "absent"
        return holder.state

    def playing(self, *, seen: bool = False) -> list[str]:
        """Those still at it; the absent ones too while they may be on their way, unless `seen`."""
        early = not seen and time.monotonic() < self._begun_by
        busy = ("playing", "absent") if early else ("playing",)
        return [model for model in self._models if self.state(model) in busy]
