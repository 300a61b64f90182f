"""What a batch says in its log: a line now and then, and one at the end."""

import contextlib
import sys
import time
from collections import Counter, deque
from datetime import datetime
from pathlib import Path
from typing import TextIO

from arena.data.game_state import states_text
from arena.support.humanize import duration

EVERY_SECONDS = 30.0
EVERY_PART = 0.05


class Report:
    """The log of a batch: plain lines, each with its time."""

    def __init__(self, batch: str, path: Path | str | None = None):
        """path: the log, to which a retry adds; standard error without one, or where it cannot be
        written. What a full disk means for the games is the journal's to say.
        """
        self._batch = batch
        self._file: TextIO = sys.stderr
        self.secrets: list[str] = []
        if path is not None:
            log = Path(path)
            with contextlib.suppress(OSError):
                log.parent.mkdir(parents=True, exist_ok=True)
                self._file = log.open("a", encoding="utf-8", errors="backslashreplace")
        self._total = 0
        self._told = (0.0, 0)
        self._recent: deque[tuple[float, int]] = deque(maxlen=60)

    def tell(self, text: str) -> None:
        """One line; no key of a judge ever gets into it."""
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
        self._told = (time.monotonic(), states.total())
        self._recent.append(self._told)
        self.tell(f"{progress_text(total, states)}, from the journal")

    def progress(self, states: Counter[str]) -> None:
        """Call often: a line every 30 s, or every 5 % of the games if that is later than 1 s."""
        now, done = time.monotonic(), states.total()
        self._recent.append((now, done))
        then, told = self._told
        if now - then < EVERY_SECONDS and done - told < EVERY_PART * self._total:
            return
        self._told = (now, done)
        begun, first = self._recent[0]
        rate = (done - first) / max(now - begun, 1e-9)
        left = f", {duration((self._total - done) / rate)} left" if rate > 0 else ""
        self.tell(f"{progress_text(self._total, states)}, {rate:.1f} games/s{left}")


def progress_text(total: int, states: Counter[str]) -> str:
    """`412/1000 games (ok 400, unparsed 12)`."""
    shown = states_text(states)
    return f"{states.total()}/{total} games{f' ({shown})' if shown else ''}"
