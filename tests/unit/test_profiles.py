"""Profiles: what is set where, so that no file takes a setting from another behind its back."""

import re
from pathlib import Path

import pytest
import yaml

PROFILES = Path(__file__).parents[2] / "profiles"


def profile(name: str) -> dict:
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", ["slurm", "local"])
def test_default_shadows_no_key(name):
    """Snakemake lets profiles/default win over --profile, key by key."""
    assert not profile("default").keys() & profile(name).keys()


def test_only_the_batches_ask_for_much():
    asked = profile("slurm")["set-resources"]
    assert list(asked) == ["gen_judgment", "gen_judgment_no_gpu"]
    assert set(asked["gen_judgment"]) == {"gpu", "nodes", "mem_mb", "cpus_per_task"}
    assert asked["gen_judgment"]["nodes"] == 1
    assert not {"gpu", "gpus", "gres"} & set(asked["gen_judgment_no_gpu"])


@pytest.mark.parametrize("name", ["default", "slurm", "local"])
def test_retries_are_the_configs(name):
    """A job cannot see a profile's number, and it would reach the rules that publish."""
    assert "retries" not in profile(name)


def test_walltime_is_the_rules():
    """A runtime here would override minutes a model times the attempt."""
    for name in ("default", "slurm", "local"):
        assert "runtime" not in (PROFILES / name / "config.yaml").read_text().replace("# ", "")


@pytest.mark.parametrize("name", ["default", "slurm", "local"])
def test_every_entry_has_its_reason(name):
    """A comment above an entry or on its line; entries side by side share one."""
    lines = (PROFILES / name / "config.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^\w[\w-]*:", line):
            # A group of entries shares the comment above the first of them.
            above = next((before for before in reversed(lines[:number]) if before.strip()), "")
            shared = above.startswith("#") or re.match(r"^\w[\w-]*:", lines[number - 1])
            assert shared or "#" in line, f"{name}: {line}"
