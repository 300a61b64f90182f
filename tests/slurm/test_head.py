"""The main process: killed and started again, as a Slurm job itself, and stopping a campaign."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.slurm.campaign import (
    ENOUGH,
    LATER,
    PROJECT,
    WHOLE_S,
    Campaign,
    await_that,
    ends_as,
    has_ended,
    holders_of_locks,
    lives,
    sbatch,
    slurm,
    start_now,
    state,
)
from tests.slurm.conftest import GAMES, ends_well


def test_killed_and_started_again(campaign, reference):
    """Its jobs run on; the new run's job of the same batch waits, and launches no judge."""
    struck = campaign(hold=ENOUGH)
    struck.start()
    job = struck.in_the_middle()
    before = struck.judged()
    struck.kill()
    assert struck.run() == 1  # "Directory cannot be locked"
    assert "--unlock" in struck.text()
    assert struck.run("--unlock") == 0
    struck.start()
    await_that(lambda: waiting_for(struck, job) == set(struck.names), "the second job waiting")
    assert ends_well(struck, reference, before) == 0
    first, second = lives(struck.all_jobs())
    assert (first.state, second.state) == ("COMPLETED", "COMPLETED")
    assert len(struck.requests()) == GAMES
    one, other = struck.attempts()
    assert (one["slurm_job_id"], other["slurm_job_id"]) == (first.id, second.id)
    assert other["start"] < one["end"] <= other["end"]
    assert one["launched"] and not other["launched"]


def test_two_nodes_play_the_same_models(campaign, reference):
    """Jobs of two runs, each on its node: one waits for the other, and goes on when that dies."""
    struck = campaign(hold=ENOUGH)
    struck.ask_for(slurm_extra="'--nodelist=n1'")
    struck.start()
    first = struck.in_the_middle()
    struck.kill(signal.SIGHUP)  # its terminal was closed
    assert struck.run("--unlock") == 0
    struck.ask_for(slurm_extra="'--nodelist=n2'")
    struck.start()
    second = struck.job()
    await_that(lambda: waiting_for(struck, first) == set(struck.names), "the second job waiting")
    # sacct is late, and while the accounting is away (test_outages) it knows nothing new.
    await_that(lambda: {state(first), state(second)} == {"RUNNING"}, "both jobs running")
    # So nothing depends on whether flock does anything.
    assert not holders_of_locks() & struck.processes().keys()
    before = struck.judged()
    slurm("scancel", first)
    await_that(lambda: first not in struck.queued(), "the end of the first job")
    ends_well(struck, reference, before)
    jobs = lives([first, second])
    assert [(job.state, job.node) for job in jobs] == [("CANCELLED", "n1"), ("COMPLETED", "n2")]


def waiting_for(campaign: Campaign, job: str) -> set[str]:
    """Models that a batch says it waits for another job's games of."""
    logs = "".join(campaign.log(batch["batch"]) for batch in campaign.batches())
    words = rf"(\S+): waiting: .*Slurm job {job} is working on this model"
    return set(re.findall(words, logs))


def test_killed_with_jobs_in_the_queue(campaign):
    """A job that starts after its head has died does its work; the next run has nothing to ask."""
    struck = campaign(models=1)
    struck.ask_for(slurm_extra=LATER)
    struck.start()
    job = struck.job()
    struck.kill()
    assert state(job) == "PENDING"
    start_now(job)
    await_that(lambda: has_ended(job), "the orphan's end", WHOLE_S)
    assert state(job) == "COMPLETED"
    assert struck.judged() == 20
    assert struck.run("--unlock") == 0
    struck.ask_for(slurm_extra=None)
    assert struck.run() == 0, struck.text()
    assert len(struck.requests()) == 20


def test_stopped_from_outside(campaign, tmp_path):
    """The command of docs/slurm.md: Snakemake and its jobs end; another campaign, and other jobs of
    the user, go on.

    Typed in a folder that was entered through a link, and whose name holds a blank.
    """
    page = (PROJECT / "docs/slurm.md").read_text()
    (command,) = re.findall(r"^\*\*See and stop this campaign.*?```\n(.*?)```", page, re.M | re.S)
    activated = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def stop(link: str) -> str:
        given = {"shell": True, "text": True, "env": os.environ | activated}
        return subprocess.check_output(f"cd {tmp_path / link}\n{command}", **given)

    none_of_ours = sbatch("-t", "120", "--wrap", "sleep 7200")
    other, struck = campaign("other", hold=ENOUGH), campaign("my campaign", hold=ENOUGH)
    for one, link in ((other, "to_other"), (struck, "to_struck")):
        (tmp_path / link).symlink_to(one.folder)
        one.start()
    spared, job = other.in_the_middle(), struck.in_the_middle()
    assert job in stop("to_struck")
    assert struck.wait() == 1
    ends_as(job, "CANCELLED")
    struck.nothing_left()
    assert other.queued() == [spared] and other.process.poll() is None
    assert job not in stop("to_struck"), "again it is harmless"
    # Of a dead Snakemake the jobs alone are left.
    other.kill()
    assert spared in stop("to_other")
    ends_as(spared, "CANCELLED")
    assert state(none_of_ours) in ("PENDING", "RUNNING")
    slurm("scancel", none_of_ours)


def test_interrupted(campaign):
    """Ctrl-C cancels the campaign's jobs by itself."""
    struck = campaign(hold=ENOUGH)
    struck.start()
    job = struck.in_the_middle()
    struck.process.send_signal(signal.SIGINT)
    assert struck.wait() == 1
    ends_as(job, "CANCELLED")
    struck.nothing_left()


def test_terminated(campaign):
    """SIGTERM submits nothing more and waits for the jobs that run."""
    struck = campaign(models=2, config={"batch_size": 1}, hold=ENOUGH)
    struck.edit_profile({"jobs": 1})
    struck.start()
    job = struck.in_the_middle()
    struck.process.send_signal(signal.SIGTERM)
    await_that(lambda: "Will exit after finishing" in struck.text(), "the signal heard")
    struck.go()
    assert struck.wait() == 1
    assert struck.jobs() == [job]  # and not the second batch's
    assert state(job) == "COMPLETED"
    assert sorted(len(struck.games(model)) for model in struck.names) == [0, 20]
    struck.nothing_left()
    # The next run publishes what is made, and has one batch to play.
    assert struck.run() == 0, struck.text()
    assert [life.state for life in lives(struck.jobs())] == ["COMPLETED"]
    assert [len(lines) for lines in struck.judgments().values()] == [10, 10]
    assert len(struck.requests()) == 40


def test_interrupted_while_it_asks_for_states(campaign, tmp_path):
    """Snakemake itself forgets the jobs that it is asking about, and leaves them running."""
    asks, go_on = tmp_path / "asks", tmp_path / "go_on"
    slow = tmp_path / "sacct"
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *JobIdRaw,State*) touch {asks}\n'
        f'until [ -e {go_on} ]; do sleep 0.1; done;; esac\nexec {shutil.which("sacct")} "$@"\n'
    )
    slow.chmod(0o755)
    struck = campaign(hold=ENOUGH)
    struck.start(PATH=f"{tmp_path}:{os.environ['PATH']}")
    job = struck.in_the_middle()
    asks.unlink(missing_ok=True)  # the workflow's own sacct gives up after 35 s
    await_that(asks.exists, "a new question for states")
    struck.process.send_signal(signal.SIGINT)
    await_that(lambda: "Terminating processes" in struck.text(), "the interrupt heard")
    go_on.touch()
    assert struck.wait() == 1
    ends_as(job, "CANCELLED")
    struck.nothing_left()


def test_as_a_slurm_job(campaign, reference, tmp_path):
    """SLURM_* variables of the head's own job do not reach the jobs that it submits."""
    inner = campaign()
    script = tmp_path / "head.sh"
    command = f"exec {' '.join(inner.command())} > snakemake.1.out 2>&1"
    script.write_text(f"#!/bin/sh\ncd {inner.folder}\n{command}\n")
    inner.runs = 1
    head = sbatch("--cpus-per-task=1", "--mem=2G", "-t", "60", "-N", "1", "-n", "1", str(script))
    await_that(lambda: has_ended(head), "the head's end", WHOLE_S)
    assert state(head) == "COMPLETED", inner.text()
    (job,) = lives(inner.jobs())
    assert (job.state, job.gpus, job.cores, job.memory) == ("COMPLETED", 2, 8, "62.50G")
    assert inner.judgments() == reference
    inner.nothing_left()
