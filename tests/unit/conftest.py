"""Fixtures of several unit tests."""

import os
import time

import pytest
from arena.data.metadata import token_counter


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
def squeue(tmp_path, monkeypatch):
    """Make a squeue that answers with a script."""
    folder = tmp_path / "bin"

    def make(script: str) -> None:
        folder.mkdir()
        (folder / "squeue").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "squeue").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return make
