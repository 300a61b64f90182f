"""What Slurm knows of this campaign's jobs: squeue while they wait and run, sacct afterwards.

Snakemake names all jobs of a run by one random id, so a job's name does not tell its batch. Its
comment does: the rule and its wildcard. A running job says its id in logs/<batch>/batch.json too.
"""

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# squeue answers in a fraction of a second, or not at all while the controller is away; the screen
# must not hang on it.
TIMEOUT_S = 5
CANCEL_S = 60  # nobody looks on then, and what is not cancelled holds GPUs
_SEPARATOR = "\x1f"  # never part of a name or a reason
_FIELDS = ("%i", "%T", "%N", "%M", "%l", "%r", "%S", "%V", "%k")
_NO_CLUSTER = "Could not establish a configuration source"
# As the plugin comments a job; a workflow that imports ours puts a prefix to the rule.
_BATCH = re.compile(r"gen_(?:judgment|answer)(?:_no_gpu)?_wildcards_([\w-]+)$")
_TRES_GPUS = re.compile(r"gres/gpu(?::[^=,]+)?=(\d+)")


@dataclass(frozen=True)
class Job:
    """One line of squeue."""

    id: str
    state: str  # PENDING, RUNNING, COMPLETING, ...
    node: str
    elapsed: float  # seconds
    limit: float | None  # seconds
    reason: str  # why it waits
    expected: str  # start expected by Slurm, ISO, or ""
    batch: str | None = None
    submitted: float = 0.0  # s since 1970


@dataclass(frozen=True)
class Account:
    """What sacct says a job used, over all its lives (requeued jobs have several)."""

    elapsed: float  # seconds
    gpu_hours: float


def squeue(patience: float = TIMEOUT_S) -> tuple[list[Job] | None, str | None]:
    """This user's jobs, and why they cannot be told; (None, None) where there is no Slurm."""
    if shutil.which("squeue") is None:
        return None, None
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "-o", _SEPARATOR.join(_FIELDS)]
    output, problem = _call(command, patience)
    if problem and _NO_CLUSTER in problem:
        return None, None  # the commands are installed, and no cluster is set up
    jobs = []
    for line in output.splitlines():
        parts = [part.strip() for part in line.split(_SEPARATOR)]
        if len(parts) == len(_FIELDS):
            ident, state, node, elapsed, limit, reason, expected, at, comment = parts
            batch = found[1] if (found := _BATCH.search(comment)) else None
            times = seconds(elapsed) or 0, seconds(limit)
            expected = "" if expected == "N/A" else expected
            submitted = 0.0 if at == "N/A" else datetime.fromisoformat(at).timestamp()
            jobs.append(Job(ident, state, node, *times, reason, expected, batch, submitted))
    return (None if problem else jobs), problem


def ask_of_job(job: str, fields: str, patience: float) -> tuple[str, str | None]:
    """What squeue says of one job (its format), and why it says nothing; seconds of patience."""
    command = ["squeue", "--noheader", "--jobs", job, "--format", fields]
    output, problem = _call(command, patience)
    return output.strip(), problem


def time_left(job: str, patience: float) -> float | None:
    """Seconds until a job's limit; None where it has none or Slurm does not answer in time."""
    text, problem = ask_of_job(job, "%L", patience)
    return None if problem else seconds(text)


def sacct(ids: Iterable[str]) -> tuple[dict[str, Account], str | None]:
    """GPU hours of jobs by Slurm's accounting, and why they cannot be told (None: they can)."""
    wanted = set(ids)
    if not wanted or shutil.which("sacct") is None:
        return {}, None
    output, problem = _call(_sacct(wanted, "JobIDRaw,ElapsedRaw,AllocTRES"))
    accounts: dict[str, Account] = {}
    for line in output.splitlines():
        ident, elapsed, tres = line.split("|")
        gpus = int(found[1]) if (found := _TRES_GPUS.search(tres)) else 0
        before, held = accounts.get(ident, Account(0, 0)), int(elapsed or 0)
        hours = before.gpu_hours + held * gpus / 3600
        accounts[ident] = Account(before.elapsed + held, hours)
    return accounts, problem


def ended(ids: Iterable[str]) -> dict[str, list[tuple[str, float, float]]]:
    """State, start and end (s since 1970) of each time that a job ran and ended, by job, as far as
    the accounting tells: a job that was requeued has several.
    """
    command = _sacct(ids, "JobIDRaw,State,Start,End")
    output, _ = _call(command, env=os.environ | {"SLURM_TIME_FORMAT": "%s"})
    found: dict[str, list[tuple[str, float, float]]] = {}
    for line in output.splitlines():
        ident, state, start, end = line.split("|")
        if start.isdigit() and end.isdigit():
            times = float(start), float(end)
            found.setdefault(ident, []).append((state.split()[0], *times))  # "CANCELLED by 1000"
    return found


def _sacct(ids: Iterable[str], fields: str) -> list[str]:
    """--duplicates: a requeued job has one record a life, and each held its GPUs."""
    wanted = ",".join(sorted(set(ids)))
    return ["sacct", "-n", "-P", "-X", "--duplicates", "-j", wanted, "-o", fields]


def seconds(text: str) -> float | None:
    """Slurm's D-HH:MM:SS, HH:MM:SS or MM:SS; None for UNLIMITED, INVALID and the like."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in [*parts, days or "0"]) or not 2 <= len(parts) <= 3:
        return None
    units = zip(reversed(parts), (1, 60, 3600), strict=False)
    return 86400 * int(days or 0) + sum(int(part) * unit for part, unit in units)


def cancel_batches(names: Collection[str], since: float) -> str | None:
    """Cancel batches' jobs that were submitted since a time (s since 1970), which leaves alone
    what a dead run's job still plays. Returns why that failed, None if it did not.
    """
    jobs, problem = squeue(CANCEL_S)
    ids = [job.id for job in jobs or () if job.batch in names and job.submitted >= since]
    return cancel(ids) or problem


def cancel(ids: Sequence[str], *options: str) -> str | None:
    """scancel; why that failed, None if it did not or there is nothing to cancel."""
    return _call(["scancel", *options, *ids], CANCEL_S)[1] if ids else None


def _call(
    command: list[str], patience: float = TIMEOUT_S, env: Mapping[str, str] | None = None
) -> tuple[str, str | None]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=patience, check=False, env=env
        )
    except subprocess.TimeoutExpired:
        return "", f"{command[0]} did not answer within {patience:g} s"
    except OSError as error:
        return "", f"{command[0]}: {error.strerror}"
    said = [f"exit status {done.returncode}", *done.stderr.strip().splitlines()]
    return done.stdout, said[-1] if done.returncode else None


# What of a job's resources `sbatch --test-only` is told, as the executor tells it.
_ASKED = {"slurm_account": "account", "slurm_partition": "partition", "qos": "qos"}
_ASKED |= {"runtime": "time", "mem_mb": "mem", "cpus_per_task": "cpus-per-task", "nodes": "nodes"}
_ASKED |= {"gpu": "gpus", "gres": "gres"}


def refusal(asked: Mapping[str, Any]) -> str | None:
    """Why Slurm would refuse a job that asks for this; None where it would take it, or is not here.

    asked: as `arena.batch.resources.asked_for` says it. Submits nothing.
    """
    if shutil.which("sbatch") is None:
        return None
    options = [f"--{_ASKED[key]}={value}" for key, value in asked.items() if key in _ASKED]
    _, problem = _call(["sbatch", "--test-only", *options, "--wrap", "true"], CANCEL_S)
    return None if problem is None or _NO_CLUSTER in problem else problem
