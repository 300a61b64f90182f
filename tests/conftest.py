"""Fixtures of all tests: where the project is, and the real data where it is at hand."""

import os
import signal
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

# A shell that starts us in the background makes us deaf to Ctrl-C, and all that we start with us.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real Arena-Hard data; tests that need it are skipped without it."""
    path = Path(os.environ.get("ARENA_TEST_DATA", PROJECT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"needs the real data at {path} (ARENA_TEST_DATA names another place)")
    return path


@pytest.fixture(scope="session")
def shared_cases(shared_data: Path) -> Path:
    """The folder of small inputs that went wrong, beside the real data."""
    path = shared_data.parent / "cases"
    if not path.is_dir():
        pytest.skip(f"needs the cases at {path}")
    return path


@pytest.fixture
def published(shared_data: Path, tmp_path: Path) -> Path:
    """A data folder with gpt-4o's published judgments of arena-hard-v0.1, and nothing else."""
    folder = tmp_path / "arena-hard-v0.1" / "model_judgment"
    folder.mkdir(parents=True)
    (folder / "gpt-4o").symlink_to(shared_data / "published-gpt-4o" / "model_judgment")
    return tmp_path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the suites on a real Slurm and vLLM to their own commands, which start them."""
    for suite in ("slurm", "vllm"):
        asked_for = any(f"tests/{suite}" in argument for argument in config.args)
        reason = f"`make test-{suite}` installs and starts the real one, and runs these"
        for item in items:
            if PROJECT / "tests" / suite in item.path.parents:
                item.add_marker(suite)
                if not asked_for:
                    item.add_marker(pytest.mark.skip(reason=reason))
