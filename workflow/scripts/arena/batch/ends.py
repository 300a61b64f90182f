"""Why a batch ended, as a kind and a text, from the error that ended it."""

import os
import time

from arena.client.deadline import Deadline
from arena.journals.attempts import stop_by_slurm
from arena.journals.records import Stop, StopKind
from arena.support import slurm
from arena.support.errors import ArenaError
from arena.support.interrupts import Interrupted

WALLTIME_SECONDS = 90  # SIGTERM comes at the limit, or some clusters' KillWait before it
ASK_S = 3  # of the 30 s that Slurm leaves between SIGTERM and SIGKILL


def stop_of(error: Exception, deadline: Deadline) -> Stop:
    """The stop that an error of a batch stands for."""
    if isinstance(error, Interrupted) and (why := _why_interrupted(deadline)):
        return why
    if isinstance(error, ArenaError):
        return Stop(StopKind(error.kind), str(error))
    return Stop(StopKind.ERROR, f"{type(error).__name__}: {error}")


def _why_interrupted(deadline: Deadline) -> Stop | None:
    """Why a signal was sent: Snakemake's and Slurm's are the same. None where Slurm is silent."""
    if deadline.end - time.monotonic() < WALLTIME_SECONDS:
        return stop_by_slurm("TIMEOUT")
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        return None
    told, problem = slurm.ask_of_job(job, "%T %r", ASK_S)
    state, _, reason = told.partition(" ")
    if problem or not state or state == "RUNNING":
        return None
    return stop_by_slurm(state if reason in ("", "None") else reason)
