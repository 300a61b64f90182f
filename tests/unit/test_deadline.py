"""The job's end, and how much of it a client leaves alone."""

import os
import time

import pytest
from arena.client.deadline import LEAVE, QUICKEST, Deadline, job_end


def squeue(tmp_path, monkeypatch, script: str) -> None:
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_outside_slurm_nothing_ends():
    assert job_end({}) is None
    endless = Deadline(None)
    assert not endless.is_draining()
    assert not endless.is_over()
    assert endless.last == float("inf")


def test_the_end_is_in_the_environment():
    assert job_end({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "1760000000"}) == 1760000000.0


def test_an_older_slurm_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    squeue(tmp_path, monkeypatch, '[ "$3" = 7 ] && [ "$5" = %e ] && echo 2026-01-02T03:04:05')
    assert job_end({"SLURM_JOB_ID": "7"}) == 1767323045.0


@pytest.mark.parametrize("script", ["echo N/A", "echo NONE", "echo", "exit 1"])
def test_a_job_without_a_limit_or_an_answer_has_no_end(tmp_path, monkeypatch, script):
    squeue(tmp_path, monkeypatch, script)
    assert job_end({"SLURM_JOB_ID": "7"}) is None


def test_no_game_is_begun_that_would_not_end():
    deadline = Deadline(end=10_000.0)
    assert deadline.leave_at == 10_000 - LEAVE
    assert deadline.drain_at == 10_000 - LEAVE - QUICKEST, "before the first game has ended"
    for seconds in range(1, 101):
        deadline.observe(float(seconds))
    assert deadline.drain_at == 10_000 - LEAVE - 98.0, "two of a hundred may be given up"
    assert deadline.leave_at < deadline.last < deadline.end


def test_only_the_last_games_count():
    deadline = Deadline(end=10_000.0)
    deadline.observe(5_000.0)  # the first one waited for the judge to load
    for _ in range(200):
        deadline.observe(20.0)
    assert deadline.drain_at == 10_000 - LEAVE - 20.0
