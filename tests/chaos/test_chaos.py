"""Two seeds of the chaos run (`python tests/chaos` plays more), and that it can fail."""

import dataclasses
from collections import Counter

import pytest

from tests.chaos.bench import MODELS, PARALLEL
from tests.chaos.checks import disturbed, examine, known_problems, undisturbed
from tests.chaos.run import NEEDED, Told
from tests.workflow.conftest import read_lines, write_lines

QUESTIONS = 60  # 180 answers and 360 games


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("chaos"), QUESTIONS)


def test_the_undisturbed_run_is_what_is_known_beforehand(calm):
    assert known_problems(calm) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_changed(calm, seed):
    outcome = disturbed(calm, seed)
    assert outcome.missing == set(), "a kind of fault never fired"
    assert (outcome.games, outcome.lost, outcome.doubled, outcome.differing) == (540, 0, 0, 0)
    assert (outcome.unequal, outcome.told.left) == ([], [])
    assert outcome.is_good, outcome.row(seed)


def test_the_checks_see_what_is_wrong(calm, tmp_path):
    """A copy of the undisturbed run: one line lost, one doubled, one verdict turned round; an
    answer lost, one doubled, one of another model."""
    stormy = dataclasses.replace(calm, run=tmp_path / "copy")
    for model in MODELS:
        copies = [(calm.output(model), stormy.output(model))]
        copies += [(calm.answers(model), stormy.answers(model))]
        copies += zip(calm.journals(model), stormy.journals(model), strict=True)
        copies += [(calm.leaderboard, stormy.leaderboard)]
        for path, target in copies:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    peace = examine(calm, stormy, Told(calls=[]))
    assert (peace.lost, peace.doubled, peace.differing, peace.unequal) == (0, 0, 0, [])
    assert peace.missing == NEEDED
    lines = read_lines(stormy.output("beta"))
    turned = next(game for line in lines[2:] for game in line["games"] if game["score"] == "A>B")
    turned["score"] = "B>A"
    write_lines(stormy.output("beta"), [lines[0], lines[0], *lines[2:]])
    wrong = examine(calm, stormy, Told(calls=[]))
    assert (wrong.lost, wrong.doubled) == (2, 2)
    assert wrong.differing == 3, "the turned one, and both of the doubled line"
    assert wrong.unequal == ["beta: other bytes"]
    assert not wrong.is_good
    answers = read_lines(stormy.answers("gamma"))
    answers[2]["model"] = "beta"
    write_lines(stormy.answers("gamma"), [answers[0], answers[0], *answers[2:]])
    wrong = examine(calm, stormy, Told(calls=[]))
    assert (wrong.lost, wrong.doubled, wrong.differing) == (2 + 1, 2 + 1, 3 + 2)
    assert wrong.unequal == ["beta: other bytes", "gamma: other bytes"]
    journal = stormy.journals("alpha")[0]
    lines = read_lines(journal)
    write_lines(journal, lines[1:])
    assert examine(calm, stormy, Told(calls=[])).unequal[-1].startswith(f"{journal}: 1 ")
    stormy.leaderboard.write_text("another\n")
    assert examine(calm, stormy, Told(calls=[])).unequal[0] == "another leaderboard"


def test_the_checks_count_calls_by_what_became_of_them(calm):
    """Of 540: one call more than any cause explains, and more vanished than were open."""
    replies = Counter({f"game {number}": 1 for number in range(540)})
    told = Told(calls=list(replies), replies=replies, lives=1)
    assert examine(calm, calm, told).is_good
    told.calls += ["game 1"] * PARALLEL
    assert examine(calm, calm, told).is_good, "in flight when the judge ended"
    told.calls += ["game 1"]
    assert not examine(calm, calm, told).is_good
    told.replies = replies + Counter({"game 1": 1})
    assert not examine(calm, calm, told).is_good, "paid for twice"
    told.kills = [1]
    assert examine(calm, calm, told).is_good, "in flight when the batch was killed"
    told.left = ["python judge.py"]
    assert not examine(calm, calm, told).is_good
