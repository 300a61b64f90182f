"""When the circuit opens, and when it ends the job."""

import pytest
from arena.client.breaker import PATIENCE_THROTTLED, TRIP, Breaker
from arena.client.ready import RunningServer
from arena.judge.server import LocalJudge


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(60.0)


def fail(breaker: Breaker, games: int = TRIP) -> None:
    for game in range(games):
        breaker.failed(game, f"HTTP 500 of {game}")


def test_a_dead_judge_ends_a_job_in_about_a_minute():
    """The figures that the documentation names."""
    assert (RunningServer.patience, LocalJudge.patience, PATIENCE_THROTTLED) == (60.0, 120.0, 900.0)


def test_five_games_open_it_and_a_reply_closes_it(now, breaker):
    fail(breaker, TRIP - 1)
    assert not breaker.is_open
    fail(breaker)
    assert breaker.is_open
    breaker.replied()
    assert not breaker.is_open
    assert breaker.cause is None


def test_one_game_that_fails_for_ever_opens_nothing(now, breaker):
    for _ in range(100):
        breaker.failed("the same", "HTTP 500")
    now[0] += 1_000
    assert not breaker.is_open
    assert breaker.cause is None


def test_it_names_the_cause_after_its_patience(now, breaker):
    fail(breaker)
    now[0] += 350.0
    breaker.excuse(290.0)  # a restart by the supervisor does not count
    assert breaker.cause is None
    now[0] += 1.0
    assert "61 s" in breaker.cause and "HTTP 500 of 4" in breaker.cause


def test_refusals_alone_end_it_after_a_quarter_of_an_hour(now, breaker):
    breaker.throttled("HTTP 429: quota")
    now[0] += 899.0
    breaker.throttled("HTTP 429: quota")
    assert breaker.cause is None
    now[0] += 2.0
    assert "15 minutes" in breaker.cause and "HTTP 429: quota" in breaker.cause
    breaker.replied()
    assert breaker.cause is None
