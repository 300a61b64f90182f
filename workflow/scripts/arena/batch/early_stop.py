"""Ends a run early if no further batch can succeed: no server starts, or the budget is used up.

The main process submits no further batch and retries none. Jobs that are already queued fail by
themselves within seconds, jobs that run continue.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from arena.data.layout import Layout
from arena.journals.records import RunStop

POLL = 0.5  # s; reads one small file


def watch_for_early_stop(root: Path | str, run: str, stop: Callable[[RunStop], None]) -> None:
    """Call `stop` with the cause, once and in another thread, when a job has stopped the run."""
    path, pause = Layout(Path(root)).run_stop(run), threading.Event()

    def watch() -> None:
        while (why := RunStop.read(path)) is None:
            pause.wait(POLL)
        stop(why)

    threading.Thread(target=watch, name="early-stop", daemon=True).start()


def submit_nothing_more() -> None:
    """Do what Snakemake does on SIGTERM: submit nothing more, wait for running jobs.

    The handler is called in this thread, without a signal: in the main thread it would wait forever
    for a lock that this thread may hold while it selects jobs.
    """
    handler = signal.getsignal(signal.SIGTERM)
    assert callable(handler), "only a run that schedules jobs can be stopped"
    handler(signal.SIGTERM, None)
