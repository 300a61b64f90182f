"""What becomes of a batch whose judge does not start, or dies; part of the fault table."""

import os
import signal

from tests.slurm.campaign import Campaign, await_that, lives, slurm
from tests.slurm.conftest import PARALLEL


def states(campaign: Campaign) -> list[str]:
    return [life.state for life in lives(campaign.all_jobs())]


def test_judge_that_cannot_start(campaign, figures):
    """A wrong path costs one short job a batch that was queued, and no retries; it says why."""
    broken = campaign(config={"batch_size": 1}, options="--fail path")
    broken.edit_profile(lambda profile: profile.update(jobs=1))
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
    figures("wrong path, 3 batches", broken)

    # Mended, the next run starts afresh.
    config = broken.folder / "config/config.yaml"
    config.write_text(config.read_text().replace("--fail path", ""))
    broken.edit_profile(lambda profile: profile.update(jobs=3))
    assert broken.run() == 0, broken.text()
    assert [life.state for life in lives(broken.jobs())] == ["COMPLETED"] * 3


def test_batches_in_the_queue_fail_at_once(campaign, figures):
    """They learn from the run's own file that the judge cannot start, and launch none."""
    broken = campaign(config={"batch_size": 1}, options="--fail path")
    later = {"slurm_extra": "'--begin=now+1hour'"}
    broken.edit_profile(lambda profile: profile["set-resources"]["gen_judgment"].update(later))
    broken.start()
    first, *others = await_that(lambda: len(broken.jobs()) == 3 and broken.jobs(), "three jobs")
    slurm("scontrol", "update", f"jobid={first}", "StartTime=now")
    await_that(lambda: list(broken.root.glob("batches/*.stop.json")), "the reason to stop")
    for job in others:
        slurm("scontrol", "update", f"jobid={job}", "StartTime=now")
    assert broken.wait() == 1
    assert len(broken.jobs()) == 3
    attempts = {one["slurm_job_id"]: one for one in broken.attempts()}
    assert set(attempts) == {first, *others}
    assert attempts[first]["launched"] and not any(attempts[job]["launched"] for job in others)
    assert {one["kind"] for one in attempts.values()} == {"judge_start"}
    broken.nothing_left()
    figures("wrong path, 3 batches in the queue", broken)


def test_judge_that_is_never_healthy(campaign, figures):
    """It loads for ever: given up after ready_minutes, its process group is gone with it."""
    judge = {"ready_minutes": 0.1}
    options = "--load-seconds 3600 --deaf --litter"
    broken = campaign(judge=judge, options=options, config={"retries": 0})
    assert broken.run() == 1
    (job,) = lives(broken.jobs())
    assert job.elapsed < 120  # of 360
    (record,) = broken.batch_logs()
    assert "not ready after 0.1 minutes" in record["cause"]
    assert "not ready after 0.1 minutes" in broken.text()
    broken.nothing_left()
    figures("never healthy", broken)


def test_judge_that_is_killed(campaign, reference, figures):
    """It is started again, which the batch rides out; Slurm sees nothing of it."""
    struck = campaign()
    struck.start()
    struck.job()
    await_that(lambda: struck.judged() >= 12, "games in the journals")
    before = struck.judged()
    os.kill(struck.process_of("tests/judge.py"), signal.SIGKILL)
    assert struck.wait() == 0, struck.text()
    assert states(struck) == ["COMPLETED"]
    again = struck.asked_again()
    # A call that was cut by SIGKILL is not in the judge's own log: asked twice, logged once.
    assert again <= PARALLEL
    assert struck.judgments() == reference
    (record,) = struck.batch_logs()
    assert len(record["restarts"]) == 1
    figures("judge killed", struck, games_before=before, asked_again=again)


def test_batch_that_is_killed(campaign, reference, figures):
    """Its judge ends with it, the job fails, the retry does the rest."""
    struck = campaign()
    struck.start()
    struck.job()
    await_that(lambda: struck.judged() >= 12, "games in the journals")
    before = struck.judged()
    os.kill(struck.process_of("gen_judgment.py"), signal.SIGKILL)
    assert struck.wait() == 0, struck.text()
    assert states(struck) == ["FAILED", "COMPLETED"]
    assert [one["kind"] for one in struck.attempts()] == ["killed", None]
    again = struck.asked_again()
    assert again <= PARALLEL
    assert struck.judgments() == reference
    struck.nothing_left()
    figures("batch killed", struck, games_before=before, asked_again=again)


def test_budget_that_is_used_up(campaign, figures):
    """Open games finish, nothing more is submitted and nothing retried; the next run goes on."""
    config = {"batch_size": 1, "budget": {"games": 30}}
    struck = campaign(config=config)
    struck.edit_profile(lambda profile: profile.update(jobs=1))
    assert struck.run() == 1
    assert states(struck) == ["COMPLETED", "COMPLETED"]  # of three batches
    assert [one["kind"] for one in struck.attempts()] == [None, "budget"]
    assert 30 <= struck.judged() < 30 + PARALLEL
    assert sorted(map(len, struck.judgments().values())) == [0, 0, 10]
    assert "30 games" in struck.text()
    figures("budget", struck)
    assert struck.run() == 0, struck.text()
    assert len(struck.requests()) == struck.judged() == 60
