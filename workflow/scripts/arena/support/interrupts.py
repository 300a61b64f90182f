"""Signals as an exception: files are closed and locks are given back on the way out.

Snakemake sends SIGTERM when it is stopped, Slurm at the job's limit; SIGKILL follows in seconds.
SIGHUP comes when a terminal is closed, and counts unless `nohup` has it ignored. A signal must be
heard at every moment: while files are read, while games are played, while locks are waited for.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from arena.support.errors import OpenGames

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(OpenGames):
    """A signal ended the batch: leave at once."""

    kind = "stopped"


class Interrupts:
    """Hears the signals while its block runs, and raises Interrupted in the main thread.

    Inside `handled_by` the signal is handed to a function instead: an event loop must not be torn
    apart by an exception in its middle.
    """

    def __init__(self) -> None:
        self._handler: Callable[[Interrupted], None] | None = None
        self._caught: Interrupted | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        heard = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._hear) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _hear(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.interrupt(f"stopped by {name}; finished games are kept, the next run asks the rest")

    def interrupt(self, text: str) -> None:
        """As a signal does, in the main thread, with another text."""
        if self._caught is not None:
            return  # we are on our way: a second Ctrl-C must not tear the clean-up apart
        self._caught = caught = Interrupted(text)
        if self._handler is None:
            raise caught
        self._handler(caught)

    @contextmanager
    def handled_by(self, handler: Callable[[Interrupted], None]) -> Iterator[None]:
        """While the block runs, `handler` is called; what it did not heed is raised at the end."""
        self._handler = handler
        try:
            yield
        finally:
            self._handler = None
        if self._caught is not None:
            raise self._caught
