"""The job's end, and how much of it a batch leaves alone."""

import asyncio
import math
import time

import pytest
from arena.client.deadline import LEAVE, QUICKEST, Deadline


@pytest.fixture
def job(monkeypatch):
    """We are in one, and only squeue tells its end."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")


def left(deadline: Deadline) -> float:
    return deadline.end - time.monotonic()


def test_slurm_is_asked_for_the_time_that_is_left(job, squeue, monkeypatch, now):
    """Not for the time of day of the end: the clocks of node and controller may differ."""
    squeue('[ "$3" = 7 ] && [ "$5" = %L ] && echo 1-02:03:04')
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1")
    assert left(Deadline.of_this_job()) == 93784


def test_a_controller_that_does_not_answer_leaves_the_environment(job, squeue, monkeypatch):
    squeue("exit 1")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 5000))
    assert left(Deadline.of_this_job()) == pytest.approx(5000, abs=300)


@pytest.mark.parametrize("script", ["echo UNLIMITED", "echo NOT_SET", "echo", "exit 1"])
def test_a_job_without_a_limit_or_an_answer_has_no_end(job, squeue, script):
    squeue(script)
    assert Deadline.of_this_job().end == math.inf


def test_no_game_starts_that_would_not_finish():
    deadline = Deadline(10_000.0)
    assert deadline.leave_at == deadline.end - LEAVE
    assert deadline.drain_at == deadline.leave_at - QUICKEST, "before the first game has ended"
    for seconds in range(1, 101):
        deadline.observe(float(seconds))
    assert deadline.drain_at == deadline.leave_at - 98.0, "two of a hundred may be given up"
    for _ in range(200):
        deadline.observe(20.0)
    assert deadline.drain_at == deadline.leave_at - 20.0, "only the last games count"


def test_a_game_that_was_open_while_the_job_was_suspended_does_not_count(now):
    """Its minutes would have the job leave as early before its end."""
    deadline = Deadline(10_000.0)
    assert not deadline.is_draining()
    now[0] += 300
    assert not deadline.is_draining()
    now[0] += 1
    deadline.observe(302.0)
    assert deadline.drain_at == deadline.end - LEAVE - QUICKEST
    for _ in range(20):
        now[0] += 1
        assert not deadline.is_draining()
    deadline.observe(12.0)
    assert deadline.drain_at == deadline.end - LEAVE - 12


@pytest.mark.parametrize(("answer", "more"), [(3600.0, True), (None, False), (20.0, False)])
def test_an_extension_is_noticed_and_the_end_never_moves_earlier(answer, more):
    deadline = Deadline(50.0, ask=lambda: answer)
    end = deadline.end
    assert deadline.is_draining()
    assert asyncio.run(deadline.extended()) is more
    assert deadline.end >= end
