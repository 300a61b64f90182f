"""What clusters do to jobs, and that it costs only the games that were in flight.

Every test strikes the same campaign (60 games, one batch) in the middle, with a command of Slurm's,
and lets the one `snakemake --profile profiles/slurm` that runs it bring it to its end. Then: sacct
names the fault, no answered game was asked again, the judgments equal those of an undisturbed run,
and nothing is left on the node.
"""

import os
import signal
import time
from datetime import datetime

import pytest
from arena.client.deadline import LEAVE

from tests.slurm import cluster
from tests.slurm.campaign import Campaign, await_that, lives, sbatch, slurm, state
from tests.slurm.conftest import PARALLEL, ends_well

# sacct's state -> what batch.json may say of such an attempt.
KINDS = {
    "COMPLETED": {None},
    "TIMEOUT": {"walltime"},
    "FAILED": {"walltime", "killed", "stopped"},
    **{state: {"slurm"} for state in ("CANCELLED", "REQUEUED", "PREEMPTED", "NODE_FAIL")},
}


def logs_of_every_attempt(campaign: Campaign, restarts: int = 0) -> None:
    """The batch's folder tells each attempt's job, node, end and cause, and keeps its log."""
    attempts = campaign.attempts()
    jobs = lives(campaign.all_jobs())
    assert [attempt["slurm_job_id"] for attempt in attempts] == [job.id for job in jobs]
    assert [attempt["node"] for attempt in attempts] == [job.node for job in jobs]
    for attempt, job in zip(attempts, jobs, strict=True):
        assert attempt["start"] <= attempt["ready"] <= attempt["end"]
        assert attempt["kind"] in KINDS[job.state], attempt
    (batch,) = campaign.batches()
    ready = campaign.log(batch["batch"], "server.log").count("is ready")
    assert ready == len(attempts) + restarts
    assert sum(len(attempt["restarts"]) for attempt in attempts) == restarts


def end_of(attempt: dict) -> float:
    return datetime.fromisoformat(attempt["end"]).timestamp()


def test_walltime_in_the_middle(campaign, reference):
    """An operator shortens the limit, so that the batch cannot know of the end."""
    walltime = {"start_minutes": 3, "minutes_per_model": 1, "max_minutes": 10}
    struck = campaign(options="--slots 1 --seconds 2", config={"walltime": walltime})  # two minutes
    # So late does Snakemake look at the job, and a retry begin, in which the monitor can tell.
    struck.edit_profile({"slurm-init-seconds-before-status-checks": 150})
    struck.start()
    slurm("scontrol", "update", f"jobid={struck.in_the_middle()}", "timelimit=1")

    def wrong() -> str:
        return "\n".join(one["text"] for one in struck.monitor()["wrong"])

    await_that(lambda: "TIMEOUT" in wrong(), "the walltime in the monitor")
    ends_well(struck, reference, struck.judged())
    logs_of_every_attempt(struck)
    assert "SLURM status is: 'TIMEOUT'" in struck.text()
    first, second = lives(struck.jobs())
    assert (first.state, second.state) == ("TIMEOUT", "COMPLETED")
    # Shortened; and twice 3 + 3 * 1, were it not for the limit.
    assert (first.minutes, second.minutes) == (1, 10)


def test_a_batch_leaves_before_the_walltime(campaign, reference):
    """Games of more than a minute in a job of two: it stops asking, and loses nothing."""
    walltime = {"start_minutes": 1.4, "minutes_per_model": 0.2}
    struck = campaign(options="--slots 1 --seconds 1.2", config={"walltime": walltime})
    struck.start()
    assert struck.wait() == 0, struck.text()
    left = struck.attempts()[0]
    moment = end_of(left)
    before = sum(answered <= moment for answered in struck.answered().values())
    again = ends_well(struck, reference, before)
    logs_of_every_attempt(struck)
    first, second = lives(struck.jobs())
    assert (first.state, second.state) == ("FAILED", "COMPLETED")
    assert (first.minutes, second.minutes) == (2, 4)
    assert first.elapsed < 2 * 60
    assert again == 0
    calls = [call for call in struck.requests() if call["in"] < moment]
    assert len(calls) == before  # each game that was begun was finished and is in a journal
    assert left["kind"] == "walltime"


def test_walltime_of_a_minute(campaign):
    """Too short for a game: nothing is begun that could not end; the retry has two minutes."""
    walltime = {"start_minutes": 0.5, "minutes_per_model": 0.1}
    options = "--slots 2 --seconds 12"
    struck = campaign(questions=1, options=options, config={"walltime": walltime})  # 36 s
    assert struck.run() == 0, struck.text()
    first, second, *_ = lives(struck.jobs())
    assert (first.state, first.minutes, second.minutes) == ("FAILED", 1, 2)
    assert struck.attempts()[0]["kind"] == "walltime"
    assert "the job ends" in struck.text()
    # Nothing was begun in the minute; on a slow machine, the retry may have had to cut games.
    assert min(call["in"] for call in struck.requests()) > end_of(struck.attempts()[0])
    assert struck.asked_again() <= PARALLEL
    assert struck.judged() == 6
    struck.nothing_left()


def extend(struck: Campaign, job: str) -> None:
    """An administrator gives more time to a batch that would have had to leave."""
    slurm("scontrol", "update", f"jobid={job}", "timelimit=10")


def suspend(struck: Campaign, job: str) -> None:
    slurm("scontrol", "suspend", job)
    await_that(lambda: state(job) == "SUSPENDED", "the suspension")
    before, began = struck.judged(), time.time()
    await_that(lambda: time.time() - began > 75, "75 seconds of standing still")
    assert struck.judged() <= before + 1
    slurm("scontrol", "resume", job)


@pytest.mark.parametrize(
    ("minutes", "strike", "limit"),
    [
        (1.7, extend, 10),
        (2.7, suspend, 3),  # the time that it stood still is given back
    ],
)
def test_more_time(campaign, reference, minutes, strike, limit):
    walltime = {"start_minutes": minutes, "minutes_per_model": 0.1}
    struck = campaign(options="--slots 1 --seconds 1.5", config={"walltime": walltime})  # 90 s
    struck.start()
    strike(struck, struck.in_the_middle())
    again = ends_well(struck, reference, struck.judged())
    logs_of_every_attempt(struck)
    (life,) = lives(struck.jobs())
    assert (life.state, life.minutes) == ("COMPLETED", limit)
    if strike is extend:
        assert life.elapsed > 2 * 60 - LEAVE
        assert again == 0


def hang_up(struck: Campaign, job: str) -> None:
    os.kill(struck.process_of("gen_judgment.py"), signal.SIGHUP)


def kill_batch(struck: Campaign, job: str) -> None:
    os.kill(struck.process_of("gen_judgment.py"), signal.SIGKILL)


def kill_judge(struck: Campaign, job: str) -> None:
    """It is started again, which the batch rides out; Slurm sees nothing of it."""
    os.kill(struck.process_of("tests/judge.py"), signal.SIGKILL)


def cancel(struck: Campaign, job: str) -> None:
    slurm("scancel", job)


def requeue(struck: Campaign, job: str) -> None:
    slurm("scontrol", "requeue", job)
    hurry(struck, job)


def preempt(struck: Campaign, job: str) -> None:
    """Take all GPUs of its node with a job of higher priority."""
    (life,) = lives([job])
    gpus = f"--gres=gpu:{cluster.GPUS}"
    taker = sbatch("-p", "high", "-w", life.node, gpus, "-t", "10", "--wrap", "sleep 600")
    try:
        await_that(lambda: "PREEMPTED" in struck.states(), "the preemption")
    finally:
        slurm("scancel", taker)
    if life.partition == "low":  # where preemption cancels, Snakemake submits another job
        hurry(struck, job)


def take_node_down(struck: Campaign, job: str) -> None:
    (life,) = lives([job])
    slurm("scontrol", "update", f"nodename={life.node}", "state=down", "reason=test")
    try:
        await_that(lambda: "NODE_FAIL" in struck.states(), "the node's end")
    finally:
        slurm("scontrol", "update", f"nodename={life.node}", "state=resume", check=False)


def take_node_down_and_requeue(struck: Campaign, job: str) -> None:
    take_node_down(struck, job)
    # A node that came back at once may still refuse the job that it has just lost.
    slurm("scontrol", "update", f"jobid={job}", f"excnodelist={lives([job])[0].node}")
    hurry(struck, job)


def hurry(campaign: Campaign, job: str) -> None:
    """Slurm holds a job that comes back for two minutes; an operator can let it go at once."""

    def is_back() -> bool:
        shown = slurm("scontrol", "show", "job", job)
        waits = "JobState=PENDING" in shown and not campaign.processes()
        return "Restarts=1" in shown and (waits or "JobState=RUNNING" in shown)

    await_that(is_back, "the job back in the queue, or running again")
    slurm("scontrol", "update", f"jobid={job}", "starttime=now", check=False)


def partition(name: str, **resources) -> dict:
    """What of the profile differs for a job in a partition."""
    different = {"default-resources": {"slurm_partition": name}}
    return different | {"set-resources": {"gen_judgment": resources}}


# All GPUs of a node, so that the two tests have a node each.
FRAIL = partition("frail", gpu=cluster.GPUS)
NO_REQUEUE = FRAIL | {"slurm-requeue": None, "slurm-no-requeue": True}


@pytest.mark.parametrize(
    ("strike", "states", "jobs", "profile"),
    [
        (kill_judge, ["COMPLETED"], 1, {}),
        (kill_batch, ["FAILED", "COMPLETED"], 2, {}),
        (hang_up, ["FAILED", "COMPLETED"], 2, {}),
        (cancel, ["CANCELLED", "COMPLETED"], 2, {}),
        # Slurm's business, one job: no retry of Snakemake's.
        (requeue, ["REQUEUED", "COMPLETED"], 1, {}),
        (preempt, ["PREEMPTED", "COMPLETED"], 1, partition("low")),
        (preempt, ["PREEMPTED", "COMPLETED"], 2, partition("scavenge")),
        (take_node_down_and_requeue, ["NODE_FAIL", "COMPLETED"], 1, FRAIL),
        (take_node_down, ["NODE_FAIL", "COMPLETED"], 2, NO_REQUEUE),
    ],
)
def test_struck_in_the_middle(campaign, reference, strike, states, jobs, profile):
    struck = campaign()
    struck.edit_profile(profile)
    struck.start()
    job = struck.in_the_middle()
    before = struck.judged()
    strike(struck, job)
    ends_well(struck, reference, before)
    assert struck.states() == states
    assert len(struck.jobs()) == jobs
    logs_of_every_attempt(struck, restarts=1 if strike is kill_judge else 0)
    if strike is kill_batch:
        assert struck.attempts()[0]["kind"] == "killed"
    if strike is hang_up:
        assert "SIGHUP" in struck.attempts()[0]["cause"]
