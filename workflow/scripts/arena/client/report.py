"""The log of a batch: a line now and then, and one at the end."""

import contextlib
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from arena.data.layout import JUDGMENTS, Stage
from arena.data.verdict import states_text
from arena.support.humanize import duration

EVERY_SECONDS = 30.0
EVERY_PART = 0.05


class Report:
    """Plain lines, each with its time."""

    def __init__(self, batch: str, path: Path | None = None, stage: Stage = JUDGMENTS):
        """path: the log, to which a retry appends; standard error if None or not writable."""
        self._batch, self._path, self._stage = batch, path, stage
        self.secrets: list[str] = []
        self._total = 0
        self._shown = (0.0, 0)

    def log(self, text: str) -> None:
        """Write one line, without any API key. A full disk is the journal's to report."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        stamp = datetime.now().astimezone().isoformat(timespec="milliseconds")
        line = f"{stamp} {self._batch}: {' '.join(text.splitlines())}\n"
        with contextlib.suppress(OSError):
            if self._path:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(line)
                return
        with contextlib.suppress(OSError):
            sys.stderr.write(line)

    def begin(self, total: int, states: Counter[str]) -> None:
        self._total = total
        self._shown = (time.monotonic(), states.total())
        self.log(f"{self.progress_text(total, states)}, from the journal")

    def progress(self, states: Counter[str]) -> None:
        """Log the progress, every 30 s and every 5 %. To be called once a second."""
        now, done = time.monotonic(), states.total()
        then, shown = self._shown
        if now - then < EVERY_SECONDS and done - shown < EVERY_PART * self._total:
            return
        self._shown = (now, done)
        rate = (done - shown) / max(now - then, 1e-9)
        left = f", {duration((self._total - done) / rate)} left" if rate > 0 else ""
        unit = f"{self._stage.request}s"
        self.log(f"{self.progress_text(self._total, states)}, {rate:.1f} {unit}/s{left}")

    def progress_text(self, total: int, states: Counter[str]) -> str:
        """`412/1000 games (ok 400, unparsed 12)`."""
        shown = states_text(states)
        return f"{states.total()}/{total} {self._stage.request}s{f' ({shown})' if shown else ''}"
