"""Stop a campaign from outside: first its Snakemake process, which would resubmit cancelled jobs;
then the Slurm jobs of its batches.

A rule could not do this: the running Snakemake holds the lock of the folder.
"""

import os
import shlex
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from arena.data.layout import Layout
from arena.journals.batches import newest_run, read_batches
from arena.support import slurm
from arena.support.coerce import count_of
from arena.support.processes import below

INTERRUPT_S = 60.0  # for Snakemake to cancel its jobs and exit
TERMINATE_S = 30.0
LOOK_S = 0.3


def this_process() -> dict[str, Any]:
    """The main process of a run, recorded in its plans so that `stop` can find it."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}


def stop(layout: Layout, *, jobs_only: bool = False) -> bool:
    """Stop the campaign and report what was done. Whether nothing of it runs any more; False also
    if nothing was stopped while another Snakemake runs in this folder.
    """
    jobs, _ = _jobs(layout)
    if not jobs_only and not _stop_main(layout, bool(jobs)):
        return False
    left, problem = _jobs(layout)
    problem = problem or slurm.cancel(list(left))
    names = ", ".join(f"{job} (batch {batch})" for job, batch in (jobs | left).items()) or "none"
    print(f"Slurm jobs may still run: {problem}" if problem else f"Slurm jobs cancelled: {names}")
    return not problem


def _jobs(layout: Layout) -> tuple[dict[str, str], str | None]:
    """Batches by job id, and why squeue failed. Batch names are unique across results folders."""
    root = Path(os.path.abspath(layout.root))  # noqa: PTH100 (resolve() would follow links)
    # `beside` is relative to the folder of the run; its other results folders have one parent.
    stage = read_batches(root.parent / "answers")
    answers = {one.name for one in stage if root.name in (Path(p).name for p in one.plan.beside)}
    names = {*layout.batch_names(), *answers}
    queue, problem = slurm.squeue(slurm.CANCEL_S) if names else (None, None)
    return {job.id: job.batch for job in queue or () if job.batch in names and job.batch}, problem


def _stop_main(layout: Layout, has_jobs: bool) -> bool:
    """Whether no Snakemake is left that would resubmit what is cancelled."""
    batches = read_batches(layout.root)
    run = newest_run(batches)
    plans = [batch.plan for batch in batches if batch.run == run and batch.plan.main]
    main = plans[0].main if plans else {}
    host, pid, job = main.get("host"), count_of(main.get("pid")), main.get("job")
    if main and host != socket.gethostname():
        where = f"Slurm job {job} on {host}" if job else f"process {pid} on {host}"
        print(f"Snakemake of this campaign was started as {where}. Stop it there: run this command")
        print(f"or kill -INT {pid} on {host}, or scancel its job.", end=" ")
        print("If it has exited, use --jobs-only.")
        return False
    process = _snakemake(pid, min(plan.time or 0 for plan in plans)) if main else None
    if process is not None:
        _end(process)
        return True
    print(f"No Snakemake of this campaign ({layout.root}) is running on this machine.")
    others = _snakemakes_here()
    for other, command in others.items():
        print(f"Process {other} in this folder is another Snakemake: {command}")
        print(f"To stop it, give this command its --configfile or --config, or: kill -INT {other}")
    return has_jobs or not others


def _snakemakes_here() -> dict[int, str]:
    """Command lines of the Snakemakes that run in the current folder, by process id."""
    found = {}
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []  # python -m snakemake, python .../bin/snakemake
        is_main = "snakemake" in (Path(word).name for word in words[1:3]) and "--mode" not in words
        if is_main and process.info["cwd"] == str(Path.cwd()):
            found[process.pid] = shlex.join(words)
    return found


def _snakemake(pid: int, planned: float) -> psutil.Process | None:
    """The process if it is the run's Snakemake, not a later process with the same id."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        same = process.create_time() <= planned and process.status() != psutil.STATUS_ZOMBIE
        if same and any("snakemake" in word for word in process.cmdline()):
            return process
    return None


def _end(process: psutil.Process) -> None:
    """Send SIGINT to the process and its process group's children, as Ctrl-C does; then SIGTERM,
    if SIGINT is ignored (`snakemake &` in a script) or does not help.
    """
    group = os.getpgid(process.pid)
    for sign, patience in ((signal.SIGINT, INTERRUPT_S), (signal.SIGTERM, TERMINATE_S)):
        if sign is signal.SIGINT and _ignores_interrupts(process.pid):
            continue
        for one in [process, *below(process.pid)]:
            with suppress(psutil.Error, ProcessLookupError):
                if os.getpgid(one.pid) == group:
                    one.send_signal(sign)
        print(f"Sent {sign.name} to Snakemake (process {process.pid})")
        if _has_ended(process, patience):
            print("Snakemake has exited.")
            return
    print("Snakemake submits no more jobs and exits when its running jobs have ended.")


def _ignores_interrupts(pid: int) -> bool:
    with suppress(OSError):  # no /proc on macOS
        ignored = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").partition("SigIgn:")[2]
        return bool(int(ignored.split()[0], 16) & 1 << signal.SIGINT - 1)
    return False


def _has_ended(process: psutil.Process, patience: float) -> bool:
    """Whether it ends within so many seconds."""
    deadline = time.monotonic() + patience
    with suppress(psutil.Error):  # it has ended
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
    return True
