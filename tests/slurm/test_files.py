"""A shared file system that shows files late, or on which locks hold nothing."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.slurm.campaign import (
    PATIENCE_S,
    PROJECT,
    Campaign,
    await_that,
    holders_of_locks,
    processes_that_name,
    sbatch,
    slurm,
    state,
)


def test_files_are_seen_late(campaign):
    """Over NFS, a job may miss what the head has just written, and the head what a job has.

    The head runs in a mount namespace of its own in which these folders are others than the jobs'.
    Each side has to wait, until each file is there.
    """
    late = campaign(models=2, questions=2)
    batches, played, made = (late.root / name for name in ("batches", "played", "made"))
    covers = {folder: late.folder / f"head's {folder.name}" for folder in (batches, played, made)}
    for folder, cover in covers.items():
        folder.mkdir(parents=True)
        cover.mkdir()
    binds = [shlex.join(["mount", "--bind", str(cover), str(at)]) for at, cover in covers.items()]
    inside = " && ".join([*binds, 'exec "$@"'])
    late.wrap = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inside, "sh"]
    late.start("--latency-wait", str(PATIENCE_S))
    job = late.job()
    await_that(lambda: "(missing locally)" in slurm_log(late, job), "the job waiting for its batch")
    for path in covers[batches].iterdir():  # each seen as a whole
        shutil.copy(path, batches / f".{path.name}").rename(batches / path.name)

    await_that(lambda: f"Waiting at most {PATIENCE_S} seconds" in late.text(), "a wait")
    await_that(lambda: late.states() == ["COMPLETED"], "the job's end")
    namespace = f"--mount=/proc/{late.process.pid}/ns/mnt"
    # --lazy: Snakemake may be looking into it at this moment.
    subprocess.run(["nsenter", namespace, "umount", "--lazy", str(played)], check=True)

    # On one core, the second publication comes after the first.
    logs = [late.root / f"logs/judgment/{model}.log" for model in late.names]
    await_that(lambda: any("waiting" in text_of(log) for log in logs), "a wait")
    subprocess.run(["nsenter", namespace, "umount", "--lazy", str(made)], check=True)
    assert late.wait() == 0, late.text()
    assert len(late.jobs()) == 1
    assert late.judged() == len(late.requests()) == 8
    assert all(len(lines) == 2 for lines in late.judgments().values())


def slurm_log(campaign: Campaign, job: str) -> str:
    found = (campaign.folder / "results/slurm_logs").rglob(f"{job}.log")
    return "".join(map(text_of, found))


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


HOLD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from arena.journals.lock import Lock
lock, first = Lock(sys.argv[2]), True
while holder := lock.try_acquire(first=first):
    open("waits", "w").write(str(holder))
    first = False
    time.sleep(0.5)
open("has", "w").close()
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def contender(tmp_path: Path):
    """A Slurm job that takes the lock of a journal and says in files when it waits and has it.

    Each on a node of its own, where the other's processes are not known.
    """
    jobs = []

    def submit(name: str, seconds: int, node: str) -> tuple[str, Path]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "hold.py").write_text(HOLD)
        command = [sys.executable, folder / "hold.py", PROJECT / "workflow/scripts"]
        command += [tmp_path / "games.jsonl", seconds]
        wrapped = shlex.join(map(str, command))
        jobs.append(sbatch("-t", "60", "-w", node, "-D", str(folder), "--wrap", f"exec {wrapped}"))
        return jobs[-1], folder

    yield submit
    slurm("scancel", *jobs, check=False)


def test_lock_of_a_job_that_is_dead(contender, tmp_path):
    """It is kept while the holder's Slurm job lives and free when Slurm says that it has ended."""
    first, folder = contender("first", 3600, "n1")
    await_that((folder / "has").exists, "the first job's lock")
    lock = tmp_path / "games.jsonl.lock"
    holder = json.loads(lock.read_text())
    assert holder["slurm_job_id"] == first
    # A file system on which flock does nothing changes nothing.
    assert not holders_of_locks() & processes_that_name(str(folder)).keys()
    _, other = contender("second", 0, "n2")
    await_that(lambda: f"Slurm job {first}" in text_of(other / "waits"), "the second job waiting")
    assert not (other / "has").exists()
    slurm("scancel", "--signal=KILL", "--full", first)

    def has_it() -> bool:
        """By its heartbeat the first lives on: it is never more than two minutes old."""
        with suppress(FileNotFoundError):
            os.utime(lock, (time.time() - 120,) * 2)
        return (other / "has").exists()

    await_that(has_it, "the second job's lock")
    await_that(lambda: state(first) in ("CANCELLED", "FAILED"), "the accounting of its end")
