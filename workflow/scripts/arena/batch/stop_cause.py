"""Why a batch stopped, from the exception that stopped it."""

import os
import time

from arena.client.deadline import Deadline
from arena.journals.attempts import stop_by_slurm
from arena.journals.records import Stop, StopKind
from arena.support import slurm
from arena.support.errors import ArenaError
from arena.support.interrupts import Interrupted

WALLTIME_SECONDS = 90  # SIGTERM comes at the limit, on some clusters earlier, by KillWait
ASK_S = 3  # of the 30 s that Slurm leaves between SIGTERM and SIGKILL


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
