"""How many requests are open, and how long a failed game waits."""

import random

import arena.client.adaptive_limit
import pytest
from arena.client.adaptive_limit import FIRST_DELAY, LONGEST_DELAY, Pace, delay


@pytest.fixture
def now(monkeypatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(arena.client.adaptive_limit.time, "monotonic", lambda: clock[0])
    return clock


def test_it_starts_with_its_whole_share():
    assert Pace(16).limit == 16
    assert Pace(0).limit == 1


def test_too_many_cuts_by_a_third_once_a_second(now):
    pace = Pace(10)
    for _ in range(5):
        pace.throttled(None)
    assert pace.limit == 7
    now[0] += 1.0
    pace.throttled(None)
    assert pace.limit == 4
    for _ in range(20):
        now[0] += 1.0
        pace.throttled(None)
    assert pace.limit == 1


def test_replies_bring_it_back_by_one_a_round(now):
    pace = Pace(10)
    pace.throttled(None)
    for _ in range(8):
        pace.replied()
    assert pace.limit == 8
    for _ in range(100):
        pace.replied()
    assert pace.limit == 10


def test_retry_after_holds(now):
    pace = Pace(10)
    pace.throttled(7.0)
    pace.throttled(3.0)
    assert pace.hold_until == 107.0


def test_a_new_share(now):
    pace = Pace(4)
    pace.set_ceiling(8)
    assert pace.limit == 8
    pace.throttled(None)
    pace.set_ceiling(16)
    assert pace.limit == 5, "the judge had refused: more share is no reason to ask more at once"
    pace.set_ceiling(2)
    assert pace.limit == 2


def test_delays_double_with_jitter_and_end():
    chance = random.Random(1)
    for failures in range(1, 40):
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1))
        drawn = [delay(failures, chance) for _ in range(50)]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
        assert len(set(drawn)) == 50
    assert delay(1, chance, retry_after=17.0) == 17.0
