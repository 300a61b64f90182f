"""The workflow as others run it: the catalog's `.test`, a folder that snakedeploy made, conda."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import Campaign, copy_project

TABLE = "results/arena-demo/demo-judge/leaderboard.txt"  # pages take longer, and no other way
MODELS = ["grand-70b-chat", "mid-7b-chat", "tiny-1b-step1000", "tiny-1b-step8000"]
URL = "https://github.com/owner/arena-hard"
# As snakedeploy 0.17 writes it, for `deploy-workflow URL . --tag v0.1.0`.
DEPLOYED = f"""\
from snakemake.utils import min_version


min_version("6.10.0")


configfile: "config/config.yaml"


# declare {URL} as a module
module arena_hard:
    snakefile: 
        github("owner/arena-hard", path="workflow/Snakefile", tag="v0.1.0")
    config:
        config


# use all rules from {URL}
use rule * from arena_hard
"""  # noqa: W291


def snakemake(folder: Path, *arguments: str, **options: Any) -> str:
    """What Snakemake printed."""
    return Campaign(folder).run("--cores", "2", *arguments, **options).stdout


def clone(project: Path, folder: Path) -> None:
    """What a user clones, less tests and history."""
    copy_project(project, folder, answers=True)
    unwanted = shutil.ignore_patterns("results", ".snakemake")
    shutil.copytree(project / ".test", folder / ".test", ignore=unwanted)


def judged(folder: Path) -> list[str]:
    files = (folder / "results/model_judgment/demo-judge").glob("*.jsonl")
    return sorted(path.stem for path in files)


def test_the_catalogs_test_folder_runs_and_keeps_all_it_makes(project, tmp_path):
    clone(project, tmp_path / "clone")
    before = sorted(path.name for path in (tmp_path / "clone").iterdir())
    snakemake(tmp_path / "clone", TABLE, "--directory", ".test")
    assert judged(tmp_path / "clone/.test") == MODELS
    assert sorted(path.name for path in (tmp_path / "clone").iterdir()) == before


@pytest.fixture
def deployed(project: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder as snakedeploy leaves it, and the environment that makes a local repository of
    GitHub's; the repository's folder is then renamed, so nothing can be read from it."""
    source = tmp_path / "source"
    clone(project, source)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    git += ["-c", "init.defaultBranch=main"]
    for command in (["init"], ["add", "-A"], ["commit", "-m", "all"], ["tag", "v0.1.0"]):
        subprocess.run([*git, *command], cwd=source, check=True, capture_output=True)
    folder = tmp_path / "deployed"
    for part in ("config", "profiles"):
        shutil.copytree(source / part, folder / part)
    (folder / "workflow").mkdir()
    (folder / "workflow/Snakefile").write_text(DEPLOYED)
    env = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{source.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": URL,
        "GITHUB_TOKEN": "",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    return folder, env


def test_a_folder_of_snakedeploy_judges_with_its_own_config(project, deployed):
    folder, env = deployed
    assert "there is no folder examples/data/arena-demo/" in snakemake(folder, env=env, ok=False)
    path = folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text()) | {"data_dir": str(project / "examples/data")}
    path.write_text(yaml.safe_dump(config))
    snakemake(folder, TABLE, env=env)
    assert judged(folder) == [*MODELS, "toy-writer"]
    assert "Nothing to be done" in snakemake(folder, "-n", TABLE, env=env)
    (unpacked,) = (folder / ".snakemake/arena-hard").iterdir()
    assert {part.name for part in unpacked.iterdir()} == {"workflow", "config"}

    # There --configfile is merged by Snakemake, key by key; the demo judge does not get in unseen.
    mine = folder / "mine.yaml"
    mine.write_text("judge: {name: mine, path: /no/weights}\n")
    refused = snakemake(folder, "-n", "--configfile", "mine.yaml", env=env, ok=False)
    assert "judge.server: demo is the embedded toy" in refused
    # The line that config/README.md names.
    snakefile = folder / "workflow/Snakefile"
    snakefile.write_text(DEPLOYED.replace("config/config.yaml", "mine.yaml"))
    del config["judge"]["server"]
    mine.write_text(yaml.safe_dump(config | {"judge": {"name": "mine", "path": "/no/weights"}}))
    assert "judge      mine (server: vllm)" in snakemake(folder, "plan", env=env)


@pytest.mark.skipif(
    not shutil.which("conda"), reason="needs conda, with a channel that has Python 3.12"
)
def test_the_example_runs_in_the_conda_environment(project: Path, tmp_path: Path) -> None:
    clone(project, tmp_path)
    snakemake(tmp_path, "--directory", ".test", "--sdm", "conda")
    assert judged(tmp_path / ".test") == MODELS
