"""The same versions everywhere."""

import importlib.metadata
import re
from pathlib import Path

import yaml
from packaging.requirements import Requirement


def pins(path: Path) -> dict[str, str]:
    """name -> version of the lines `name==version`."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {name.split("[")[0].lower(): version for name, version in pairs}


def plain(name: str) -> str:
    """The name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pulled_in(names: set[str]) -> set[str]:
    """Packages and all that they need, as they are installed here."""
    found: set[str] = set()
    while new := names - found:
        found |= new
        lines = [line for name in new for line in importlib.metadata.requires(name) or []]
        needs = map(Requirement, lines)
        names = {
            plain(need.name)
            for need in needs
            if need.marker is None or need.marker.evaluate({"extra": ""})
        }
    return found


def test_constraints_agree_with_what_they_constrain(project: Path) -> None:
    locked = pins(project / "constraints.txt")
    for file in ("requirements.txt", "requirements-dev.txt"):
        for name, version in pins(project / file).items():
            assert locked.get(name) == version, f"{file}: {name}"


def test_the_conda_environment_pins_all_that_the_scripts_need(project: Path) -> None:
    env = yaml.safe_load((project / "workflow/envs/arena.yaml").read_text())
    (lines,) = [part["pip"] for part in env["dependencies"] if isinstance(part, dict)]
    listed = dict(line.split("==") for line in lines)
    wanted = {name for name in pins(project / "requirements.txt") if name[:9] != "snakemake"}
    assert set(listed) == pulled_in(wanted)
    locked = {plain(name): pin for name, pin in pins(project / "constraints.txt").items()}
    assert listed == {name: locked[name] for name in listed}
    assert all("=" in part for part in env["dependencies"] if isinstance(part, str))


def test_every_requirement_says_why_it_is_there(project: Path) -> None:
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-docs.txt"):
        chosen = (project / file).read_text().partition("\n# What these")[0]
        for line in chosen.splitlines():
            assert "==" not in line or "#" in line, f"{file}: {line}"
