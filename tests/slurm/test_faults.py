"""What clusters do to jobs, and that it costs only the games that were in flight.

Every test strikes the same campaign (60 games, one batch) in the middle, with a command of Slurm's.
The middle lasts until that has had its effect, because the judge holds games back. The one
`snakemake --profile profiles/slurm` that runs it then brings it to its end: sacct names the fault,
no answered game was asked again, the judgments equal those of an undisturbed run, and nothing is
left on the node.
"""

import os
import signal
import time
from datetime import datetime

import psutil
import pytest
from arena.client.deadline import LEAVE

from tests.slurm import cluster
from tests.slurm.campaign import ENOUGH, Campaign, await_that, lives, sbatch, slurm, state
from tests.slurm.conftest import ends_well

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
        # The accounting, by which an end may be known, has whole seconds.
        start, ready, end = (attempt[key][:19] for key in ("start", "ready", "end"))
        assert start <= ready <= end
        assert attempt["kind"] in KINDS[job.state], attempt
    (batch,) = campaign.batches()
    ready = campaign.log(batch["batch"], "server.log").count("is ready")
    assert ready == len(attempts) + restarts
    assert sum(len(attempt["restarts"]) for attempt in attempts) == restarts


def start_of(attempt: dict) -> float:
    return datetime.fromisoformat(attempt["start"]).timestamp()


def test_walltime_in_the_middle(campaign, reference):
    """An operator shortens the limit, so that the batch cannot know of the end."""
    walltime = {"start_minutes": 20, "minutes_per_model": 1, "max_minutes": 30}
    struck = campaign(hold=ENOUGH, config={"walltime": walltime})
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
    # Shortened; and twice 20 + 3 * 1, were it not for the limit.
    assert (first.minutes, second.minutes) == (1, 30)


def test_a_batch_leaves_before_the_walltime(campaign, reference):
    """Games that are still open when the end is near: it stops asking, and the retry goes on."""
    walltime = {"start_minutes": 2.4, "minutes_per_model": 0.2}
    struck = campaign(hold=ENOUGH, config={"walltime": walltime})
    struck.start()
    struck.in_the_middle()
    before = struck.judged()
    (batch,) = struck.batches()
    await_that(lambda: "no more are sent" in struck.log(batch["batch"]), "the end of asking")
    ends_well(struck, reference, before)  # held back, all would be played in a moment now
    # Of a start that took all of the time, there may be one more.
    *left, last = lives(struck.jobs())
    assert left and {life.state for life in left} == {"FAILED"}
    assert last.state == "COMPLETED"
    assert all(life.elapsed < 60 * life.minutes for life in left)
    assert [life.minutes for life in (*left, last)] == [3, 6, 9][: len(left) + 1]
    assert [one["kind"] for one in struck.attempts()] == ["walltime"] * len(left) + [None]


def test_walltime_of_a_minute(campaign):
    """Too short for a game: nothing is begun that could not end; the retry has three minutes."""
    walltime = {"start_minutes": 1.1, "minutes_per_model": 0.1}  # 1.4, as 1; twice that, as 3
    struck = campaign(questions=1, config={"walltime": walltime, "retries": 4})
    assert struck.run() == 0, struck.text()
    first, second, *_ = lives(struck.jobs())
    assert (first.minutes, second.minutes) == (1, 3)
    assert first.state in ("FAILED", "TIMEOUT")  # TIMEOUT: programs took a minute to start
    kinds = [one["kind"] for one in struck.attempts() if one["slurm_job_id"] == first.id]
    assert kinds == ["walltime"] or (kinds == [] and first.state == "TIMEOUT")
    later = [start_of(one) for one in struck.attempts() if one["slurm_job_id"] != first.id]
    assert min(call["in"] for call in struck.requests()) > min(later)
    assert struck.judged() == 6
    struck.nothing_left()


def extend(struck: Campaign, job: str) -> None:
    """An administrator gives more time to a batch that would have had to leave."""
    slurm("scontrol", "update", f"jobid={job}", "timelimit=30")


def suspend(struck: Campaign, job: str) -> None:
    """Until it would have had to leave; the time that it stood still is given back."""
    slurm("scontrol", "suspend", job)
    await_that(lambda: state(job) == "SUSPENDED", "the suspension")
    leave_at = start_of(struck.attempts()[0]) + 4 * 60 - LEAVE
    await_that(lambda: time.time() > leave_at, "standing still")
    slurm("scontrol", "resume", job)


@pytest.mark.parametrize(("strike", "limit"), [(extend, 30), (suspend, 4)])
def test_more_time(campaign, reference, strike, limit):
    walltime = {"start_minutes": 3.7, "minutes_per_model": 0.1}
    struck = campaign(hold=ENOUGH, config={"walltime": walltime})
    struck.start()
    job = struck.job()
    # From here on it knows of the end.
    await_that(lambda: [one for one in struck.attempts() if one["launched"]], "the judge launched")
    strike(struck, job)
    (batch,) = struck.batches()
    await_that(lambda: "given more time" in struck.log(batch["batch"]), "more time")
    struck.in_the_middle()
    assert ends_well(struck, reference, struck.judged()) == 0
    logs_of_every_attempt(struck)
    (life,) = lives(struck.jobs())
    assert (life.state, life.minutes) == ("COMPLETED", limit)


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
    await_that(lambda: "REQUEUED" in struck.states(), "the accounting of the requeue")
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
        # A node that comes back may still refuse the job that it has just lost.
        slurm("scontrol", "update", f"jobid={job}", f"excnodelist={life.node}", check=False)
    finally:
        slurm("scontrol", "update", f"nodename={life.node}", "state=resume", check=False)


def take_node_down_and_requeue(struck: Campaign, job: str) -> None:
    take_node_down(struck, job)
    hurry(struck, job)


def hurry(campaign: Campaign, job: str) -> None:
    """Slurm holds a job that comes back for two minutes; an operator can let it go at once."""

    def is_back() -> bool:
        shown = slurm("scontrol", "show", "job", job)
        waits = "JobState=PENDING" in shown and not campaign.processes()
        return "Restarts=0" not in shown and (waits or "JobState=RUNNING" in shown)

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
    struck = campaign(hold=ENOUGH)
    struck.edit_profile(profile)
    struck.start()
    job = struck.in_the_middle()
    before = struck.judged()
    program = "tests/judge.py" if strike is kill_judge else "gen_judgment.py"
    dying = psutil.Process(struck.process_of(program))
    await_that(lambda: state(job) == "RUNNING", "the accounting of its start")
    strike(struck, job)
    await_that(lambda: not dying.is_running(), "the end of what was struck")
    ends_well(struck, reference, before)
    assert struck.states() == states
    assert len(struck.jobs()) == jobs
    logs_of_every_attempt(struck, restarts=1 if strike is kill_judge else 0)
    if strike is kill_batch:
        assert struck.attempts()[0]["kind"] == "killed"
    if strike is hang_up:
        assert "SIGHUP" in struck.attempts()[0]["cause"]
