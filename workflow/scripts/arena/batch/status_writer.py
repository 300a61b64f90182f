"""The status of a running batch: kept up to date, and written for the monitor."""

import contextlib
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from arena.client.report import Report
from arena.journals.batch_games import BatchGames
from arena.journals.records import ModelStatus, Status, Stop, StopKind

WRITE_EVERY = 2.0  # s


class StatusWriter:
    """games, stops, done: by model. judge, open, remark: see Status."""

    def __init__(self, path: Path, report: Report):
        self._path, self._report, self._due = path, report, 0.0
        self.games: dict[str, ModelStatus] = {}
        self.stops: dict[str, Stop] = {}
        self.done: set[str] = set()
        self.judge, self.open, self.remark = "not needed", 0, ""

    def stop(self, name: str, kind: StopKind, text: str, *, log: str | None = None) -> None:
        """Record and log why a model is not completed. log: the line for the log, if not `text`."""
        self.stops[name] = Stop(kind, text)
        self._report.log(log or text)

    def count(self, games: BatchGames) -> Counter[str]:
        """Update the states of all games; returns their sum over the models."""
        for name in games.games:
            self.games[name] = ModelStatus(len(games.games[name]), dict(games.states(name)))
        return sum((games.states(name) for name in games.games), Counter())

    def write(self, *, force: bool = False) -> None:
        """Write the file, at most every few seconds. A full disk is reported by the journals."""
        if not force and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + WRITE_EVERY
        stops = self.stops
        models = {name: replace(one, stop=stops.get(name)) for name, one in self.games.items()}
        with contextlib.suppress(OSError):
            Status(time.time(), self.judge, models, self.open, self.remark).write(self._path)
