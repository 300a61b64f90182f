"""A judge that cannot start ends the run: the main process submits no batch more and retries none.

Jobs that are in the queue already fail by themselves within seconds, jobs that play go on.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from arena.serving.server_records import FailedStart

LOOK = 2.0  # s between two looks at one file; a job takes longer than that to end and be noticed


def watch_for_failed_start(root: Path | str, run: str, stop: Callable[[str], None]) -> None:
    """Call `stop` with the cause, once, when a judge of this run has failed to start."""
    failed = FailedStart(Path(root), run)
    pause = threading.Event()

    def watch() -> None:
        while (cause := failed.read()) is None:
            pause.wait(LOOK)
        stop(cause)

    threading.Thread(target=watch, name="early-stop", daemon=True).start()
