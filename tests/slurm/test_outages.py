"""Slurm's daemons are away for a while: nothing hangs, nothing is lost.

For one campaign alone a daemon is away where its slurm.conf names a port that nobody listens on:
the commands are Slurm's own and find out as they do when it is down.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster
from tests.slurm.campaign import ENOUGH, await_that, has_ended
from tests.slurm.conftest import GAMES, ends_well


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return back(tmp_path / "slurm.conf")


@pytest.fixture
def away(conf: Path) -> Iterator[Callable[[str], Path]]:
    """Takes a daemon away, by the key of its port."""
    with socket.socket() as deaf:  # bound, so that no other program listens there
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        plain = cluster.CONF.read_text()
        yield lambda key: replaced(conf, re.sub(rf"(?m)^{key}=.*$", f"{key}={port}", plain))


def back(conf: Path) -> Path:
    return replaced(conf, cluster.CONF.read_text())


def replaced(path: Path, text: str) -> Path:
    """At once, because commands read it at any moment."""
    new = path.with_suffix(".new")
    new.write_text(text)
    return new.rename(path)


def none_asked_twice(campaign, reference, before) -> None:
    ends_well(campaign, reference, before)
    assert campaign.states() == ["COMPLETED"]
    assert len(campaign.requests()) == GAMES


def test_accounting_is_away_for_two_minutes(campaign, reference, conf, away):
    """The job ends meanwhile; its end is seen when slurmdbd is back."""
    struck = campaign(hold=ENOUGH)
    struck.start(SLURM_CONF=str(conf))
    job = struck.in_the_middle()
    before = struck.judged()
    away("AccountingStoragePort")
    struck.go()
    began = time.time()
    await_that(lambda: has_ended(job) and time.time() - began > 120, "two minutes")
    assert struck.process.poll() is None
    back(conf)
    none_asked_twice(struck, reference, before)


def test_controller_is_away_while_submitting(campaign, reference, conf, away):
    """sbatch's words are on the screen; the same command again does it all."""
    struck = campaign()
    away("SlurmctldPort")
    assert struck.run(SLURM_CONF=str(conf)) == 1
    assert "Unable to contact slurm controller" in struck.text()
    assert struck.jobs() == []
    back(conf)
    assert struck.run(SLURM_CONF=str(conf)) == 0, struck.text()
    assert struck.judgments() == reference


@pytest.mark.alone
def test_controller_is_away_while_a_job_runs(campaign, reference):
    """slurmctld is stopped for a minute, in which the batch plays its games and ends."""
    struck = campaign(hold=ENOUGH)
    struck.start()
    struck.in_the_middle()
    before = struck.judged()
    cluster.stop_controller()
    struck.go()
    began = time.time()
    try:
        await_that(lambda: struck.judged() == GAMES and time.time() - began > 60, "all games")
        assert struck.process.poll() is None
    finally:
        cluster.start_controller()
    none_asked_twice(struck, reference, before)
