"""Tests on a real Slurm: `tests/slurm/cluster.py install`, `start`, then `pytest -n 6 tests/slurm`.

Each test has a campaign in a folder of its own, so that they can share the cluster; whatever a test
does to a node is done to one that no other test uses.
"""

import fcntl
import time
from pathlib import Path

import pytest

from tests.slurm import cluster
from tests.slurm.campaign import WHOLE_S, Campaign, lives, slurm

# As slow as it takes to have a campaign of 60 games in the middle of things for half a minute.
SLOW = "--slots 2 --seconds 1"
PARALLEL = 6  # calls open at a time, two of each model: the most that a fault may cost


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slurm)
    # Those that wait until no other test uses the cluster come last, those that take minutes first.
    slow = ("test_outages.py", "test_faults.py", "test_batches.py")
    items.sort(key=lambda item: item.path.name not in slow)
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.fixture(autouse=True)
def share_of_cluster(request, tmp_path_factory, worker_id: str):
    """Tests share the cluster, but for those that take it down."""
    base = tmp_path_factory.getbasetemp()
    alone = request.node.get_closest_marker("alone") is not None
    with ((base if worker_id == "master" else base.parent) / "cluster.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope="session", autouse=True)
def running_slurm() -> None:
    if reason := cluster.absence():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, list]:
    """Judgments of an undisturbed run of the campaign that the faults strike: model -> lines.

    Played once, through Slurm like the others, by the first worker that asks for it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "reference"
    done = folder.with_name("reference.done")
    try:
        folder.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + WHOLE_S  # another worker plays it
        while not done.exists():
            assert time.monotonic() < deadline, "the reference run has not ended"
            time.sleep(0.5)
        return struck(folder).judgments()
    campaign = struck(folder, options="")
    assert campaign.run() == 0, campaign.text()
    done.touch()
    return campaign.judgments()


def struck(folder: Path, **options) -> Campaign:
    """The campaign that faults strike: 3 models, 60 games, 6 of them open at a time, one batch."""
    usual = {"models": 3, "questions": 10, "options": SLOW, "judge": {"parallel": PARALLEL}}
    return Campaign(folder, **usual | options)


@pytest.fixture
def campaign(tmp_path: Path):
    """Makes campaigns; whatever is left of them after the test is ended."""
    made: list[Campaign] = []

    def make(name: str = "campaign", **options) -> Campaign:
        made.append(struck(tmp_path / f"{name}{len(made)}", **options))
        return made[-1]

    yield make
    for each in made:
        each.clear()


@pytest.fixture
def figures(record_property):
    """Remember a line for the end of the report: what Slurm's accounting said."""

    def tell(name: str, campaign: Campaign, **more) -> None:
        table = " | ".join(
            f"{life.id} {life.state} {life.elapsed} s of {life.minutes} min, {life.gpus} GPUs, "
            f"{life.cores} cores, {life.memory}, {life.node}"
            for life in lives(campaign.all_jobs())
        )
        facts = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in more.items())
        record_property("figures", f"{name}: {table}" + (f"; {facts}" if facts else ""))

    return tell


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [r for key in ("passed", "failed") for r in terminalreporter.stats.get(key, [])]
    lines = [
        text
        for report in reports
        for name, text in getattr(report, "user_properties", [])
        if name == "figures"
    ]
    if lines:
        terminalreporter.section("jobs by sacct")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture
def preemptor():
    """Takes all GPUs of a node with a job of higher priority; gives them back afterwards."""
    jobs = []

    def take(node: str) -> str:
        wrap = ["--wrap", "sleep 600"]
        asked = [
            "-p",
            "high",
            "-w",
            node,
            f"--gres=gpu:{cluster.GPUS}",
            "-t",
            "10",
            "-o",
            "/dev/null",
        ]
        jobs.append(slurm("sbatch", "--parsable", *asked, *wrap).strip())
        return jobs[-1]

    yield take
    if jobs:
        slurm("scancel", *jobs, check=False)
