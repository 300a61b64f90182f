"""Slurm's data on this campaign's jobs: squeue for pending and running ones, sacct for ended ones.

All jobs of a run have the same name, a random id of Snakemake. The batch is in the job's comment:
the rule and its wildcard. A running job also writes its id to logs/<batch>/batch.json.
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

# squeue answers in a fraction of a second, or not at all while the controller is down; the screen
# must not wait for it.
TIMEOUT_S = 5
CANCEL_S = 60  # no screen waits for it, and a job that is not cancelled occupies GPUs
RECORD_S = 30  # no screen waits for it, and what the accounting does not say is lost to the records
_SEPARATOR = "\x1f"  # never part of a name or a reason
_FIELDS = ("%i", "%T", "%N", "%M", "%l", "%r", "%S", "%V", "%k")
_NO_CLUSTER = "Could not establish a configuration source"
# The comment that the executor plugin sets; an importing workflow adds a prefix to the rule.
_BATCH = re.compile(r"gen_(?:judgment|answer)(?:_no_gpu)?_wildcards_([\w-]+)$")
# The user's defaults that would hide jobs, or ask before a job is cancelled.
_DEFAULTS = re.compile("SQUEUE_(?!ALL|FEDERATION)|SCANCEL_|SACCT_(?!FEDERATION)")
_TRES_GPUS = re.compile(r"gres/gpu(?::[^=,]+)?=(\d+)")


@dataclass(frozen=True)
class Job:
    """One line of squeue."""

    id: str
    state: str  # PENDING, RUNNING, COMPLETING, ...
    node: str
    elapsed: float  # seconds
    limit: float | None  # seconds
    reason: str  # why it is pending
    expected: str  # start expected by Slurm, ISO, or ""
    batch: str | None = None
    submitted: float = 0.0  # s since 1970


@dataclass(frozen=True)
class Account:
    """What a job used according to sacct, summed over its runs (requeued jobs have several)."""

    elapsed: float  # seconds
    gpu_hours: float


def squeue(patience: float = TIMEOUT_S) -> tuple[list[Job] | None, str | None]:
    """This user's jobs, and the error if squeue failed; (None, None) without Slurm."""
    if shutil.which("squeue") is None:
        return None, None
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "-o", _SEPARATOR.join(_FIELDS)]
    output, problem = _call(command, patience)
    if problem and _NO_CLUSTER in problem:
        return None, None  # the commands are installed, but no cluster is set up
    jobs = []
    for line in output.splitlines():
        parts = [part.strip() for part in line.split(_SEPARATOR)]
        if len(parts) == len(_FIELDS):
            job, state, node, elapsed, limit, reason, expected, at, comment = parts
            batch = found[1] if (found := _BATCH.search(comment)) else None
            times = seconds(elapsed) or 0, seconds(limit)
            start = datetime.fromtimestamp(int(expected)).isoformat() if expected.isdigit() else ""
            submitted = float(at) if at.isdigit() else 0.0
            jobs.append(Job(job, state, node, *times, reason, start, batch, submitted))
    return (None if problem else jobs), problem


def ask_of_job(job: str, fields: str, patience: float) -> tuple[str, str | None]:
    """squeue's output for one job in a format, and the error if it failed. patience: timeout, s."""
    command = ["squeue", "--noheader", "--jobs", job, "--format", fields]
    output, problem = _call(command, patience)
    return output.strip(), problem


def time_left(job: str, patience: float) -> float | None:
    """Seconds until a job's limit; None if it has none or Slurm does not answer in time."""
    text, problem = ask_of_job(job, "%L", patience)
    return None if problem else seconds(text)


def sacct(ids: Iterable[str]) -> tuple[dict[str, Account], str | None]:
    """What jobs used according to Slurm's accounting, and the error if it failed."""
    wanted = set(ids)
    if not wanted or shutil.which("sacct") is None:
        return {}, None
    rows, problem = _sacct(wanted, "JobIDRaw,ElapsedRaw,AllocTRES", RECORD_S)
    accounts: dict[str, Account] = {}
    for job, elapsed, tres in rows:
        gpus = int(found[1]) if (found := _TRES_GPUS.search(tres)) else 0
        before, took = accounts.get(job, Account(0, 0)), int(elapsed or 0)
        accounts[job] = Account(before.elapsed + took, before.gpu_hours + took * gpus / 3600)
    return accounts, problem


def ended(
    ids: Iterable[str], patience: float = TIMEOUT_S
) -> dict[str, list[tuple[str, float, float]]]:
    """State, start, end (s since 1970) of each job's ended runs; a requeued job has several."""
    found: dict[str, list[tuple[str, float, float]]] = {}
    for job, state, start, end in _sacct(ids, "JobIDRaw,State,Start,End", patience)[0]:
        if start.isdigit() and end.isdigit():
            times = float(start), float(end)
            found.setdefault(job, []).append((state.split()[0], *times))  # "CANCELLED by 1000"
    return found


def _sacct(ids: Iterable[str], fields: str, patience: float) -> tuple[list[list[str]], str | None]:
    """Rows of sacct, and the error if it failed."""
    # --duplicates: a requeued job has one record per run, and each run used GPUs
    command = ["sacct", "-n", "-P", "-X", "--duplicates", "-j", ",".join(sorted(set(ids)))]
    output, problem = _call([*command, "-o", fields], patience)
    return [line.split("|") for line in output.splitlines()], problem


def seconds(text: str) -> float | None:
    """Seconds of Slurm's D-HH:MM:SS, HH:MM:SS or MM:SS; None for UNLIMITED, INVALID and so on."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in [*parts, days or "0"]) or not 2 <= len(parts) <= 3:
        return None
    units = zip(reversed(parts), (1, 60, 3600), strict=False)
    return 86400 * int(days or 0) + sum(int(part) * unit for part, unit in units)


def cancel_batches(names: Collection[str], since: float) -> str | None:
    """Cancel the batches' jobs submitted since a time (s since 1970); the error if it failed."""
    jobs, problem = squeue(CANCEL_S)
    ids = [job.id for job in jobs or () if job.batch in names and job.submitted >= since]
    return cancel(ids) or problem


def cancel(ids: Sequence[str]) -> str | None:
    """Run scancel; returns the error if it failed. Without ids there is nothing to do."""
    return _call(["scancel", *ids], CANCEL_S)[1] if ids else None


def _call(command: list[str], patience: float = TIMEOUT_S) -> tuple[str, str | None]:
    """Output of a command, times in s since 1970, and the error if it failed."""
    env = {name: value for name, value in os.environ.items() if not _DEFAULTS.match(name)}
    env["SLURM_TIME_FORMAT"] = "%s"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=patience, env=env
        )
    except subprocess.TimeoutExpired:
        return "", f"{command[0]} did not answer within {patience:g} s"
    except OSError as error:
        return "", f"{command[0]}: {error.strerror}"
    errors = [f"exit status {done.returncode}", *done.stderr.strip().splitlines()]
    return done.stdout, errors[-1] if done.returncode else None


# Resource -> option of sbatch, as the executor plugin sets it.
_OPTIONS = {"slurm_account": "account", "slurm_partition": "partition", "qos": "qos"}
_OPTIONS |= {"runtime": "time", "mem_mb": "mem", "cpus_per_task": "cpus-per-task"}
_OPTIONS |= {"nodes": "nodes", "gpu": "gpus", "gres": "gres"}


def refusal(asked: Mapping[str, Any]) -> str | None:
    """Why Slurm would refuse a job with these resources; None if it would not, or without Slurm.

    asked: from `arena.batch.plan.asked_for`. Submits nothing.
    """
    if shutil.which("sbatch") is None:
        return None
    options = [f"--{_OPTIONS[key]}={value}" for key, value in asked.items() if key in _OPTIONS]
    _, problem = _call(["sbatch", "--test-only", *options, "--wrap", "true"], CANCEL_S)
    return None if problem is None or _NO_CLUSTER in problem else problem
