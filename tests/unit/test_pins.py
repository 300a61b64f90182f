"""The same versions everywhere."""

from pathlib import Path

import yaml


def pins(path: Path) -> dict[str, str]:
    """name -> version of the lines `name==version`."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {name.split("[")[0].lower(): version for name, version in pairs}


def test_constraints_agree_with_what_they_constrain(project: Path) -> None:
    locked = pins(project / "constraints.txt")
    for file in ("requirements.txt", "requirements-dev.txt"):
        for name, version in pins(project / file).items():
            assert locked.get(name) == version, f"{file}: {name}"


def test_the_conda_environment_has_every_run_time_pin(project: Path) -> None:
    env = yaml.safe_load((project / "workflow/envs/arena.yaml").read_text())
    (listed,) = [part["pip"] for part in env["dependencies"] if isinstance(part, dict)]
    listed = {
        name.split("[")[0]: version for name, version in (line.split("==") for line in listed)
    }
    wanted = pins(project / "requirements.txt")
    wanted = {name: v for name, v in wanted.items() if not name.startswith("snakemake")}
    assert {name: listed.get(name) for name in wanted} == wanted
    locked = pins(project / "constraints.txt")
    assert {name: locked.get(name) for name in listed} == listed


def test_every_requirement_says_why_it_is_there(project: Path) -> None:
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (project / file).read_text().splitlines():
            assert "==" not in line or "#" in line, f"{file}: {line}"
