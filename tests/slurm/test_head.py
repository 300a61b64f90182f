"""The main process: killed and started again, as a Slurm job itself, and stopping a campaign."""

import os
import shutil
import signal
import subprocess
import time

from tests.slurm.campaign import PROJECT, Campaign, await_that, has_ended, lives, slurm, state


def kill(campaign: Campaign) -> None:
    """As a rebooted login node does it: no time to cancel anything."""
    campaign.process.send_signal(signal.SIGKILL)
    campaign.process.wait()


def test_killed_and_started_again(campaign, reference, figures):
    """Its jobs run on; the new run's job for the same models waits for them, and asks nothing."""
    struck = campaign()
    struck.start()
    struck.job()
    await_that(lambda: struck.judged() >= 12, "games in the journals")
    before, moment = struck.judged(), time.time()
    kill(struck)
    assert struck.run() == 1  # "Directory cannot be locked"
    assert "--unlock" in struck.text()
    assert struck.run("--unlock") == 0
    assert struck.run() == 0, struck.text()
    first, second = (lives(struck.jobs(run))[0] for run in (1, 4))
    assert (first.state, second.state) == ("COMPLETED", "COMPLETED")
    again, _ = struck.asked_again(moment)
    assert again == 0
    assert len(struck.requests()) == struck.judged() == 60
    assert struck.judgments() == reference
    struck.nothing_left()
    figures("head killed while its job ran", struck, games_before=before, asked_again=again)


def test_killed_with_jobs_in_the_queue(campaign, figures):
    """A job that starts after its head has died does its work; the next run has nothing to ask."""
    filler = slurm(
        "sbatch", "--parsable", "-p", "frail", "-N2", "--exclusive", "--wrap", "sleep 600"
    )
    struck = campaign(models=1, options="")
    frail = {"slurm_partition": "frail"}
    struck.edit_profile(lambda profile: profile["default-resources"].update(frail))
    try:
        struck.start()
        job = struck.job()
        assert state(job) == "PENDING"
        kill(struck)
    finally:
        slurm("scancel", filler.strip())
    await_that(lambda: has_ended(job), "the orphan's end", 180)
    assert state(job) == "COMPLETED"
    assert struck.judged() == 20
    assert struck.run("--unlock") == 0
    assert struck.run() == 0, struck.text()
    assert len(struck.requests()) == 20
    figures("head killed while its job waited", struck)


def test_stop_this_campaign_only(campaign):
    """The command of docs/slurm.md, after the head has died; another job of the user's lives on."""
    other = slurm(
        "sbatch", "--parsable", "-t", "5", "-o", "/dev/null", "--wrap", "sleep 300"
    ).strip()
    struck = campaign()
    struck.start()
    job = struck.job()
    await_that(lambda: struck.judged() > 0, "a game")
    kill(struck)
    command = (
        "squeue --me -h -o '%A %Z' | awk -v d=\"$PWD\" '$2 == d {print $1}' | xargs -r scancel"
    )
    assert command in (PROJECT / "docs/slurm.md").read_text()
    subprocess.run(command, shell=True, cwd=struck.folder, check=True)
    await_that(lambda: state(job) == "CANCELLED", "the end of the campaign's job")
    assert state(other) in ("PENDING", "RUNNING")
    slurm("scancel", other)
    struck.nothing_left()


def test_interrupted(campaign):
    """Ctrl-C cancels the campaign's jobs by itself."""
    struck = campaign()
    struck.start()
    job = struck.job()
    await_that(lambda: struck.judged() > 0, "a game")
    struck.process.send_signal(signal.SIGINT)
    assert struck.wait() == 1
    await_that(lambda: state(job) == "CANCELLED", "the end of the campaign's job")
    struck.nothing_left()


def test_interrupted_while_it_asks_for_states(campaign, tmp_path):
    """Snakemake itself forgets the jobs that it is asking about, and leaves them running."""
    asks, go_on = tmp_path / "asks", tmp_path / "go_on"
    slow = tmp_path / "sacct"
    slow.write_text(
        f"#!/bin/sh\ntouch {asks}\nuntil [ -e {go_on} ]; do sleep 0.1; done\n"
        f'exec {shutil.which("sacct")} "$@"\n'
    )
    slow.chmod(0o755)
    struck = campaign()
    struck.start(PATH=f"{tmp_path}:{os.environ['PATH']}")
    job = struck.job()
    await_that(asks.exists, "the question for states")
    await_that(lambda: struck.judged() > 0, "a game")
    struck.process.send_signal(signal.SIGINT)
    await_that(lambda: "Terminating processes" in struck.text(), "the interrupt heard")
    go_on.touch()
    assert struck.wait() == 1
    await_that(lambda: state(job) == "CANCELLED", "the end of the campaign's job")
    struck.nothing_left()


def test_as_a_slurm_job(campaign, reference, figures, tmp_path):
    """SLURM_* variables of the head's own job do not reach the jobs that it submits."""
    inner = campaign(options="")
    command = " ".join(inner.command())
    script = tmp_path / "head.sh"
    script.write_text(f"#!/bin/sh\ncd {inner.folder}\nexec {command} > snakemake.1.out 2>&1\n")
    inner.runs = 1
    asked = ["--cpus-per-task=1", "--mem=2G", "-t", "30", "--nodes=1", "--ntasks=1"]
    output = tmp_path / "head.out"
    head = slurm("sbatch", "--parsable", *asked, "-o", str(output), str(script)).strip()
    await_that(lambda: has_ended(head), "the head's end", 240)
    assert state(head) == "COMPLETED", inner.text()
    (job,) = lives(inner.jobs())
    assert (job.state, job.gpus, job.cores, job.memory) == ("COMPLETED", 2, 8, "64900M")
    assert inner.judgments() == reference
    inner.nothing_left()
    figures("head as a job", inner, head=head)
