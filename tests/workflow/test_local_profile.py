"""`snakemake --profile profiles/local`: one judge server at a time on one machine."""

import pytest

from tests.served import SCRIPTS, running_judge
from tests.slurm.campaign import Campaign

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


@pytest.mark.parametrize(("profile", "gpus"), [("local", 1), ("default", 0)])
def test_one_server_at_a_time(campaign, profile, gpus):
    local = campaign()
    assert local.run(profile=f"profiles/{profile}") == 0, local.text()
    first, second = sorted(local.batch_logs(), key=lambda record: record["start"])
    assert first["end"] <= second["start"]
    assert first["gpus"] == second["gpus"] == gpus
    assert local.judged() == 24


def test_one_batch_at_a_time_at_an_external_judge(campaign):
    with running_judge("--seconds", "0.2", program=SCRIPTS / "demo_judge.py") as (url, _):
        there = {"server": "external", "command": None, "endpoints": [{"api_base": url}]}
        local = campaign(judge=there)
        assert local.run(profile="profiles/local") == 0, local.text()
    (_, first_end), (second_begin, _) = spans(local)
    assert first_end < second_begin
    assert local.judged() == 24
