"""How many requests are open, and how long a failed game waits."""

import random

from arena.client.adaptive_limit import FIRST_DELAY, LONGEST_DELAY, AdaptiveLimit, delay


def test_too_many_cuts_by_a_third_once_a_second(now):
    limit = AdaptiveLimit(10)
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
    limit = AdaptiveLimit(10)
    limit.throttled(None)
    for _ in range(8):
        limit.replied()
    assert limit.limit == 8
    for _ in range(100):
        limit.replied()
    assert limit.limit == 10


def test_retry_after_holds(now):
    limit = AdaptiveLimit(10)
    limit.throttled(7.0)
    limit.throttled(3.0)
    assert limit.hold_until == 107.0


def test_a_new_share(now):
    assert AdaptiveLimit(0).limit == 1
    limit = AdaptiveLimit(4)
    assert limit.limit == 4
    limit.set_ceiling(8)
    assert limit.limit == 8
    limit.throttled(None)
    limit.set_ceiling(16)
    assert limit.limit == 5, "the judge had refused: more share is no reason to ask more at once"
    limit.set_ceiling(2)
    assert limit.limit == 2


def test_delays_double_with_jitter_and_end():
    chance = random.Random(1)
    for failures in range(1, 40):
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1))
        drawn = [delay(failures, chance) for _ in range(50)]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
        assert len(set(drawn)) == 50
    assert delay(1, chance, retry_after=17.0) == 17.0
