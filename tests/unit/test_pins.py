"""The same versions everywhere."""

from pathlib import Path

import pytest
import yaml


def pins(text: str) -> dict[str, str]:
    """name -> version of the lines `name==version`."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {name.split("[")[0].lower(): version for name, version in pairs}


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_locked_and_say_why_they_are_there(project: Path, file: str) -> None:
    text = (project / file).read_text()
    assert pins((project / "constraints.txt").read_text()).items() >= pins(text).items()
    for line in text.splitlines():
        assert "==" not in line or "#" in line


def test_the_conda_environment_has_every_run_time_pin(project: Path) -> None:
    env = yaml.safe_load((project / "workflow/envs/arena.yaml").read_text())
    (listed,) = [part["pip"] for part in env["dependencies"] if isinstance(part, dict)]
    listed = pins("\n".join(listed))
    wanted = pins((project / "requirements.txt").read_text()).items()
    assert listed.items() >= {pin for pin in wanted if not pin[0].startswith("snakemake")}
    assert pins((project / "constraints.txt").read_text()).items() >= listed.items()
