"""What a person sees of a campaign through Slurm, and how it is stopped from outside."""

import re
import signal
import sys

from tests.slurm.campaign import Campaign, await_that, slurm, state


def test_25_models_on_one_screen(campaign):
    """A line for whatever happens to a batch; a job's TIMEOUT is said once, in Slurm's words."""
    judge = {"parallel": 10}
    whole: Campaign = campaign(models=25, questions=3, options="--seconds 2", judge=judge)
    assert whole.run() == 0, whole.text()
    text = whole.text()
    assert len(text.splitlines()) <= 40, text
    for batch, record in zip(whole.batches(), whole.batch_logs(), strict=True):
        lines = [line for line in text.splitlines() if line.startswith(f"batch {batch['batch']}")]
        planned, submitted, started, ready, done = lines
        assert f"{len(batch['models'])} models" in planned
        assert submitted.endswith(f" {record['slurm_job_id']}")
        assert record["node"] in started and "ready" in ready and "done" in done
    (top,) = re.findall(r"^Top 5 of 26.*\n.*\n((?:\d .*\n)*)", text, re.M)
    assert len(top.splitlines()) == 5
    assert str(whole.root.relative_to(whole.folder)) in text.splitlines()[-2]


def stop(campaign: Campaign, *arguments: str) -> str:
    command = [sys.executable, "workflow/scripts/stop.py", *arguments]
    return slurm("sh", "-c", f'cd "{campaign.folder}" && exec {" ".join(command)}')


def test_stopped_from_outside(campaign):
    """Its Snakemake and its jobs end; another campaign, and other jobs of the user, go on."""
    slow = "--slots 1 --seconds 5"  # two minutes a model at least
    other, struck = campaign("other", models=2, options=slow), campaign("mine", options=slow)
    for one in (other, struck):
        one.start()
    job, spared = struck.job(), other.job()
    await_that(lambda: struck.judged() > 0 and other.judged() > 0, "games")
    assert job in stop(struck)
    assert struck.process.wait(60) == 1
    await_that(lambda: state(job) == "CANCELLED", "the end of the campaign's job")
    struck.nothing_left()
    assert state(spared) == "RUNNING" and other.process.poll() is None
    assert job not in stop(struck), "again it is harmless"
    # Of a dead Snakemake the jobs alone are left.
    other.process.send_signal(signal.SIGKILL)
    other.process.wait()
    assert spared in stop(other)
    await_that(lambda: state(spared) == "CANCELLED", "the end of the orphan")
