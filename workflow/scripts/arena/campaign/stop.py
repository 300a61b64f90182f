"""Stop a campaign from outside: first the Snakemake that runs it, as Ctrl-C does, since it would
submit again what is cancelled; then the Slurm jobs of its batches, and no others.

A rule could not do this: the running Snakemake holds the lock of its folder.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from arena.data.layout import Layout
from arena.journals.records import newest_run, read_batches
from arena.support import slurm
from arena.support.coerce import count_of, text_of
from arena.support.humanize import counted

INTERRUPT_S = 60.0  # in which Snakemake cancels its jobs and ends
TERMINATE_S = 30.0
LOOK_S = 0.3

Say = Callable[[str], object]


def this_process() -> dict[str, Any]:
    """Of a run's main process, for whoever wants to stop it."""
    job = os.environ.get("SLURM_JOB_ID")
    return {"host": socket.gethostname(), "pid": os.getpid(), "job": job}


def stop(layout: Layout, say: Say, *, jobs_only: bool = False) -> bool:
    """Whether nothing of the campaign runs any more, as far as can be known; says what it did."""
    names = set(layout.batch_names())
    before, _ = _jobs(names)
    done = jobs_only or _stop_main(layout, say)
    if not done:
        return False
    jobs, problem = _jobs(names)
    problem = problem or slurm.cancel([job.id for job in jobs])
    if before:
        told = ", ".join(f"{job.id} (batch {job.batch})" for job in before)
        say(f"{counted(len(before), 'Slurm job')} cancelled: {told}" if not problem else told)
    if problem:
        say(f"Slurm jobs may still run: {problem}")
    elif not before:
        say("No Slurm job of this campaign waits or runs.")
    return not problem


def _jobs(names: set[str]) -> tuple[list[slurm.Job], str | None]:
    """Of these batches: a batch's name holds its results folder, so no two campaigns share one."""
    jobs, problem = slurm.squeue(slurm.CANCEL_S)
    return [job for job in jobs or () if job.batch in names], problem


def _stop_main(layout: Layout, say: Say) -> bool:
    batches = read_batches(layout.root)
    run = newest_run(batches)
    known = [batch.plan for batch in batches if batch.run == run and batch.plan.main]
    if not known:
        say("No Snakemake has recorded a run here.")
        return True
    main, began = known[0].main, min(plan.time or 0 for plan in known)
    host, pid, job = text_of(main.get("host")), count_of(main.get("pid")), main.get("job")
    if host == socket.gethostname():
        process = _snakemake(pid, began)
        if process is None:
            say("No Snakemake of this campaign runs on this machine.")
            return True
        return _end(process, say)
    if job:
        return _end_job(str(job), say)
    say(
        f"The last Snakemake of this campaign ran on {host} as process {pid}. Stop it there: run "
        f"this command on {host}, or kill -INT {pid}. If it is gone: --jobs-only"
    )
    return False


def _snakemake(pid: int, began: float) -> psutil.Process | None:
    """The process, if it is that Snakemake and no later one of the same number."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        same = process.create_time() <= began and process.status() != psutil.STATUS_ZOMBIE
        if same and any("snakemake" in word for word in process.cmdline()):
            return process
    return None


def _end(process: psutil.Process, say: Say) -> bool:
    """Ctrl-C, which a terminal sends to the processes of the same group too; then SIGTERM."""
    group = os.getpgid(process.pid)
    for sign, patience in ((signal.SIGINT, INTERRUPT_S), (signal.SIGTERM, TERMINATE_S)):
        with suppress(psutil.Error, ProcessLookupError):
            mine = process.children(recursive=True)
            for one in [process, *(child for child in mine if os.getpgid(child.pid) == group)]:
                with suppress(psutil.Error):
                    one.send_signal(sign)
        say(f"{sign.name} sent to Snakemake, process {process.pid}")
        if _soon(lambda: _is_gone(process), patience):
            say("Snakemake has ended.")
            return True
    say(f"Snakemake, process {process.pid}, still runs; to end it at once: kill -9 {process.pid}")
    return False


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _end_job(job: str, say: Say) -> bool:
    """A Snakemake that is a Slurm job itself, elsewhere."""
    say(f"Slurm job {job}, which runs Snakemake: interrupted")
    for options, patience in ((("--batch", "--signal=INT"), INTERRUPT_S), ((), TERMINATE_S)):
        slurm.cancel([job], *options)
        if _soon(lambda: not slurm.ask_of_job(job, "%i", slurm.TIMEOUT_S)[0], patience):
            return True
    say(f"Slurm job {job} still runs: squeue --jobs {job}")
    return False


def _soon(condition: Callable[[], bool], patience: float) -> bool:
    until = time.monotonic() + patience
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(LOOK_S)
    return found
