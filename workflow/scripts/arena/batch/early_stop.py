"""A judge that cannot start, or a budget that is used up, ends the run: the main process submits no
batch more and retries none.

Jobs that are in the queue already fail by themselves within seconds, jobs that play go on.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from arena.data.layout import Layout
from arena.journals.records import RunStop

LOOK = 0.5  # s between two looks at one small file


def watch_for_early_stop(root: Path | str, run: str, stop: Callable[[RunStop], None]) -> None:
    """Call `stop` with the cause, once and in another thread, when this run has nothing more to
    submit.
    """
    path, pause = Layout(Path(root)).run_stop(run), threading.Event()

    def watch() -> None:
        while (why := RunStop.read(path)) is None:
            pause.wait(LOOK)
        stop(why)

    threading.Thread(target=watch, name="early-stop", daemon=True).start()


def submit_nothing_more() -> None:
    """Do what Snakemake does on SIGTERM: submit nothing more, let end what runs.

    Its handler is called here, in the watching thread, and no signal is sent: in the main thread it
    would wait for ever for a lock that this thread holds while it selects jobs.
    """
    handler = signal.getsignal(signal.SIGTERM)
    assert callable(handler), "a run has something to stop only once Snakemake schedules its jobs"
    handler(signal.SIGTERM, None)
