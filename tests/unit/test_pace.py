"""How many requests are open, how long a failed game waits, and the circuit breaker."""

import random

import pytest
from arena.client.pace import (
    FIRST_DELAY,
    LONGEST_DELAY,
    TRIP,
    AdaptiveLimit,
    Breaker,
    delay,
)


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(60.0)


def fail(breaker: Breaker, games: int = TRIP) -> None:
    for game in range(games):
        breaker.failed(game, f"HTTP 500 of {game}")


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
    fail(breaker, 1)
    now[0] += 100.0  # replies take minutes: it is not open yet
    fail(breaker)
    assert breaker.cause is None
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


def test_too_many_cuts_by_a_third_once_a_second(now):
    limit = AdaptiveLimit(lambda: 10)
    for _ in range(5):
        limit.throttled(None)
    assert limit.limit == 7
    now[0] += 1.0
    limit.throttled(None)
    assert limit.limit == 4
    for _ in range(20):
        now[0] += 1.0
        limit.throttled(None)
    assert limit.limit == 1


def test_replies_bring_it_back_by_one_a_round(now):
    limit = AdaptiveLimit(lambda: 10)
    limit.throttled(None)
    for _ in range(8):
        limit.replied()
    assert limit.limit == 8
    for _ in range(100):
        limit.replied()
    assert limit.limit == 10


def test_a_new_share(now):
    share = 8
    limit = AdaptiveLimit(lambda: share)
    limit.throttled(None)
    share = 16
    assert limit.limit == 5, "the judge had refused: more share is no reason to ask more at once"
    share = 2
    assert limit.limit == 2


def test_delays_double_with_jitter_and_end():
    random.seed(1)
    for failures in range(1, 40):
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1))
        drawn = [delay(failures) for _ in range(50)]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
    assert delay(1, retry_after=17.0) == 17.0
