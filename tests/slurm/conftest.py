"""Tests on a real Slurm: `tests/slurm/cluster.py install`, `start`, then `pytest -n 6 tests/slurm`.

Each test has a campaign in a folder of its own, so that they can share the cluster; whatever a test
does to a node is done to one that no other test uses.
"""

import fcntl
from pathlib import Path

import pytest

from tests.slurm import cluster
from tests.slurm.campaign import ENOUGH, Campaign, lives
from tests.workflow.conftest import made_once

PARALLEL = 6  # calls open at a time, two of each model: the most that a fault may cost
GAMES = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take minutes first, those that wait until no other uses the cluster last."""
    slow = ("test_outages.py", "test_faults.py", "test_batches.py")
    items.sort(key=lambda item: item.path.name not in slow)
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.fixture(autouse=True)
def share_of_cluster(request: pytest.FixtureRequest, shared_folder: Path):
    """Tests share the cluster, but for those that take it down."""
    alone = request.node.get_closest_marker("alone") is not None
    with (shared_folder / "cluster.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope="session", autouse=True)
def running_slurm() -> None:
    if reason := cluster.absence():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def reference(shared_folder: Path) -> dict[str, list]:
    """Judgments of an undisturbed run of the campaign that the faults strike: model -> lines.

    Played once, through Slurm like the others, by the first worker that asks for it.
    """

    def play(folder: Path) -> None:
        campaign = struck(folder)
        assert campaign.run() == 0, campaign.text()

    made_once(shared_folder / "reference", play)
    return struck(shared_folder / "reference").judgments()


def struck(folder: Path, **options) -> Campaign:
    """The campaign that faults strike: 3 models, 60 games, 6 of them open at a time, one batch."""
    usual = {"models": 3, "questions": 10, "judge": {"parallel": PARALLEL}}
    return Campaign(folder, **usual | options)


def ends_well(campaign: Campaign, reference: dict[str, list], before: int) -> int:
    """Let a struck campaign go on, wait for its end and check it; how many games were asked again.

    before: games that were in the journals when the fault struck.
    """
    campaign.go()
    assert campaign.wait() == 0, campaign.text()
    again = campaign.asked_again()
    campaign.figures |= {"games before": before, "asked again": again}
    assert ENOUGH <= before < GAMES
    assert again <= PARALLEL  # no more than were open when the fault struck
    assert sum(call["status"] == 200 for call in campaign.requests()) - GAMES <= PARALLEL
    assert campaign.judged() == GAMES  # no game is in the journals twice
    assert campaign.judgments() == reference
    campaign.nothing_left()
    return again


@pytest.fixture
def campaign(tmp_path: Path, record_property):
    """Makes campaigns; ends what is left of them after the test, and remembers for the end of the
    report what Slurm's accounting said of their jobs."""
    made: list[Campaign] = []

    def make(name: str = "campaign", **options) -> Campaign:
        made.append(struck(tmp_path / f"{name}{len(made)}", **options))
        return made[-1]

    yield make
    texts = []
    for each in made:
        each.clear()
        texts += [
            f"{life.id} {life.state} {life.elapsed} s of {life.minutes} min, {life.gpus} GPUs, "
            f"{life.cores} cores, {life.memory}, {life.node}"
            for life in lives(each.all_jobs())
        ]
        texts += [f"{key} {value}" for key, value in each.figures.items()]
    record_property("jobs", " | ".join(texts))


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [r for key in ("passed", "failed", "") for r in terminalreporter.stats.get(key, [])]
    jobs = {report.nodeid: dict(report.user_properties).get("jobs") for report in reports}
    if any(jobs.values()):
        terminalreporter.section("jobs by sacct")
        for test, text in jobs.items():
            if text:
                terminalreporter.line(f"{test}: {text}")
