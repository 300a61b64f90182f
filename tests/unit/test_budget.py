"""A budget: what counts as spent by a run, when files are looked at, and that it stays used up."""

import os
from itertools import pairwise

import pytest
from arena.client import budget
from arena.client.budget import Budget

from tests.synthetic import T0, attempt, journal_line, write_attempt, write_batch, write_journal


@pytest.fixture
def root(tmp_path):
    """A run since T0 with 3 games of 120 tokens each and half an hour on two GPUs."""
    old = [journal_line(q, 0, T0 - 100) for q in range(5)]
    new = [journal_line(7, 0, T0 + 5), journal_line(7, 1, T0 + 6), journal_line(8, 0, attempts=0)]
    write_journal(tmp_path, "a", old + new)
    write_journal(tmp_path, "b", [journal_line(1, 0, T0 + 9)])
    unchanged = write_journal(tmp_path, "c", [journal_line(1, 0, T0 + 9)])
    os.utime(unchanged, (T0 - 200_000, T0 - 200_000))  # not written to in this run: not even opened
    write_batch(tmp_path, "run-01", ["a"], attempt(0, 1, 2, 900))
    write_batch(tmp_path, "before-01", ["a"], attempt(-9000, 1, 2, -5000))
    return tmp_path


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [T0 + 1000]
    monkeypatch.setattr(budget.time, "time", lambda: now[0])
    return now


def test_spent_is_what_this_run_asked_and_a_second_look_reads_what_is_new(root):
    budget = Budget({}, [root], "run", T0)
    assert budget.spent(T0 + 1000) == {"games": 3, "tokens": 360, "gpu_hours": pytest.approx(0.5)}
    with (root / "games/b.jsonl").open("a") as file:
        file.write(journal_line(2, 0, T0 + 20))
    assert budget.spent(T0 + 1030)["games"] == 4


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"games": 3}, "3 games (budget.games"),
        ({"games": 4}, None),
        ({"tokens": 360}, "360 tokens (budget.tokens"),
        ({"gpu_hours": 0.002, "games": 4}, "0.002 GPU hours (budget.gpu_hours"),
    ],
)
def test_budget_of_a_batch(root, clock, limits, words):
    budget = Budget(limits, [root], "run", T0)
    said = budget.exceeded()
    assert said is None if words is None else words in said
    assert budget.exceeded() == said


def test_a_run_begins_with_the_first_of_its_batches_and_not_with_its_namesakes(root):
    """A batch that an earlier run played too: what that one spent is not this one's."""
    assert Budget({}, [root], "run", T0 + 500).spent(T0 + 1000)["games"] == 3
    earlier = attempt(-9000, -8999, -8990, -5000, run="before")
    write_attempt(root, "run-01", attempt(0, 1, 2, 900, run="run", earlier=[earlier]))
    assert Budget({}, [root], "run", T0).spent(T0 + 1000)["gpu_hours"] == pytest.approx(0.5)


def test_nothing_is_read_without_a_budget():
    budget = Budget({}, [], "run", T0)
    budget.spent = lambda _: pytest.fail("read")
    assert budget.exceeded() is None


def test_looks_are_rarer_far_from_the_limit_and_stop_when_it_is_reached(clock):
    """Ten games a second: 1,000 are reached at 100 s."""
    looks = []

    def read(now):
        looks.append(now)
        return {"games": int(10 * (now - T0 - 1000))}

    ours = Budget({"games": 1000}, [], "run", T0)
    ours.spent = read
    while ours.exceeded() is None:
        clock[0] += 0.25
    pauses = [after - before for before, after in pairwise(looks)]
    assert max(pauses) == pytest.approx(20, abs=0.5)  # 1,000 games at 50 a second
    assert min(pauses[1:]) == pytest.approx(budget.READ_EVERY[0], abs=0.25)
    assert looks[-1] - T0 - 1000 <= 100 + budget.READ_EVERY[0] + 0.25
    before = len(looks)
    assert ours.exceeded() is not None
    assert len(looks) == before


def test_a_node_whose_clock_is_behind_the_heads_spends_all_the_same(tmp_path):
    write_batch(tmp_path, "run-01", ["a"], time=T0 + 600)
    write_attempt(tmp_path, "run-01", attempt(0, 1, 2, 900, run="run"))
    write_journal(tmp_path, "a", [journal_line(1, 0, T0 + 9)])
    assert Budget({}, [tmp_path], "run", T0 + 600).spent(T0 + 1000)["games"] == 1
