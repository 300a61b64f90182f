"""Fixtures of several unit tests."""

import os
import time

import pytest


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The clock that only the test moves: a list of its time."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


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
