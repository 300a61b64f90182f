"""A shared file system that shows files late, or on which locks hold nothing."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm.campaign import PROJECT, Campaign, await_that, lives, slurm, state


def test_files_are_seen_late(campaign):
    """Over NFS, a job may miss what the head has just written, and the head what a job has.

    The head runs in a mount namespace of its own in which these folders are others than the jobs'.
    Each side has to wait, until each file is there.
    """
    late = campaign(models=2, questions=2, options="")
    batches, played, made = (late.root / name for name in ("batches", "played", "made"))
    covers = {folder: late.folder / f"head's {folder.name}" for folder in (batches, played, made)}
    for folder, cover in covers.items():
        folder.mkdir(parents=True)
        cover.mkdir()
    binds = [shlex.join(["mount", "--bind", str(cover), str(at)]) for at, cover in covers.items()]
    inside = " && ".join([*binds, 'exec "$@"'])
    late.wrap = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inside, "sh"]
    late.start()
    job = late.job()
    await_that(lambda: "(missing locally)" in slurm_log(late, job), "the job waiting for its batch")
    shutil.copytree(covers[batches], batches, dirs_exist_ok=True)

    await_that(lambda: "Waiting at most 60 seconds for missing files" in late.text(), "a wait")
    assert [life.state for life in lives(late.jobs())] == ["COMPLETED"]
    namespace = f"--mount=/proc/{late.process.pid}/ns/mnt"
    subprocess.run(["nsenter", namespace, "umount", str(played)], check=True)

    logs = [late.root / f"logs/judgment/{model}.log" for model in late.names]
    await_that(lambda: all(log.exists() and "waiting" in log.read_text() for log in logs), "a wait")
    subprocess.run(["nsenter", namespace, "umount", str(made)], check=True)
    assert late.wait() == 0, late.text()
    assert len(late.jobs()) == 1
    assert late.judged() == len(late.requests()) == 8
    assert all(len(lines) == 2 for lines in late.judgments().values())


def slurm_log(campaign: Campaign, job: str) -> str:
    found = list((campaign.folder / "results/slurm_logs").rglob(f"{job}.log"))
    return found[0].read_text() if found else ""


HOLD = """
import sys, time
sys.path.insert(0, {scripts!r})
from arena.journals.lock import Lock
lock, first = Lock({journal!r}), True
while holder := lock.try_acquire(first=first):
    open({said!r} + ".waits", "w").write(str(holder))
    first = False
    time.sleep(0.5)
open({said!r}, "w").write(str(time.time()))
time.sleep({seconds})
"""


@pytest.fixture
def contender(tmp_path: Path):
    """A Slurm job that takes the lock of a journal and says when it has it.

    Each on a node of its own, where the other's processes are not known.
    """
    jobs = []

    def submit(name: str, seconds: int, node: str) -> tuple[str, Path]:
        said = tmp_path / f"{name}.has"
        script = tmp_path / f"{name}.py"
        values = {"scripts": str(PROJECT / "workflow/scripts"), "said": str(said)}
        values |= {"journal": str(tmp_path / "games.jsonl"), "seconds": seconds}
        script.write_text(HOLD.format(**values))
        asked = ["--parsable", "-t", "5", "-w", node, "-o", str(tmp_path / f"{name}.out")]
        jobs.append(slurm("sbatch", *asked, "--wrap", f"exec {sys.executable} {script}").strip())
        return jobs[-1], said

    yield submit
    slurm("scancel", *jobs, check=False)


def test_lock_of_a_job_that_is_dead(contender, tmp_path):
    """It is kept while the holder's Slurm job lives and free when Slurm says that it has ended."""
    first, has = contender("first", 300, "n1")
    await_that(has.exists, "the first job's lock")
    holder = json.loads((tmp_path / "games.jsonl.lock").read_text())
    assert holder["slurm_job_id"] == first
    assert not held_by_flock()  # a file system on which flock does nothing changes nothing
    _, then = contender("second", 0, "n2")
    waits = tmp_path / "second.has.waits"
    await_that(waits.exists, "the second job waiting")
    assert f"Slurm job {first}" in waits.read_text()
    assert not then.exists()
    slurm("scancel", "--signal=KILL", "--full", first)
    await_that(then.exists, "the second job's lock")  # by its heartbeat it would take 5 minutes
    assert state(first) in ("CANCELLED", "FAILED")


def held_by_flock() -> bool:
    """Whether a process with our library in it holds any lock of the kernel's."""
    holders = {line.split()[4] for line in Path("/proc/locks").read_text().splitlines()}
    for pid in holders - {"-1"}:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "first.py" in command:
            return True
    return False
