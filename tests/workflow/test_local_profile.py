"""`snakemake --profile profiles/local`: one judge server at a time on one machine."""

import socket
import subprocess
import sys

import pytest

from tests.slurm.campaign import PROJECT, Campaign, await_that

TWO_BATCHES = {"models": 4, "questions": 3, "config": {"batch_size": 2}}


@pytest.fixture
def campaign(tmp_path):
    made = []

    def make(**options) -> Campaign:
        made.append(Campaign(tmp_path / "campaign", **TWO_BATCHES | options))
        return made[0]

    yield make
    for each in made:
        if each.process and each.process.poll() is None:
            each.process.kill()


def spans(campaign: Campaign) -> list[tuple[float, float]]:
    """Ends of the first and of the last game, for each batch."""
    found = []
    for batch in campaign.batches():
        games = [game for model in batch["models"] for game in campaign.games(model)]
        ends = [game["time"] for game in games]
        found.append((min(ends), max(ends)))
    return sorted(found)


def test_one_server_at_a_time_on_the_gpus(campaign):
    local = campaign()
    assert local.run(profile="profiles/local") == 0, local.text()
    first, second = sorted(local.batch_logs(), key=lambda record: record["start"])
    assert first["end"] <= second["start"]
    assert (first["gpus"], second["gpus"]) == (1, 1)
    assert local.judged() == 24


def test_without_a_profile_no_two_servers_start_at_once(campaign):
    local = campaign()
    assert local.run(profile="profiles/default") == 0, local.text()
    first, second = sorted(local.batch_logs(), key=lambda record: record["start"])
    assert first["end"] <= second["start"]
    assert local.judged() == 24


@pytest.fixture
def external_judge(tmp_path):
    """URL of a judge that already runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script, log = PROJECT / "workflow/scripts/demo_judge.py", tmp_path / "judge.log"
    with log.open("w") as out:
        judge = subprocess.Popen(
            [sys.executable, script, "--port", str(port), "--seconds", "0.2"], stdout=out
        )
    await_that(lambda: "listens" in log.read_text(), "the judge")
    yield f"http://127.0.0.1:{port}/v1"
    judge.terminate()
    judge.wait()


def test_one_batch_at_a_time_at_an_external_judge(campaign, external_judge):
    endpoints = [{"api_base": external_judge}]
    local = campaign(judge={"server": "external", "command": None, "endpoints": endpoints})
    assert local.run(profile="profiles/local") == 0, local.text()
    (_, first_end), (second_begin, _) = spans(local)
    assert first_end < second_begin
    assert local.judged() == 24
