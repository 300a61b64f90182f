"""The monitor and the ledger beside a real Slurm: jobs by batch before they start, and accounting.

The plugin names all jobs of a run alike, so which batch a waiting job is for cannot be seen in the
queue; and nothing of ours runs yet that could have said it.
"""

import subprocess
import sys

import pytest

from tests.slurm.campaign import (
    ENOUGH,
    LATER,
    Campaign,
    await_that,
    lives,
    slurm,
    start_now,
    state,
)
from tests.workflow.conftest import read_tsv


def await_jobs(campaign: Campaign, *states: str, **same: list) -> list[dict]:
    """Wait until the monitor, which asks a busy Slurm for seconds only, shows its two jobs in these
    states, `a|b` for either, and with these values; the jobs in order of their models."""

    def shown() -> list[dict] | None:
        found = sorted(campaign.monitor()["jobs"], key=lambda job: job["models"])
        fits = [len(found) == len(states)]
        fits += [job["state"] in one.split("|") for job, one in zip(found, states, strict=False)]
        fits += [[job[key] for job in found] == values for key, values in same.items()]
        return found if all(fits) else None

    return await_that(shown, f"jobs {states} {same} in the monitor")


@pytest.fixture
def waiting(campaign) -> Campaign:
    """Two batches whose jobs wait for their time, which has not come."""
    struck = campaign(hold=ENOUGH, config={"batch_size": 2, "retries": 0})
    struck.ask_for(slurm_extra=LATER)
    struck.start()
    await_that(lambda: len(struck.jobs()) == 2, "two jobs submitted")
    return struck


def test_jobs_are_told_by_batch_from_submission_to_end(waiting):
    first, second = await_jobs(waiting, "queued", "queued", reason=["BeginTime"] * 2)
    assert {first["job"], second["job"]} == set(waiting.jobs())
    assert (first["models"], second["models"]) == (["m01", "m02"], ["m03"])

    def at() -> list[str]:
        return [model["at"] for model in waiting.monitor()["models"]]

    await_that(lambda: at() == ["queued"] * 3, "all models queued")

    start_now(second["job"])
    ids = [first["job"], second["job"]]
    _, seen = await_jobs(waiting, "queued", "running", job=ids)
    await_that(lambda: state(second["job"]) == "RUNNING", "the accounting of its start")
    (life,) = lives([second["job"]])
    assert (seen["job"], seen["node"], seen["limit"]) == (life.id, life.node, life.minutes * 60)
    await_that(lambda: waiting.monitor()["models"][2]["played"] == ENOUGH, "games of m03")

    # Its head dies: the jobs stay, and so does what is known of them.
    waiting.kill()
    await_jobs(waiting, "queued", "running", job=ids)

    slurm("scancel", second["job"])
    await_jobs(waiting, "queued", "failed|gone", job=ids)

    def wrong() -> list[dict]:
        return [one for one in waiting.monitor()["wrong"] if second["batch"] in one["text"]]

    await_that(wrong, "the end of the batch among what is wrong")


def test_a_job_that_will_never_start_is_named(waiting):
    held, _ = await_jobs(waiting, "queued", "queued")
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
