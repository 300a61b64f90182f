"""Fixtures of several unit tests."""

import os
import time
from functools import partial

import pytest
from arena.data.metadata import token_counter


@pytest.fixture(autouse=True)
def outside_of_jobs(monkeypatch) -> None:
    """The tests may run in a Slurm job themselves: nothing they start takes it for its own."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SQUEUE_", "SACCT_")):
            monkeypatch.delenv(name)


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The clock that only the test moves: a list of its time."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def no_tiktoken(tmp_path, monkeypatch):
    """An empty folder as tiktoken's cache: tokens are counted by the estimate."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    token_counter.cache_clear()
    yield tmp_path
    token_counter.cache_clear()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Make a command, such as squeue, that runs a script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return make


@pytest.fixture
def squeue(fake):
    return partial(fake, "squeue")
