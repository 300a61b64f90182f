"""A judge that cannot start, or a budget that is used up, ends the run: the main process submits no
batch more and retries none.

Jobs that are in the queue already fail by themselves within seconds, jobs that play go on.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from arena.client.budget import SpentMark
from arena.judge.server_records import FailedStart

LOOK = 2.0  # s between two looks at the files; a job takes longer than that to end and be noticed


def watch_for_early_stop(root: Path | str, run: str, stop: Callable[[str], None]) -> None:
    """Call `stop` with the cause, once, when this run has nothing more to submit."""
    failed, spent = FailedStart(Path(root), run), SpentMark(Path(root), run)
    pause = threading.Event()

    def cause() -> str | None:
        if start := failed.read():
            return f"the judge does not start: {start}"
        return spent.read()

    def watch() -> None:
        while (why := cause()) is None:
            pause.wait(LOOK)
        stop(why)

    threading.Thread(target=watch, name="early-stop", daemon=True).start()
