"""Profiles: what is set where, so that no file takes a setting from another behind its back."""

import re
from pathlib import Path

import pytest
import yaml


def text_of(name: str) -> str:
    return (Path(__file__).parents[2] / "profiles" / name / "config.yaml").read_text()


def profile(name: str) -> dict:
    return yaml.safe_load(text_of(name))


def test_only_the_batches_ask_for_much():
    asked = profile("slurm")["set-resources"]
    assert set(asked) == {
        f"gen_{what}{gpu}" for what in ("answer", "judgment") for gpu in ("", "_no_gpu")
    }
    for what in ("answer", "judgment"):
        assert asked[f"gen_{what}"].keys() == {"gpu", "nodes", "mem_mb", "cpus_per_task"}
        assert asked[f"gen_{what}"]["nodes"] == 1
        assert not {"gpu", "gpus", "gres"} & set(asked[f"gen_{what}_no_gpu"])


@pytest.mark.parametrize("name", ["default", "slurm", "local"])
def test_a_profile_sets_what_nothing_else_sets(name):
    # A job cannot see a profile's retries, and they would reach the rules that publish.
    assert "retries" not in profile(name)
    # A runtime would override minutes a model times the attempt.
    assert "runtime" not in text_of(name).replace("# ", "")
    # Snakemake lets profiles/default win over --profile, key by key.
    assert name == "default" or not profile("default").keys() & profile(name).keys()


@pytest.mark.parametrize("name", ["default", "slurm", "local"])
def test_every_entry_has_its_reason(name):
    """A comment above an entry or on its line; entries side by side share one."""
    lines = text_of(name).splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^\w[\w-]*:", line):
            # A group of entries shares the comment above the first of them.
            above = next((before for before in reversed(lines[:number]) if before.strip()), "")
            shared = above.startswith("#") or re.match(r"^\w[\w-]*:", lines[number - 1])
            assert shared or "#" in line, f"{name}: {line}"
