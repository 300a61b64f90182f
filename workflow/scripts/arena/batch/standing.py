"""Where a batch stands: of each model its games, why it was given up, whether it is done."""

import contextlib
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from arena.client.report import Report
from arena.journals.batch_games import BatchGames
from arena.journals.records import ModelStatus, Status, Stop, StopKind

STATUS_EVERY = 2.0  # s


class Standing:
    """Kept while a batch is played, and written for onlookers. judge, open, remark: see Status."""

    def __init__(self, path: Path, report: Report):
        self._path, self._report, self._due = path, report, 0.0
        self.games: dict[str, ModelStatus] = {}
        self.stops: dict[str, Stop] = {}
        self.done: set[str] = set()
        self.judge, self.open, self.remark = "not needed", 0, ""

    def give_up(self, name: str, kind: StopKind, text: str, *, told: str | None = None) -> None:
        """A model that is not played, or whose judgments are not made, at least for now."""
        self.stops[name] = Stop(kind, text)
        self._report.tell(told or text)

    def count(self, games: BatchGames) -> Counter[str]:
        """Take over the states of all games; their sum."""
        for name in games.games:
            self.games[name] = ModelStatus(len(games.games[name]), dict(games.states(name)))
        return sum((games.states(name) for name in games.games), Counter())

    def write(self, *, force: bool = False) -> None:
        """A disk that is full is the journals' to tell."""
        if not force and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + STATUS_EVERY
        stops = self.stops
        models = {name: replace(one, stop=stops.get(name)) for name, one in self.games.items()}
        with contextlib.suppress(OSError):
            Status(time.time(), self.judge, models, self.open, self.remark).write(self._path)
