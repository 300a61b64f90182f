import re

import pytest
from arena.ranking.curves import make_curves, run_and_step
from arena.ranking.leaderboard import Board, Row
from arena.support.errors import ConfigError


def row(model, score=50.0, is_baseline=False):
    return Row(model, score, score, score, 1, 2, 1, 0, 1, 1, score, is_baseline)


def board(category, *rows):
    return Board(category, None, 1, list(rows), None, [])


@pytest.mark.parametrize(
    ("pattern", "model", "found"),
    [
        (r"(?P<run>.+)-step(?P<step>\d+)", "tulu3-8b-step1000", ("tulu3-8b", 1000)),
        (r"(?P<run>.+)_(?P<step>\d+[kM])", "run_b_20k", ("run_b", 20_000)),
        (r"checkpoint-(?P<step>[\d_]+)", "checkpoint-1_500", ("", 1500)),
        (r"step(?P<step>[\d.]+B)", "x-step1.5B", ("", 1.5e9)),
        (r"(?P<run>.+)-step(?P<step>\d+)", "gpt-4-0613", None),
        (r"(?P<run>.+)-(?P<step>\w+)", "a-final", None),
    ],
)
def test_run_and_step(pattern, model, found):
    assert run_and_step(re.compile(pattern), model) == found


def test_points_are_in_order_of_steps_and_leave_the_rest_out():
    names = ("r9-step9", "r9-step10", "r10-step5", "other", "a-step5")
    rows = [*map(row, names), row("r9-step1", 50, True)]
    points = make_curves([board("hard", *rows)], r"(?P<run>\w+)-step(?P<step>\d+)")
    found = [(point.run, point.step) for point in points]
    assert found == [("a", 5), ("r9", 9), ("r9", 10), ("r10", 5)]


def test_a_final_checkpoint_stands_behind_the_last_step_of_its_run():
    """As far behind as that is from the one before; without such a run it is on no curve."""
    names = ["r-step10", "r-step30", "r-final", "one-step8", "one_last", "other-final"]
    points = make_curves([board("hard", *map(row, names))], r"(?P<run>\w+)-step(?P<step>\d+)")
    assert [(point.run, point.step, point.row.model) for point in points] == [
        ("one", 8, "one-step8"),
        ("one", 16, "one_last"),
        ("r", 10, "r-step10"),
        ("r", 30, "r-step30"),
        ("r", 50, "r-final"),
    ]


def test_patterns_that_cannot_be_meant():
    with pytest.raises(ConfigError, match="no group `step`"):
        make_curves([board("x", row("m"))], r"step(\d+)")
    with pytest.raises(ConfigError, match="not a regular expression"):
        make_curves([board("x", row("m"))], r"step(")
    for step in ("abc", "1.5.2", "_", "."):
        with pytest.raises(ConfigError, match=f"'{step}', the step in 'm-{step}', is not a number"):
            make_curves([board("x", row(f"m-{step}"))], r"-(?P<step>.+)")
