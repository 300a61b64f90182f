"""Fixtures of all tests: where the project is, and the real data where it is at hand."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real Arena-Hard data; tests that need it are skipped without it."""
    path = Path(os.environ.get("ARENA_TEST_DATA", PROJECT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"needs the real data at {path} (ARENA_TEST_DATA names another place)")
    return path
