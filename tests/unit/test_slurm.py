"""Slurm without Slurm: its notations, and what its commands' output is read as."""

import pytest
from arena.support import slurm

SUBMITTED = 1795841150


def test_seconds():
    told = {"0:07": 7, "01:20:00": 4800, "2-03:04:05": 183845}
    told |= dict.fromkeys(("UNLIMITED", "INVALID", ""))
    assert {text: slurm.seconds(text) for text in told} == told


def queue(fake, *jobs):
    """A squeue that lists jobs: (number, comment, submitted)."""
    lines = ""
    for job, comment, at in jobs:
        fields = [job, "PENDING", "", "0:00", "1:00:00", "Priority", "N/A", str(at), comment]
        lines += "\\037".join(fields) + "\\n"
    fake("squeue", f"printf '{lines}'")


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
def test_a_job_tells_its_batch(fake, comment, batch):
    queue(fake, ("7", comment, SUBMITTED))
    (job,), problem = slurm.squeue()
    assert (job.id, job.state, job.limit, job.reason) == ("7", "PENDING", 3600, "Priority")
    assert (job.expected, job.batch, problem) == ("", batch, None)
    assert job.submitted == SUBMITTED


def test_jobs_of_this_run_are_cancelled_and_no_others(fake, tmp_path):
    comment = "rule_gen_judgment_wildcards_"
    ours, others = comment + "0a1b2c3d", comment + "11111111"
    queue(fake, ("7", ours, SUBMITTED), ("8", ours, SUBMITTED - 1), ("9", others, SUBMITTED))
    fake("scancel", f'echo "$@" > {tmp_path}/cancelled')
    assert slurm.cancel_batches(["0a1b2c3d"], SUBMITTED) is None
    assert (tmp_path / "cancelled").read_text() == "7\n"
    fake("scancel", "echo 'scancel: error: no controller' >&2; exit 1")
    problem = slurm.cancel_batches(["0a1b2c3d"], SUBMITTED)
    assert problem == "scancel: error: no controller"


def test_what_users_set_for_themselves_and_odd_bytes_change_nothing(fake, monkeypatch):
    """SQUEUE_STATES hides jobs, also one asked for by its id; SLURM_TIME_FORMAT=relative times."""
    monkeypatch.setenv("SQUEUE_STATES", "PENDING")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    fake("squeue", "printf '%s \\351' \"$SQUEUE_STATES$SLURM_TIME_FORMAT\"")
    assert slurm.ask_of_job("7", "%k", 5) == ("%s \ufffd", None)


def test_how_jobs_ended(fake, tmp_path):
    """One call for all; a job that was requeued ended twice."""
    lines = "7|PREEMPTED|100|200\\n7|CANCELLED by 1000|300|400\\n8|RUNNING|500|Unknown\\n"
    fake("sacct", f"echo \"$@\" > {tmp_path}/asked; printf '{lines}'")
    assert slurm.ended(["8", "7"]) == {"7": [("PREEMPTED", 100, 200), ("CANCELLED", 300, 400)]}
    assert "-j 7,8" in (tmp_path / "asked").read_text()
    fake("sacct", "echo 'sacct: error: Connection refused' >&2; exit 1")
    assert slurm.ended(["7"]) == {}


def test_commands_without_a_cluster_are_no_slurm(fake):
    """Debian's client packages are installed, and nothing says where a controller is."""
    fake(
        "squeue",
        "echo 'squeue: error: resolve_ctls_from_dns_srv: Unknown host' >&2\n"
        "echo 'squeue: fatal: Could not establish a configuration source' >&2\nexit 1",
    )
    assert slurm.squeue() == (None, None)
    fake("squeue", "echo 'squeue: error: Connection refused' >&2\nexit 1")
    assert slurm.squeue() == (None, "squeue: error: Connection refused")
