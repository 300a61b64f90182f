"""What Slurm knows of this campaign's jobs: squeue while they wait and run, sacct afterwards.

Snakemake's Slurm plugin names all jobs of a run by one random id, so a job's name does not tell
its batch. The map is kept by Snakemake itself: from its submission on, `.snakemake/incomplete/`
holds a record for each output of a job with the Slurm id, also after the main process has died. A
running job says its id in logs/<batch>/batch.json too.
"""

import getpass
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from arena.support.unfinished import unfinished_outputs

# squeue answers in a fraction of a second, or not at all while the controller is away; the screen
# must not hang on it.
TIMEOUT_S = 5
CANCEL_S = 60  # nobody looks on then, and what is not cancelled holds GPUs
_SEPARATOR = "\x1f"  # never part of a name or a reason
_FIELDS = ("%i", "%T", "%N", "%M", "%l", "%r", "%S", "%j")
_NO_CLUSTER = "Could not establish a configuration source"
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
    name: str


@dataclass(frozen=True)
class Account:
    """What sacct says a job used, over all its lives (requeued jobs have several)."""

    id: str
    state: str  # of the last life
    elapsed: float  # seconds, all lives
    gpu_hours: float
    node: str


def squeue() -> tuple[list[Job] | None, str | None]:
    """This user's jobs, and why they cannot be told; (None, None) where there is no Slurm."""
    if shutil.which("squeue") is None:
        return None, None
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "-o", _SEPARATOR.join(_FIELDS)]
    output, problem = _call(command)
    if problem and _NO_CLUSTER in problem:
        return None, None  # the commands are installed, and no cluster is set up
    jobs = []
    for line in output.splitlines():
        parts = line.split(_SEPARATOR)
        if len(parts) == len(_FIELDS):
            ident, state, node, elapsed, limit, reason, expected, name = (p.strip() for p in parts)
            expected = "" if expected == "N/A" else expected
            jobs.append(
                Job(
                    ident,
                    state,
                    node,
                    seconds(elapsed) or 0,
                    seconds(limit),
                    reason,
                    expected,
                    name,
                )
            )
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
    wanted = ",".join(sorted(set(ids)))
    if not wanted or shutil.which("sacct") is None:
        return {}, None
    # --duplicates: a requeued job has one record a life, and each held its GPUs.
    command = [
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--duplicates",
        "--jobs",
        wanted,
    ]
    command += ["--format", "JobIDRaw,State,ElapsedRaw,AllocTRES,NodeList,Start"]
    output, problem = _call(command)
    accounts: dict[str, Account] = {}
    for line in output.splitlines():
        ident, state, elapsed, tres, node, _ = line.split("|")[:6]
        gpus = int(found[1]) if (found := _TRES_GPUS.search(tres)) else 0
        held = int(elapsed or 0)
        before = accounts.get(ident, Account(ident, "", 0, 0, ""))
        accounts[ident] = Account(
            ident,
            state.split()[0] if state else "",  # "CANCELLED by 1000"
            before.elapsed + held,
            before.gpu_hours + held * gpus / 3600,
            node,
        )
    return accounts, problem


def ended_lives(job: str) -> list[tuple[str, float, float]]:
    """State, start and end (s since 1970) of each life of a job that has ended, as far as known."""
    command = ["sacct", "-n", "-P", "-X", "--duplicates", "-j", job, "-o", "State,Start,End"]
    output, _ = _call(command, env=os.environ | {"SLURM_TIME_FORMAT": "%s"})
    found = []
    for line in output.splitlines():
        state, start, end = line.split("|")
        if start.isdigit() and end.isdigit():
            found.append((state.split()[0], float(start), float(end)))  # "CANCELLED by 1000"
    return found


def batch_of_job(workdir: Path, root: Path) -> dict[str, str]:
    """Slurm id -> batch of all submitted jobs, from Snakemake's records of unfinished outputs."""
    jobs: dict[str, str] = {}
    for output, record in unfinished_outputs(workdir):
        # The one output that names the batch: <root>/server/<batch>.json
        if output.parent.name != "server" or output.suffix != ".json":
            continue
        if (workdir / output).parent.parent.resolve() != root.resolve():
            continue
        try:
            job = json.loads(record.read_text()).get("external_jobid")
        except (OSError, ValueError, AttributeError):
            continue  # removed or written at this moment: the next look finds it
        if job:
            jobs[str(job)] = output.stem
    return jobs


def seconds(text: str) -> float | None:
    """Slurm's D-HH:MM:SS, HH:MM:SS or MM:SS; None for UNLIMITED, INVALID and the like."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in [*parts, days or "0"]) or not 2 <= len(parts) <= 3:
        return None
    total = 0
    for part in parts:
        total = total * 60 + int(part)
    return total + 86400 * int(days or 0)


def cancel_run(name: str | None) -> str | None:
    """Cancel what is left of the jobs that one run of Snakemake named `name`; None: it has none.

    Returns why that failed, None if it did not.
    """
    if not name:
        return None
    _, problem = _call(["scancel", f"--name={name}"], CANCEL_S)
    return problem


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
    if done.returncode:
        return done.stdout, (
            done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        )[-1]
    return done.stdout, None
