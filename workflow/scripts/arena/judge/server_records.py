"""What a judge server leaves on disk for its clients, for its siblings and for those who look on.

| file, below `<root>` | what | how long |
| --- | --- | --- |
| `server/<batch>.json` (0600) | url, key, pid, host, capacity, ... | with the server |
| `logs/<batch>/batch.json` | Slurm job, node, GPUs, start, ready, end, cause, ... | stays |
| `batches/<run>.judge_failed` | cause, batch, node, log, time of a failed start | stays |

The last is how a failing start is remembered for its run: the run's other batches, and Snakemake's
retries, fail at once with its cause. A new run has another name and tries again.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arena.support import slurm
from arena.support.jsonl import write_atomic

WALLTIME_SECONDS = 90  # SIGTERM comes at the limit, or some clusters' KillWait before it
# As the node numbers them: of our step (Snakemake's takes the job's away), or of the job; then as
# the job sees them, which under cgroups begin at 0.
GPU_IDS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES")
# A consequence: Snakemake takes the file away when a job fails, which the job may live to see.
GIVEN_UP = "its server file is gone: the batch was given up"
ASK_S = 3  # of the 30 s that Slurm leaves between SIGTERM and SIGKILL


def now() -> str:
    """Time as all records have it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def job_id(env: Mapping[str, str] = os.environ) -> str | None:
    return env.get("SLURM_JOB_ID")


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(content, indent=1) + "\n", mode=0o600)


def retire(path: Path) -> None:
    """Take the address and key out of a server file.

    The file itself is Snakemake's: it wants to see it once more after the service has ended, and
    then removes it. Written in place, so that a file that it removes meanwhile does not come back;
    one that a retry has written is left alone.
    """
    with suppress(FileNotFoundError, ValueError), path.open("r+") as file:
        if json.load(file).get("pid") == os.getpid():
            file.seek(0)
            file.truncate()
            file.write("{}\n")


def is_gone(path: Path) -> bool:
    """Whether a file is surely not there: a file server that does not answer says nothing."""
    try:
        return not path.exists()
    except OSError:
        return False


def server_entry(url: str, key: str, capacity: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Content of the server file."""
    entry = {"url": url, "key": key, "pid": os.getpid(), "host": socket.gethostname()}
    return {**entry, "slurm_job_id": job_id(), "capacity": capacity, **more}


class BatchRecord:
    """`logs/<batch>/batch.json`: the life of a batch's server. Former attempts are kept in
    `earlier`.

    Times are ISO 8601 or null: `start` of the supervisor, `launched` at the first real question,
    `ready`, `end`. `cause` says why it ended; null while it runs and when its clients were done.
    """

    def __init__(self, path: Path, batch: str, gpus: int, log: Path, **more: Any) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.entry: dict[str, Any] = {
            "batch": batch,
            "slurm_job_id": job_id(),
            "node": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            "gpus": gpus,
            "gpu_ids": next(filter(None, map(os.environ.get, GPU_IDS)), None),
            "pid": os.getpid(),
            "start": now(),
            **dict.fromkeys(("launched", "ready", "end", "cause")),
            "restarts": [],
            "server_log": str(log),
            **more,
            "earlier": self._earlier(),
        }
        self.note()

    def _earlier(self) -> list[dict[str, Any]]:
        try:
            former = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return []
        return [*former.pop("earlier", []), _completed(former)]

    def note(self, **values: Any) -> None:
        """Set keys, on disk at once."""
        self.entry |= values
        try:
            write_atomic(self.path, json.dumps(self.entry, indent=1) + "\n")
        except OSError as full:
            # For onlookers only: no reason for a judge to die.
            print(f"judge_server: cannot write {self.path}: {full}", file=sys.stderr, flush=True)

    def restarted(self, cause: str) -> None:
        self.note(restarts=[*self.entry["restarts"], {"time": now(), "cause": cause}])

    def ended(self, cause: str | None) -> None:
        """The judge is gone for good. The first cause stands."""
        if not self.entry["end"]:
            self.note(end=now(), cause=cause)


def _completed(former: dict[str, Any]) -> dict[str, Any]:
    """An attempt that could not write down its end, or not why, with what Slurm's accounting says.

    Under proctrack/cgroup Slurm tells only the first process of a job that it will end; all others
    are killed. Of a node that is lost it tells the main process first.
    """
    told = former.get("end") and former.get("cause") != GIVEN_UP
    if told or not former.get("slurm_job_id"):
        return former
    began = datetime.fromisoformat(former["start"]).timestamp()
    for state, start, end in slurm.ended_lives(former["slurm_job_id"]):
        if start <= began <= end:
            if former.get("end") and state in ("FAILED", "COMPLETED"):
                break  # not Slurm's doing
            ended = datetime.fromtimestamp(end, UTC).isoformat(timespec="seconds")
            return {**former, "end": ended, "cause": _cause_of(state)}
    return former


def _cause_of(word: str) -> str:
    """Of an end that was Slurm's doing, by sacct's state or squeue's reason."""
    return "walltime" if word in ("TIMEOUT", "TimeLimit") else f"Slurm ended the job ({word})"


class FailedStart:
    """`batches/<run>.judge_failed`."""

    def __init__(self, root: Path, run: str) -> None:
        self.path = root / "batches" / f"{run}.judge_failed"

    def read(self) -> str | None:
        """The cause, where a start of this run has failed."""
        try:
            entry = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        return (
            f"{entry['cause']} (seen by batch {entry['batch']} on {entry['node']}, {entry['log']})"
        )

    def write(self, cause: str, record: BatchRecord) -> None:
        entry = {key: record.entry[key] for key in ("batch", "node", "slurm_job_id")}
        entry |= {"cause": cause, "log": record.entry["server_log"], "time": now()}
        write_atomic(self.path, json.dumps(entry, indent=1) + "\n")


def why_stopped(end: float | None, env: Mapping[str, str] = os.environ) -> str | None:
    """Why we were told to stop by a signal; None where our clients were done.

    Snakemake, which ends a service when nobody needs it, and Slurm send the same one. `end` is the
    job's (s since 1970): clients leave before it. Ask `deadline.job_end` for it at the start.
    """
    if end is not None and end - datetime.now(UTC).timestamp() < WALLTIME_SECONDS:
        return "walltime"
    if not (job := job_id(env)):
        return None
    told, problem = slurm.ask_of_job(job, "%T %r", ASK_S)
    state, _, reason = told.partition(" ")
    if problem or not state or state == "RUNNING":
        return None
    return _cause_of(state if reason in ("", "None") else reason)
