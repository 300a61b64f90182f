"""What Slurm refuses: the run ends at once, with Slurm's own words on the screen."""

import pytest

# What is wrong in the profile, Slurm's words, and whether `plan` says so already: this cluster
# enforces no associations, so that an account is the plugin's matter alone.
ACCOUNT = {"default-resources": {"slurm_account": "nobody"}}
PARTITION = {"default-resources": {"slurm_partition": "nowhere"}}
GPUS = {"set-resources": {"gen_judgment": {"gpu": 1000}}}
MISTAKES = [
    (ACCOUNT, "given account nobody appears to be invalid", False),
    (PARTITION, "invalid partition specified: nowhere", True),
    (GPUS, "Requested node configuration is not available", True),
]


@pytest.mark.parametrize(("mistake", "words", "planned"), MISTAKES)
def test_refused(campaign, mistake, words, planned):
    refused = campaign()
    refused.edit_profile(mistake)
    assert refused.run("plan") == 0
    assert ("Slurm would refuse these jobs: " in refused.text()) == planned
    assert refused.run() == 1
    assert words in refused.text()
    assert refused.jobs() == []
    assert not any(refused.judgments().values())
    refused.nothing_left()
