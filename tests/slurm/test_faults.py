"""What clusters do to jobs, and that it costs only the games that were in flight.

Every test strikes the same campaign (60 games, one batch) in the middle, with a command of Slurm's,
and lets the one `snakemake --profile profiles/slurm` that runs it bring it to its end. Then: sacct
names the fault, no answered game was asked again, the judgments equal those of an undisturbed run,
and nothing is left on the node.
"""

import os
import signal
import time

import pytest
from arena.client.deadline import LEAVE

from tests.slurm import cluster
from tests.slurm.campaign import Campaign, await_that, lives, slurm, state
from tests.slurm.conftest import PARALLEL

GAMES = 60

# sacct's state -> what batch.json may say of such an attempt.
BY_SLURM = {"slurm"}
KINDS = {
    "COMPLETED": {None},
    "TIMEOUT": {"walltime"},
    "FAILED": {"walltime", "killed", "stopped"},
    **dict.fromkeys(("CANCELLED", "REQUEUED", "PREEMPTED", "NODE_FAIL"), BY_SLURM),
}
ENOUGH = 12  # games in the journals before a fault strikes: it has to be in the middle


def in_the_middle(campaign: Campaign) -> str:
    """Wait until the first job plays and has journaled games; its id."""
    job = campaign.job()
    await_that(lambda: campaign.judged() >= ENOUGH, "games in the journals")
    return job


def ends_well(campaign: Campaign, reference: dict, before: int) -> dict:
    """Wait for the campaign's end and check it; what it cost."""
    assert campaign.wait() == 0, campaign.text()
    again = campaign.asked_again()
    assert ENOUGH <= before < GAMES
    assert again <= PARALLEL  # no more than were open when the fault struck
    assert campaign.replies() - GAMES <= PARALLEL
    assert campaign.judged() == GAMES  # no game is in the journals twice
    assert campaign.judgments() == reference
    campaign.nothing_left()
    logs_of_every_attempt(campaign)
    return {"games_before": before, "asked_again": again}


def logs_of_every_attempt(campaign: Campaign) -> None:
    """The batch's folder tells each attempt's job, node, end and cause, and keeps its log."""
    attempts = campaign.attempts()
    jobs = lives(campaign.all_jobs())
    assert [attempt["slurm_job_id"] for attempt in attempts] == [job.id for job in jobs]
    assert [attempt["node"] for attempt in attempts] == [job.node for job in jobs]
    for attempt, job in zip(attempts, jobs, strict=True):
        assert attempt["start"] <= attempt["ready"] <= attempt["end"]
        assert attempt["kind"] in KINDS[job.state], attempt
    (batch,) = campaign.batches()
    assert campaign.log(batch["batch"], "server.log").count("is ready") == len(attempts)


def problems(campaign: Campaign) -> str:
    """What the monitor says is wrong."""
    return "\n".join(one["text"] for one in campaign.monitor()["wrong"])


def strike(campaign: Campaign, *command: str) -> int:
    """Run a command; how many games were in the journals by then."""
    before = campaign.judged()
    slurm(*command)
    return before


def states(campaign: Campaign) -> list[str]:
    return [life.state for life in lives(campaign.all_jobs())]


def test_walltime_in_the_middle(campaign, reference, figures):
    """An operator shortens the limit, so that the batch cannot know of the end."""
    walltime = {"start_minutes": 3, "minutes_per_model": 1, "max_minutes": 10}
    struck = campaign(options="--slots 1 --seconds 2", config={"walltime": walltime})  # two minutes
    struck.start()
    slurm("scontrol", "update", f"jobid={in_the_middle(struck)}", "timelimit=1")
    await_that(lambda: "TIMEOUT" in problems(struck), "the walltime in the monitor")
    before = struck.judged()
    cost = ends_well(struck, reference, before)
    assert "SLURM status is: 'TIMEOUT'" in struck.text()
    first, second = lives(struck.jobs())
    assert (first.state, second.state) == ("TIMEOUT", "COMPLETED")
    assert (first.minutes, second.minutes) == (
        1,
        10,
    )  # shortened; twice 3 + 3 * 1, were it not for the limit
    figures("walltime", struck, **cost)


def test_a_batch_leaves_before_the_walltime(campaign, reference, figures):
    """Games of more than a minute in a job of two: it stops asking, and loses nothing."""
    walltime = {"start_minutes": 1.4, "minutes_per_model": 0.2}
    struck = campaign(options="--slots 1 --seconds 1.2", config={"walltime": walltime})
    struck.start()
    struck.job()
    await_that(lambda: "FAILED" in states(struck), "the job's end")
    moment, before = time.time(), struck.judged()
    cost = ends_well(struck, reference, before)
    first, second = lives(struck.jobs())
    assert (first.state, second.state) == ("FAILED", "COMPLETED")
    assert (first.minutes, second.minutes) == (2, 4)
    assert first.elapsed < 2 * 60
    assert cost["asked_again"] == 0
    calls = [call for call in struck.requests() if call["in"] < moment]
    assert len(calls) == before  # each game that was begun was finished and is in a journal
    assert struck.attempts()[0]["kind"] == "walltime"
    figures("walltime, left before", struck, **cost)


def test_walltime_of_a_minute(campaign, figures):
    """Too short for a game: nothing is begun that could not end; the retry has two minutes."""
    walltime = {"start_minutes": 0.5, "minutes_per_model": 0.1}
    options = "--slots 2 --seconds 12"
    struck = campaign(questions=1, options=options, config={"walltime": walltime})  # 36 s
    assert struck.run() == 0, struck.text()
    first, second, *_ = lives(struck.jobs())
    assert (first.state, first.minutes, second.minutes) == ("FAILED", 1, 2)
    assert struck.attempts()[0]["kind"] == "walltime"
    assert "the job ends" in struck.text()
    assert struck.asked_again() == 0
    assert struck.judged() == 6
    struck.nothing_left()
    figures("walltime of a minute", struck)


def test_walltime_extended(campaign, reference, figures):
    """An administrator gives more time to a batch that would have had to leave."""
    walltime = {"start_minutes": 1.7, "minutes_per_model": 0.1}
    struck = campaign(options="--slots 1 --seconds 1.5", config={"walltime": walltime})  # 90 s
    struck.start()
    job = in_the_middle(struck)
    before = strike(struck, "scontrol", "update", f"jobid={job}", "timelimit=10")
    cost = ends_well(struck, reference, before)
    (life,) = lives(struck.jobs())
    assert (life.state, life.minutes) == ("COMPLETED", 10)
    assert life.elapsed > 2 * 60 - LEAVE
    assert cost["asked_again"] == 0
    figures("walltime extended", struck, **cost)


def test_suspended_and_resumed(campaign, reference, figures):
    """The time that it stood still is given back: its games go on after its first end."""
    walltime = {"start_minutes": 2.7, "minutes_per_model": 0.1}
    struck = campaign(options="--slots 1 --seconds 1.5", config={"walltime": walltime})  # 90 s
    struck.start()
    job = in_the_middle(struck)
    slurm("scontrol", "suspend", job)
    await_that(lambda: state(job) == "SUSPENDED", "the suspension")
    before, began = struck.judged(), time.time()
    await_that(lambda: time.time() - began > 75, "75 seconds of standing still")
    assert struck.judged() <= before + 1
    slurm("scontrol", "resume", job)
    cost = ends_well(struck, reference, struck.judged())
    (life,) = lives(struck.jobs())
    assert (life.state, life.minutes) == ("COMPLETED", 3)
    figures("suspended", struck, **cost)


def test_hangup_of_the_batch(campaign, reference, figures):
    struck = campaign()
    struck.start()
    in_the_middle(struck)
    before = struck.judged()
    os.kill(struck.process_of("gen_judgment.py"), signal.SIGHUP)
    cost = ends_well(struck, reference, before)
    assert states(struck) == ["FAILED", "COMPLETED"]
    assert "SIGHUP" in struck.attempts()[0]["cause"]
    figures("SIGHUP to the batch", struck, **cost)


def test_cancelled(campaign, reference, figures):
    struck = campaign()
    struck.start()
    job = in_the_middle(struck)
    before = strike(struck, "scancel", job)
    cost = ends_well(struck, reference, before)
    assert states(struck) == ["CANCELLED", "COMPLETED"]
    figures("scancel", struck, **cost)


def test_requeued(campaign, reference, figures):
    struck = campaign()
    struck.start()
    job = in_the_middle(struck)
    before = strike(struck, "scontrol", "requeue", job)
    hurry(struck, job)
    cost = ends_well(struck, reference, before)
    assert states(struck) == ["REQUEUED", "COMPLETED"]
    assert struck.jobs() == [job]  # Slurm's business: no retry of Snakemake's
    figures("requeue", struck, **cost)


def test_preempted_and_requeued(campaign, reference, figures, preemptor):
    struck = campaign()
    in_partition(struck, "low")
    struck.start()
    job = in_the_middle(struck)
    before = struck.judged()
    taker = preemptor("n3")
    await_that(lambda: "PREEMPTED" in states(struck), "the preemption")
    slurm("scancel", taker)
    hurry(struck, job)
    cost = ends_well(struck, reference, before)
    assert states(struck) == ["PREEMPTED", "COMPLETED"]
    assert struck.jobs() == [job]
    figures("preempted", struck, **cost)


def test_preempted_and_cancelled(campaign, reference, figures, preemptor):
    """Where preemption cancels, the job does not come back, and Snakemake has to submit another."""
    struck = campaign()
    in_partition(struck, "scavenge")
    struck.start()
    in_the_middle(struck)
    before = struck.judged()
    taker = preemptor("n6")
    await_that(lambda: "PREEMPTED" in states(struck), "the preemption")
    slurm("scancel", taker)
    cost = ends_well(struck, reference, before)
    assert states(struck) == ["PREEMPTED", "COMPLETED"]
    assert len(struck.jobs()) == 2
    figures("preempted, cancelled", struck, **cost)


@pytest.fixture
def frail_nodes():
    yield
    slurm("scontrol", "update", "nodename=n[4-5]", "state=resume", check=False)


@pytest.mark.parametrize("requeue", [True, False], ids=["requeue", "no-requeue"])
def test_node_down(campaign, reference, figures, frail_nodes, requeue):
    struck = campaign()
    in_partition(struck, "frail")
    # All GPUs of a node, so that the two of these tests have a node each.
    struck.edit_profile(
        lambda profile: profile["set-resources"]["gen_judgment"].update(gpu=cluster.GPUS)
    )
    if not requeue:
        struck.edit_profile(lambda profile: profile.pop("slurm-requeue"))
        struck.edit_profile(lambda profile: profile.update({"slurm-no-requeue": True}))
    struck.start()
    job = in_the_middle(struck)
    node = lives([job])[0].node
    update = ("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    before = strike(struck, *update)
    await_that(lambda: "NODE_FAIL" in states(struck), "the node's end")
    if requeue:
        # A node that came back at once may still refuse the job that it has just lost.
        slurm("scontrol", "update", f"jobid={job}", f"excnodelist={node}")
        hurry(struck, job)
    cost = ends_well(struck, reference, before)
    assert states(struck) == ["NODE_FAIL", "COMPLETED"]
    assert len(struck.jobs()) == (1 if requeue else 2)
    figures(f"node down, {'requeue' if requeue else 'no requeue'}", struck, **cost)


def in_partition(campaign: Campaign, name: str) -> None:
    asked = {"default-resources": {"slurm_partition": name}}
    campaign.edit_profile(lambda profile: profile.update(asked))


def hurry(campaign: Campaign, job: str) -> None:
    """Slurm holds a job that comes back for two minutes; an operator can let it go at once."""

    def waits() -> bool:
        shown = slurm("scontrol", "show", "job", job)
        return "JobState=PENDING" in shown and "Reason=BeginTime" in shown

    await_that(lambda: waits() and not campaign.processes(), "the job back in the queue")
    slurm("scontrol", "update", f"jobid={job}", "starttime=now")
