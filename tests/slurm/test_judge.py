"""What becomes of a batch whose judge does not start, or dies; part of the fault table."""

import json
import os
import signal

from tests.slurm.campaign import Campaign, await_that, lives
from tests.slurm.conftest import PARALLEL


def states(campaign: Campaign) -> list[str]:
    return [life.state for life in lives(campaign.all_jobs())]


def test_judge_that_cannot_start(campaign, figures):
    """A wrong path costs one short job a batch that was queued, and no retries; it says why."""
    broken = campaign(config={"batch_size": 1}, options="--fail path")
    broken.edit_profile(lambda profile: profile.update(jobs=1))
    assert broken.run() == 1
    jobs = lives(broken.jobs())
    assert {life.state for life in jobs} == {"FAILED"}
    assert len(jobs) == 1  # of three batches with two retries each, that is of nine
    assert broken.requests() == []
    cause = "is not a valid model identifier"
    (record,) = [entry for entry in broken.batch_logs() if entry["launched"]]
    assert record["slurm_job_id"] == jobs[0].id
    assert record["cause"]
    assert cause in (broken.root / "logs" / record["batch"] / "server.log").read_text()
    # The error that a person sees names the cause and the log.
    slurm_log = next((broken.folder / "results/slurm_logs").rglob(f"{jobs[0].id}.log"))
    seen = broken.text() + slurm_log.read_text()
    assert cause in seen
    assert f"logs/{record['batch']}/server.log" in seen
    broken.nothing_left()
    figures("wrong path, 3 batches", broken)

    # Mended, the next run starts afresh.
    config = broken.folder / "config/config.yaml"
    config.write_text(config.read_text().replace("--fail path", ""))
    broken.edit_profile(lambda profile: profile.update(jobs=3))
    assert broken.run() == 0, broken.text()
    assert [life.state for life in lives(broken.jobs())] == ["COMPLETED"] * 3


def test_judge_that_is_never_healthy(campaign, figures):
    """It loads for ever: given up after ready_minutes, its process group is gone with it."""
    judge = {"ready_minutes": 0.1}
    broken = campaign(judge=judge, options="--load-seconds 3600 --deaf --litter")
    assert broken.run() == 1
    (job,) = lives(broken.jobs())
    assert job.state == "FAILED"
    assert job.elapsed < 300  # of 360; the clients wait a minute for siblings that may yet come
    (record,) = broken.batch_logs()
    assert "not ready after 0.1 minutes" in record["cause"]
    broken.nothing_left()
    figures("never healthy", broken)


def test_judge_that_is_killed(campaign, reference, figures):
    """The supervisor starts it again; clients ride it out; Slurm sees nothing of it."""
    struck = campaign()
    struck.start()
    struck.job()
    await_that(lambda: struck.judged() >= 12, "games in the journals")
    before = struck.judged()
    os.kill(process_of(struck, "tests/judge.py"), signal.SIGKILL)
    assert struck.wait() == 0, struck.text()
    assert states(struck) == ["COMPLETED"]
    again = struck.asked_again()
    # A call that was cut by SIGKILL is not in the judge's own log: asked twice, logged once.
    assert again <= PARALLEL
    assert struck.judgments() == reference
    (record,) = struck.batch_logs()
    assert len(record["restarts"]) == 1
    figures("judge killed", struck, games_before=before, asked_again=again)


def test_supervisor_that_is_killed(campaign, reference, figures):
    """The whole server is gone: the clients notice, the job fails, the retry does the rest."""
    struck = campaign()
    struck.start()
    struck.job()
    await_that(lambda: struck.judged() >= 12, "games in the journals")
    before = struck.judged()
    os.kill(process_of(struck, "judge_server.py"), signal.SIGKILL)
    assert struck.wait() == 0, struck.text()
    assert states(struck) == ["FAILED", "COMPLETED"]
    again = struck.asked_again()
    assert again <= PARALLEL
    assert struck.judgments() == reference
    struck.nothing_left()
    figures("supervisor killed", struck, games_before=before, asked_again=again)


def process_of(campaign: Campaign, script: str) -> int:
    """Process id of the one that runs a script; the shell that started it names it too."""
    for line in campaign.processes():
        pid, program, *rest = line.split()
        if "python" in program and any(word.endswith(script) for word in rest[:1]):
            return int(pid)
    raise AssertionError(f"no {script} among {json.dumps(campaign.processes(), indent=1)}")
