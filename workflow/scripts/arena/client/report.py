"""The log of a batch: a line now and then, and one at the end."""

import contextlib
import sys
import time
from collections import Counter, deque
from datetime import datetime
from pathlib import Path
from typing import TextIO

from arena.data.game_state import states_text
from arena.data.stage import JUDGMENTS, Stage
from arena.support.humanize import duration

EVERY_SECONDS = 30.0
EVERY_PART = 0.05


class Report:
    """Plain lines, each with its time."""

    def __init__(self, batch: str, path: Path | None = None, stage: Stage = JUDGMENTS):
        """path: the log, to which a retry appends; standard error if None or not writable. A full
        disk is no error here: the journal reports it.
        """
        self._batch, self._stage = batch, stage
        self._file: TextIO = sys.stderr
        self.secrets: list[str] = []
        if path is not None:
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        self._total = 0
        self._shown = (0.0, 0)
        self._recent: deque[tuple[float, int]] = deque(maxlen=60)

    def log(self, text: str) -> None:
        """Write one line, without any API key."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        stamp = datetime.now().astimezone().isoformat(timespec="milliseconds")
        with contextlib.suppress(OSError):
            self._file.write(f"{stamp} {self._batch}: {' '.join(text.splitlines())}\n")
            self._file.flush()

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not sys.stderr:
            with contextlib.suppress(OSError):
                self._file.close()

    def begin(self, total: int, states: Counter[str]) -> None:
        self._total = total
        self._shown = (time.monotonic(), states.total())
        self._recent.append(self._shown)
        self.log(f"{self.progress_text(total, states)}, from the journal")

    def progress(self, states: Counter[str]) -> None:
        """Log the progress, every 30 s and every 5 %. To be called once a second."""
        now, done = time.monotonic(), states.total()
        self._recent.append((now, done))
        then, shown = self._shown
        if now - then < EVERY_SECONDS and done - shown < EVERY_PART * self._total:
            return
        self._shown = (now, done)
        begun, first = self._recent[0]
        rate = (done - first) / max(now - begun, 1e-9)
        left = f", {duration((self._total - done) / rate)} left" if rate > 0 else ""
        unit = f"{self._stage.request}s"
        self.log(f"{self.progress_text(self._total, states)}, {rate:.1f} {unit}/s{left}")

    def progress_text(self, total: int, states: Counter[str]) -> str:
        """`412/1000 games (ok 400, unparsed 12)`."""
        shown = states_text(states)
        return f"{states.total()}/{total} {self._stage.request}s{f' ({shown})' if shown else ''}"
