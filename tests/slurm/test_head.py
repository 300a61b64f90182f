"""The main process: killed and started again, as a Slurm job itself, and stopping a campaign."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.slurm.campaign import (
    LATER,
    PROJECT,
    WHOLE_S,
    Campaign,
    await_that,
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
    # Two minutes, so that the first job outlives two starts.
    struck = campaign(options="--slots 1 --seconds 2")
    struck.start()
    struck.in_the_middle()
    before = struck.judged()
    struck.kill()
    assert struck.run() == 1  # "Directory cannot be locked"
    assert "--unlock" in struck.text()
    assert struck.run("--unlock") == 0
    struck.start()
    assert ends_well(struck, reference, before) == 0
    first, second = lives(struck.all_jobs())
    assert (first.state, second.state) == ("COMPLETED", "COMPLETED")
    assert len(struck.requests()) == GAMES
    (batch,) = struck.batches()
    assert f"Slurm job {first.id} " in struck.log(batch["batch"])
    one, other = struck.attempts()
    assert (one["slurm_job_id"], other["slurm_job_id"]) == (first.id, second.id)
    assert other["start"] < one["end"] <= other["end"]
    assert one["launched"] and not other["launched"]


def test_two_nodes_play_the_same_models(campaign, reference):
    """Jobs of two runs, each on its node: one waits for the other, and goes on when that dies."""
    struck = campaign(options="--slots 1 --seconds 2")  # two minutes
    struck.ask_for(slurm_extra="'--nodelist=n1'")
    struck.start()
    first = struck.in_the_middle()
    struck.kill(signal.SIGHUP)  # its terminal was closed
    assert struck.run("--unlock") == 0
    struck.ask_for(slurm_extra="'--nodelist=n2'")
    struck.start()
    second = struck.job()
    await_that(lambda: waiting_for(struck, first) == set(struck.names), "the second job waiting")
    assert (state(first), state(second)) == ("RUNNING", "RUNNING")
    # So nothing depends on whether flock does anything.
    assert not holders_of_locks() & struck.processes().keys()
    before = struck.judged()
    slurm("scancel", first)
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
    struck = campaign(models=1, options="")
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


def test_stop_this_campaign_only(campaign, tmp_path):
    """The command of docs/slurm.md, after the head has died; another job of the user's lives on.

    Typed in a folder that was entered through a link, and whose name holds a blank.
    """
    page = (PROJECT / "docs/slurm.md").read_text()
    (command,) = re.findall(r"^\*\*See and stop this campaign.*?```\n(.*?)```", page, re.M | re.S)
    other = sbatch("-t", "20", "--wrap", "sleep 1000")
    struck = campaign("my campaign")
    struck.start()
    job = struck.in_the_middle(1)
    struck.kill()
    link = tmp_path / "link"
    link.symlink_to(struck.folder)
    activated = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(f"cd {link}\n{command}", shell=True, check=True, env=os.environ | activated)
    await_that(lambda: state(job) == "CANCELLED", "the end of the campaign's job")
    assert state(other) in ("PENDING", "RUNNING")
    slurm("scancel", other)
    struck.nothing_left()


def test_interrupted(campaign):
    """Ctrl-C cancels the campaign's jobs by itself."""
    struck = campaign()
    struck.start()
    job = struck.in_the_middle(1)
    struck.process.send_signal(signal.SIGINT)
    assert struck.wait() == 1
    await_that(lambda: state(job) == "CANCELLED", "the end of the campaign's job")
    struck.nothing_left()


def test_terminated(campaign):
    """SIGTERM submits nothing more and waits for the jobs that run."""
    struck = campaign(models=2, config={"batch_size": 1}, options="--slots 1 --seconds 1")
    struck.edit_profile({"jobs": 1})
    struck.start()
    job = struck.in_the_middle(1)
    struck.process.send_signal(signal.SIGTERM)
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
    struck = campaign()
    struck.start(PATH=f"{tmp_path}:{os.environ['PATH']}")
    job = struck.in_the_middle(1)
    await_that(asks.exists, "the question for states")
    struck.process.send_signal(signal.SIGINT)
    await_that(lambda: "Terminating processes" in struck.text(), "the interrupt heard")
    go_on.touch()
    assert struck.wait() == 1
    await_that(lambda: state(job) == "CANCELLED", "the end of the campaign's job")
    struck.nothing_left()


def test_as_a_slurm_job(campaign, reference, tmp_path):
    """SLURM_* variables of the head's own job do not reach the jobs that it submits."""
    inner = campaign(options="")
    script = tmp_path / "head.sh"
    command = f"exec {' '.join(inner.command())} > snakemake.1.out 2>&1"
    script.write_text(f"#!/bin/sh\ncd {inner.folder}\n{command}\n")
    inner.runs = 1
    head = sbatch("--cpus-per-task=1", "--mem=2G", "-t", "30", "-N", "1", "-n", "1", str(script))
    await_that(lambda: has_ended(head), "the head's end", WHOLE_S)
    assert state(head) == "COMPLETED", inner.text()
    (job,) = lives(inner.jobs())
    assert (job.state, job.gpus, job.cores, job.memory) == ("COMPLETED", 2, 8, "62.50G")
    assert inner.judgments() == reference
    inner.nothing_left()
