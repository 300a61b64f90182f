"""What becomes of a batch whose judge does not start, or whose budget ends."""

from tests.slurm.campaign import LATER, await_that, lives, start_now
from tests.slurm.conftest import PARALLEL


def test_judge_that_cannot_start(campaign):
    """A wrong path costs one short job a batch that was queued, and no retries; it says why."""
    broken = campaign(config={"batch_size": 1}, options="--fail path")
    broken.edit_profile({"jobs": 1})
    assert broken.run() == 1
    jobs = lives(broken.jobs())
    assert len(jobs) == 1  # of three batches with two retries each, that is of nine
    assert broken.requests() == []
    cause = "is not a valid model identifier"
    (record,) = broken.batch_logs()
    assert (record["slurm_job_id"], record["kind"]) == (jobs[0].id, "judge_start")
    assert cause in broken.log(record["batch"], "server.log")
    # The error that a person sees names the cause and the log.
    assert record["cause"].split("\n")[0] in broken.text()
    assert f"logs/{record['batch']}/server.log" in broken.text()
    broken.nothing_left()

    # Mended, the next run starts afresh.
    config = broken.folder / "config/config.yaml"
    config.write_text(config.read_text().replace("--fail path", ""))
    assert broken.run("--jobs", "3") == 0, broken.text()
    assert [life.state for life in lives(broken.jobs())] == ["COMPLETED"] * 3


def test_batches_in_the_queue_fail_at_once(campaign):
    """They learn from the run's own file that the judge cannot start, and launch none."""
    broken = campaign(config={"batch_size": 1}, options="--fail path")
    broken.ask_for(slurm_extra=LATER)
    broken.start()
    first, *others = await_that(lambda: len(broken.jobs()) == 3 and broken.jobs(), "three jobs")
    start_now(first)
    await_that(lambda: list(broken.root.glob("batches/*.stop.json")), "the reason to stop")
    for job in others:
        start_now(job)
    assert broken.wait() == 1
    assert len(broken.jobs()) == 3
    attempts = {one["slurm_job_id"]: one for one in broken.attempts()}
    assert set(attempts) == {first, *others}
    assert attempts[first]["launched"] and not any(attempts[job]["launched"] for job in others)
    assert {one["kind"] for one in attempts.values()} == {"judge_start"}
    broken.nothing_left()


def test_judge_that_is_never_healthy(campaign):
    """It loads for ever: given up after ready_minutes, its process group is gone with it."""
    options = "--load-seconds 3600 --deaf --litter"
    broken = campaign(judge={"ready_minutes": 0.1}, options=options, config={"retries": 0})
    assert broken.run() == 1
    (job,) = lives(broken.jobs())
    assert job.elapsed < 60 * job.minutes / 2
    (record,) = broken.batch_logs()
    assert "not ready after 0.1 minutes" in record["cause"]
    assert "not ready after 0.1 minutes" in broken.text()
    broken.nothing_left()


def test_budget_that_is_used_up(campaign):
    """Open games finish, nothing more is submitted and nothing retried; the next run goes on."""
    # So slow that few games end between two looks at the budget.
    slow, sizes = "--slots 2 --seconds 1", {"batch_size": 1, "budget": {"games": 30}}
    struck = campaign(options=slow, config=sizes)
    struck.edit_profile({"jobs": 1})
    assert struck.run() == 1
    assert struck.states() == ["COMPLETED", "COMPLETED"]  # of three batches
    assert [one["kind"] for one in struck.attempts()] == [None, "budget"]
    # What was open, and what a quick judge replied to between two looks at the budget.
    assert 30 <= struck.judged() < 30 + 2 * PARALLEL
    assert sorted(map(len, struck.judgments().values())) == [0, 0, 10]
    assert "30 games" in struck.text()
    assert struck.run() == 0, struck.text()
    assert len(struck.requests()) == struck.judged() == 60
