"""Slurm's daemons are away for a while: nothing hangs, nothing is lost.

For one campaign alone a daemon is away where its slurm.conf names a port that nobody listens on:
the commands are Slurm's own and find out as they do when it is down.
"""

import re
import time
from pathlib import Path

import pytest

from tests.slurm import cluster
from tests.slurm.campaign import await_that, has_ended, lives

AWAY = 120  # s


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    copy = tmp_path / "slurm.conf"
    copy.write_text(cluster.CONF.read_text())
    return copy


def away(conf: Path, daemon: str) -> None:
    """daemon: the key of its port."""
    (port,) = cluster.free_ports(1)
    conf.write_text(re.sub(rf"^{daemon}=.*$", f"{daemon}={port}", conf.read_text(), flags=re.M))


def back(conf: Path) -> None:
    conf.write_text(cluster.CONF.read_text())


def test_accounting_is_away_for_two_minutes(campaign, reference, figures, conf):
    """The job ends meanwhile; its end is seen when slurmdbd is back."""
    struck = campaign()
    struck.start(SLURM_CONF=str(conf))
    job = struck.job()
    await_that(lambda: struck.judged() >= 12, "games in the journals")
    away(conf, "AccountingStoragePort")
    began = time.time()
    await_that(lambda: has_ended(job) and time.time() - began > AWAY, "two minutes")
    assert struck.process.poll() is None
    back(conf)
    assert struck.wait() == 0, struck.text()
    (life,) = lives(struck.jobs())
    assert life.state == "COMPLETED"
    assert struck.judgments() == reference
    assert len(struck.requests()) == 60
    struck.nothing_left()
    figures("no accounting for two minutes", struck)


def test_controller_is_away_while_submitting(campaign, reference, conf):
    """sbatch's words are on the screen; the same command again does it all."""
    struck = campaign(options="")
    away(conf, "SlurmctldPort")
    assert struck.run(SLURM_CONF=str(conf)) == 1
    assert "Unable to contact slurm controller" in struck.text()
    assert struck.jobs() == []
    back(conf)
    assert struck.run(SLURM_CONF=str(conf)) == 0, struck.text()
    assert struck.judgments() == reference


@pytest.mark.alone
def test_controller_is_away_while_a_job_runs(campaign, reference, figures):
    """slurmctld is stopped for a minute, in which the batch plays its games and ends."""
    struck = campaign()
    struck.start()
    struck.job()
    await_that(lambda: struck.judged() >= 12, "games in the journals")
    cluster.stop_controller()
    began = time.time()
    try:
        await_that(lambda: struck.judged() == 60 and time.time() - began > 60, "all games")
        assert struck.process.poll() is None
    finally:
        cluster.start_controller()
    assert struck.wait() == 0, struck.text()
    (life,) = lives(struck.jobs())
    assert life.state == "COMPLETED"
    assert struck.judgments() == reference
    assert len(struck.requests()) == 60
    struck.nothing_left()
    figures("no controller for a minute", struck)
