"""What Slurm refuses: the run ends at once, with Slurm's own words on the screen."""

import pytest

from tests.slurm.campaign import Campaign


def account(profile: dict) -> None:
    profile["default-resources"] = {"slurm_account": "nobody"}


def partition(profile: dict) -> None:
    profile["default-resources"] = {"slurm_partition": "nowhere"}


def gpus(profile: dict) -> None:
    profile["set-resources"]["gen_judgment"]["gpu"] = 1000


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (account, "given account nobody appears to be invalid"),
        (partition, "invalid partition specified: nowhere"),
        (gpus, "Requested node configuration is not available"),
    ],
)
def test_refused(campaign, mistake, words):
    refused: Campaign = campaign()
    refused.edit_profile(mistake)
    assert refused.run("plan", seconds=120) == 0
    # This cluster enforces no associations, so that an account is the plugin's matter alone.
    said = "Slurm would refuse these jobs: " in refused.text()
    assert said == (mistake is not account), "before the run"
    assert refused.run(seconds=120) == 1
    assert words in refused.text()
    assert refused.jobs() == []
    assert refused.judgments() == {model: [] for model in refused.names}
    refused.nothing_left()


def test_what_slurm_would_take_is_not_refused(campaign):
    taken: Campaign = campaign()
    assert taken.run("plan", seconds=120) == 0
    assert "refuse" not in taken.text()
