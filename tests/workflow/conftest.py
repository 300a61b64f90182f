"""Whole runs as a user types them: a copy of the project, a small case, real `snakemake`.

A case is the embedded example plus its differences, given as config or as changed files.
"""

import csv
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.served import DEMO, running_judge
from tests.synthetic import read_lines, write_lines

KEY = "a-key-that-must-not-leak"  # of the judge that already runs
COPIED = ("workflow", "config", "profiles", "examples")


@dataclass
class Campaign:
    """A copy of the project to run in."""

    dir: Path

    def run(
        self, *arguments: str, ok: bool | None = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`snakemake ARGUMENTS`, output merged; `ok` is the outcome that must come."""
        command = [sys.executable, "-m", "snakemake", *arguments]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        env = os.environ | (env or {})
        done = subprocess.run(command, cwd=self.dir, env=env, text=True, **streams)
        if ok is not None:
            assert (done.returncode == 0) == ok, done.stdout
        return done

    def tool(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python workflow/scripts/SCRIPT ARGUMENTS`."""
        command = [sys.executable, f"workflow/scripts/{script}", *arguments]
        return subprocess.run(command, cwd=self.dir, text=True, capture_output=True, check=True)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs of a dry run by rule; {} when there is nothing to do."""
        return jobs_of(self.run("-n", *arguments).stdout)

    def configure(self, **changes: object) -> None:
        """Change config.yaml; `judge` is merged, other keys are replaced, None removes."""
        path = self.dir / "config/config.yaml"
        config = yaml.safe_load(path.read_text())
        config["judge"] |= changes.pop("judge", {})
        config |= changes
        kept = {key: value for key, value in config.items() if value is not None}
        path.write_text(yaml.safe_dump(kept))

    @property
    def settings(self) -> dict[str, object]:
        return yaml.safe_load((self.dir / "config/config.yaml").read_text())

    @property
    def root(self) -> Path:
        config = self.settings
        return self.dir / "results" / config["bench"] / config["judge"]["name"]

    def judgment(self, model: str) -> Path:
        name = self.settings["judge"]["name"]
        return self.dir / "results/model_judgment" / name / f"{model}.jsonl"

    def answers(self, model: str) -> Path:
        config = self.settings
        return self.dir / config["data_dir"] / config["bench"] / "model_answer" / f"{model}.jsonl"

    def journal(self, model: str) -> list[dict]:
        return read_lines(self.root / "games" / f"{model}.jsonl")

    def add_to_answers(self, model: str, text: str, which: slice = slice(None)) -> None:
        """Let some answers of a model end otherwise."""
        lines = read_lines(self.answers(model))
        for line in lines[which]:
            line["messages"][-1]["content"]["answer"] += text
        write_lines(self.answers(model), lines)

    def copy_to(self, folder: Path) -> "Campaign":
        """A copy to change; time stamps are kept, since they decide what runs."""
        shutil.copytree(self.dir, folder, symlinks=True)
        return Campaign(folder)

    def models(self) -> list[str]:
        """Models that have judgments."""
        return sorted(path.stem for path in self.judgment("x").parent.glob("*.jsonl"))


def jobs_of(dry_run: str) -> dict[str, int]:
    """Jobs by rule, from what `snakemake -n` printed."""
    table = re.search(r"^Job stats:\n.*?\n[- ]+\n(.*?)^total", dry_run, re.M | re.S)
    rows = table[1].splitlines() if table else []
    return {name: int(count) for name, count in (row.split() for row in rows)}


def read_tsv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def by_command(options: str = "") -> dict[str, str]:
    """`judge` of a config: the tests' judge in the place of vLLM, with its options."""
    return {"server": "vllm", "path": "none", "command": f"{DEMO} {options}"}


def copy_project(project: Path, folder: Path, *, answers: bool = False) -> Campaign:
    """What a user clones, less tests and history. answers: with the stage that makes them."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in COPIED:
        shutil.copytree(project / part, folder / part, ignore=unwanted)
    shutil.copy2(project / "Snakefile", folder)
    copy = Campaign(folder)
    if not answers:
        copy.configure(answers=None)
    return copy


@pytest.fixture
def campaign(tmp_path: Path, project: Path) -> Campaign:
    """The embedded example, not yet judged."""
    return copy_project(project, tmp_path / "campaign")


@pytest.fixture(scope="session")
def judged_once(shared_folder: Path, project: Path) -> Campaign:
    """The embedded example, judged; only to copy from and to read: a dry run writes too, and what
    it writes may vanish under another worker's copy."""
    return made_once(shared_folder / "judged", lambda folder: copy_project(project, folder).run())


def made_once(folder: Path, make: Callable[[Path], object]) -> Campaign:
    """Run `make` on a new folder, once for all workers; it takes its place when it is whole."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new = folder.with_suffix(".new")
            make(new)
            new.rename(folder)
    return Campaign(folder)


@pytest.fixture
def judged(judged_once: Campaign, tmp_path: Path) -> Campaign:
    """A copy of the judged example, to change."""
    return judged_once.copy_to(tmp_path / "campaign")


def all_text(campaign: Campaign) -> str:
    """Everything a run left: results, judgments, Snakemake's logs and metadata."""
    folders = [campaign.dir / "results", campaign.dir / ".snakemake"]
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server that already runs, with a key: its URL and its request log."""
    log = tmp_path / "requests.jsonl"
    with running_judge("--name", "served", "--request-log", log, key=KEY) as (url, _):
        yield url, log
