"""Signals as an exception, so that files are closed and locks released.

Snakemake sends SIGTERM when it is stopped, Slurm at the job's limit; SIGKILL follows in seconds.
SIGHUP is sent when a terminal is closed; `nohup` makes us ignore it. Signals must be handled at any
time: while files are read, games are played, or locks are awaited.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from arena.support.errors import OpenGames

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(OpenGames):
    """A signal stopped the batch: exit now."""

    kind = "stopped"


class Interrupts:
    """Raises Interrupted in the main thread when a signal arrives while its block runs.

    Inside `handled_by` it calls a function instead: an exception would break an event loop.
    """

    def __init__(self) -> None:
        self._handler: Callable[[Interrupted], None] | None = None
        self._caught: Interrupted | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        active = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._on_signal) for number in active}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.interrupt(f"stopped by {name}; finished work is kept, the next run continues")

    def interrupt(self, text: str) -> None:
        """Same as a signal, with another text; call it in the main thread."""
        if self._caught is not None:
            return  # a second Ctrl-C must not interrupt the clean-up
        self._caught = caught = Interrupted(text)
        if self._handler is None:
            raise caught
        self._handler(caught)

    @contextmanager
    def handled_by(self, handler: Callable[[Interrupted], None]) -> Iterator[None]:
        """Call `handler` while the block runs; raise Interrupted at the end of the block."""
        self._handler = handler
        try:
            yield
        finally:
            self._handler = None
        if self._caught is not None:
            raise self._caught
