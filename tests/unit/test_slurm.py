"""Slurm without Slurm: its notations, and what its commands' output is read as."""

from datetime import datetime

import pytest
from arena.support import slurm

SUBMITTED = "2026-11-28T04:05:50"


def test_seconds():
    told = {"0:07": 7, "01:20:00": 4800, "2-03:04:05": 183845}
    told |= dict.fromkeys(("UNLIMITED", "INVALID", ""))
    assert {text: slurm.seconds(text) for text in told} == told


def fake(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def queue(folder, *jobs):
    """A squeue that lists jobs: (number, comment, submitted)."""
    lines = ""
    for job, comment, at in jobs:
        fields = [job, "PENDING", "", "0:00", "1:00:00", "Priority", "N/A", at, comment]
        lines += "\\037".join(fields) + "\\n"
    fake(folder, "squeue", f"printf '{lines}'")


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


@pytest.mark.parametrize(
    ("comment", "batch"),
    [
        ("rule_gen_judgment_wildcards_0a1b2c3d", "0a1b2c3d"),
        ("rule_arena_gen_judgment_wildcards_0a1b2c3d", "0a1b2c3d"),  # of an importing workflow
        ("rule_gen_judgment_no_gpu_wildcards_0a1b2c3d", "0a1b2c3d"),
        ("rule_gen_answer_wildcards_0a1b2c3d", "0a1b2c3d"),
        ("rule_show_result_wildcards_", None),
        ("(null)", None),
    ],
)
def test_a_job_tells_its_batch(path, comment, batch):
    queue(path, ("7", comment, SUBMITTED))
    (job,), problem = slurm.squeue()
    assert (job.id, job.state, job.limit, job.reason) == ("7", "PENDING", 3600, "Priority")
    assert (job.expected, job.batch, problem) == ("", batch, None)
    assert job.submitted == datetime.fromisoformat(SUBMITTED).timestamp()


def test_jobs_of_this_run_are_cancelled_and_no_others(path):
    comment = "rule_gen_judgment_wildcards_"
    before, ours = SUBMITTED.replace(":50", ":49"), comment + "0a1b2c3d"
    others = comment + "11111111"
    queue(path, ("7", ours, SUBMITTED), ("8", ours, before), ("9", others, SUBMITTED))
    fake(path, "scancel", f'echo "$@" > {path}/cancelled')
    since = datetime.fromisoformat(SUBMITTED).timestamp()
    assert slurm.cancel_batches(["0a1b2c3d"], since) is None
    assert (path / "cancelled").read_text() == "7\n"
    fake(path, "scancel", "echo 'scancel: error: no controller' >&2; exit 1")
    assert slurm.cancel_batches(["0a1b2c3d"], since) == "scancel: error: no controller"


def test_how_jobs_ended(path):
    """One call for all; a job that was requeued ended twice."""
    lines = "7|PREEMPTED|100|200\\n7|CANCELLED by 1000|300|400\\n8|RUNNING|500|Unknown\\n"
    fake(path, "sacct", f"echo \"$@\" > {path}/asked; printf '{lines}'")
    assert slurm.ended(["8", "7"]) == {"7": [("PREEMPTED", 100, 200), ("CANCELLED", 300, 400)]}
    assert "-j 7,8" in (path / "asked").read_text()
    fake(path, "sacct", "echo 'sacct: error: Connection refused' >&2; exit 1")
    assert slurm.ended(["7"]) == {}


def test_commands_without_a_cluster_are_no_slurm(path):
    """Debian's client packages are installed, and nothing says where a controller is."""
    fake(
        path,
        "squeue",
        "echo 'squeue: error: resolve_ctls_from_dns_srv: Unknown host' >&2\n"
        "echo 'squeue: fatal: Could not establish a configuration source' >&2\nexit 1",
    )
    assert slurm.squeue() == (None, None)
    fake(path, "squeue", "echo 'squeue: error: Connection refused' >&2\nexit 1")
    assert slurm.squeue() == (None, "squeue: error: Connection refused")
