"""Why a batch stopped, and the end of a run in which no further batch can succeed: no server
starts, or the budget is used up.

The main process submits no further batch and retries none. Jobs that are already queued fail by
themselves within seconds, jobs that run continue.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from arena.client.deadline import Deadline
from arena.data.layout import Layout
from arena.journals.batches import stop_by_slurm
from arena.journals.records import RunStop, Stop, StopKind
from arena.support import slurm
from arena.support.errors import ArenaError
from arena.support.interrupts import Interrupted

POLL = 0.5  # s; reads one small file
WALLTIME_SECONDS = 90  # SIGTERM comes at the limit, on some clusters earlier, by KillWait
ASK_S = 3  # of the 30 s that Slurm leaves between SIGTERM and SIGKILL


def watch_for_early_stop(roots: Iterable[Path], run: str, stop: Callable[[RunStop], None]) -> None:
    """Call `stop` with the cause, once and in another thread, when a job has stopped the run.
    roots: results folders that the run fills.
    """
    paths, pause = [Layout(root).run_stop(run) for root in roots], threading.Event()

    def watch() -> None:
        while not (causes := list(filter(None, map(RunStop.read, paths)))):
            pause.wait(POLL)
        stop(causes[0])

    threading.Thread(target=watch, name="early-stop", daemon=True).start()


def submit_nothing_more() -> None:
    """Do what Snakemake does on SIGTERM: submit nothing more, wait for running jobs.

    The handler is called in this thread, without a signal: in the main thread it would wait forever
    for a lock that this thread may hold while it selects jobs.
    """
    handler = signal.getsignal(signal.SIGTERM)
    assert callable(handler), "only a run that schedules jobs can be stopped"
    handler(signal.SIGTERM, None)


def stop_of(error: Exception, deadline: Deadline) -> Stop:
    """The kind and text to record for an error of a batch."""
    if isinstance(error, Interrupted) and (stop := _stop_by_slurm(deadline)):
        return stop
    if isinstance(error, ArenaError):
        return Stop(StopKind(error.kind), str(error))
    return Stop(StopKind.ERROR, f"{type(error).__name__}: {error}")


def _stop_by_slurm(deadline: Deadline) -> Stop | None:
    """Slurm's reason for a signal; None if Snakemake sent it, whose signals are the same."""
    if deadline.end - time.monotonic() < WALLTIME_SECONDS:
        return stop_by_slurm("TIMEOUT")
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        return None
    answer, problem = slurm.ask_of_job(job, "%T %r", ASK_S)
    state, _, reason = answer.partition(" ")
    if problem or not state or state == "RUNNING":
        return None
    return stop_by_slurm(state if reason in ("", "None") else reason)
