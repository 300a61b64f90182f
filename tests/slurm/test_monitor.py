"""The monitor and the ledger beside a real Slurm: jobs by batch before they start, and accounting.

The plugin names all jobs of a run alike, so which batch a waiting job is for cannot be seen in the
queue; and nothing of ours runs yet that could have said it.
"""

import subprocess
import sys

import pytest

from tests.slurm.campaign import LATER, Campaign, await_that, lives, slurm, start_now
from tests.workflow.conftest import read_tsv


def jobs(campaign: Campaign) -> list[dict]:
    """In order of their models."""
    return sorted(campaign.monitor()["jobs"], key=lambda job: job["models"])


def states(campaign: Campaign) -> list[str]:
    return [job["state"] for job in jobs(campaign)]


@pytest.fixture
def waiting(campaign) -> Campaign:
    """Two batches whose jobs wait for their time, which has not come."""
    sizes = {"batch_size": 2, "retries": 0}
    struck = campaign(options="--slots 1 --seconds 6", config=sizes)  # m03: two minutes
    struck.ask_for(slurm_extra=LATER)
    struck.start()
    await_that(lambda: len(struck.jobs()) == 2, "two jobs submitted")
    await_that(lambda: states(struck) == ["queued", "queued"], "both jobs seen to wait")
    return struck


def test_jobs_are_told_by_batch_from_submission_to_end(waiting):
    first, second = jobs(waiting)
    assert {first["job"], second["job"]} == set(waiting.jobs())
    assert (first["reason"], second["reason"]) == ("BeginTime", "BeginTime")
    assert (first["models"], second["models"]) == (["m01", "m02"], ["m03"])
    assert [model["at"] for model in waiting.monitor()["models"]] == ["queued"] * 3

    start_now(second["job"])
    await_that(lambda: states(waiting) == ["queued", "running"], "the second batch playing")
    seen = jobs(waiting)[1]
    (life,) = lives([second["job"]])
    assert (seen["job"], seen["node"], seen["limit"]) == (life.id, life.node, life.minutes * 60)
    await_that(lambda: waiting.monitor()["models"][2]["played"] > 0, "games of m03")

    # Its head dies: the jobs stay, and so does what is known of them.
    waiting.kill()
    assert jobs(waiting)[0]["job"] == first["job"]

    slurm("scancel", second["job"])
    await_that(lambda: states(waiting)[1] in ("failed", "gone", "ended"), "the end of a batch")
    seen = waiting.monitor()
    assert jobs(waiting)[0]["state"] == "queued"
    assert [one for one in seen["wrong"] if second["batch"] in one["text"]]


def test_a_job_that_will_never_start_is_named(waiting):
    held = jobs(waiting)[0]
    slurm("scontrol", "uhold", held["job"])
    text = f"batch {held['batch']}: its job {held['job']} will not start: it is held"

    def named():
        return [one for one in waiting.monitor()["wrong"] if one["text"].startswith(text)]

    assert await_that(named, "the held job named")[0]["grave"]


def test_gpu_hours_are_those_of_the_accounting(campaign):
    done = campaign(options="--load-seconds 2", config={"gpu_hour_cost": 3.0})
    assert done.run() == 0, done.text()
    command = [sys.executable, "workflow/scripts/ledger.py", str(done.root), "--price", "3"]
    subprocess.run(command, cwd=done.folder, check=True, capture_output=True)
    batch, total = read_tsv(done.root / "ledger.tsv")
    (life,) = lives(done.jobs())
    hours = life.elapsed * life.gpus / 3600
    assert life.gpus == 2
    assert float(batch["gpu_hours"]) == pytest.approx(hours, abs=1e-4)
    assert float(total["cost"]) == pytest.approx(3 * hours, abs=1e-3)
    assert (batch["source"], batch["games"]) == ("slurm", "60")
    assert float(batch["start_s"]) >= 2
    held = sum(float(batch[key]) for key in ("start_s", "busy_s", "idle_s"))
    assert held == pytest.approx(life.elapsed)
