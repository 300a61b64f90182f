import json
from dataclasses import replace

import numpy as np
import pytest
from arena.pages.health_page import health_page
from arena.ranking.intervals import question_weights
from arena.ranking.judge_health import answer_health, bin_text, judge_health, share
from arena.ranking.show_result import TOY_NOTE, make_health, plain
from arena.ranking.votes import ABSENT, count_votes

from tests.judged import answer, judgments, line, sources_of, table, weights_of, write_lines
from tests.served import run_script

# Consistent win, consistent loss, A twice, B twice, a tie and a win, ties, no verdict.
GAMES = [
    ("B>A", "A>B"),
    ("A>>B", "B>>A"),
    ("A>B", "A>B"),
    ("B>A", "B>A"),
    ("A=B", "A>B"),
    ("A=B", "A=B"),
    ("A>B", "truncated"),
]


def test_position_bias_and_flips_by_hand():
    verdicts = table(judge={"m": GAMES})
    health = judge_health(verdicts, 0, weights_of(verdicts))
    assert (health["games"], health["states"]) == (14, {"ok": 13, "truncated": 1})
    assert (health["labels"]["A>B"], health["labels"]["A>>B"]) == ([2, 3], [1, 0])
    shares = {
        "a_wins": (9, 100 * 5 / 9),  # decided among pairs with both verdicts; 1 + 1 + 2 + 0 + 1
        "a_wins_strong": (2, 50),
        "a_wins_weak": (7, 100 * 4 / 7),
        "flips": (6, 100 / 3),
        "flips_to_a": (2, 50),
        "half_flips": (6, 100 / 6),
        "strong": (12, 100 * 2 / 12),
    }
    for key, expected in shares.items():
        assert (health[key].of, health[key].value) == pytest.approx(expected), key
    (model,) = health["models"]
    assert [model[key] for key in ("games", "no_verdict", "truncated")] == [14, 1, 1]
    assert model["flips"] == pytest.approx(100 / 3)


def test_shares_have_intervals_over_questions():
    hits, cases = np.zeros((3, 200)), np.ones((3, 200))
    hits[:, :50] = 1  # the same in all three: 50 of 200 questions, not 150 of 600
    weights = question_weights([f"q{number}" for number in range(200)], 2000, seed=1)
    found = share(hits, cases, weights)
    assert (found.value, found.of) == (25, 600)
    width = 2 * 1.645 * 100 * np.sqrt(0.25 * 0.75 / 200)
    assert found.upper - found.lower == pytest.approx(width, rel=0.07)
    assert share(hits, np.zeros((3, 200)), weights).value is None
    never = share(0 * hits[:, :12], cases[:, :12], weights[:, :12])
    assert (never.lower, never.upper) == pytest.approx((0, 100 * (1 - 0.05 ** (1 / 12))))


def test_length_bias_and_empty_answers():
    games = [("B>A", "A>B"), ("A>B", "B>A"), ("B>A", "A=B"), ("B>A", "A=B"), ("A>B", "A=B")]
    verdicts = table(judge={"m": games})
    lengths = {"m": np.array([200.0, 30.0, 0.0, 100.0, np.nan]), "base": np.full(5, 100.0)}
    unjudged = replace(verdicts, codes=verdicts.codes.copy())
    unjudged.codes[0, 0, 2] = ABSENT
    none, found = (
        plain(answer_health(one, count_votes(one.codes), weights_of(one), lengths, ["a note"]))
        for one in (unjudged, verdicts)
    )
    assert none["empty_answers"] == 0
    # Decided with unlike lengths: two for the longer, two for the longer, one for the empty one.
    assert (found["longer_wins"]["of"], found["longer_wins"]["value"]) == (5, 80)
    scores = {bin_text(one["low"], one["high"]): one["score"] for one in found["bins"]}
    values = [scores[name]["value"] for name in ("2 to 4", "0.25 to 0.5", "under 0.25")]
    assert (values, scores["4 and more"]["of"]) == ([100, 0, 75], 0)
    assert (found["empty_answers"], found["empty_models"]) == (1, {"m": 1})
    assert found["empty_score"]["value"] == 75
    assert (found["empty_wins"]["of"], found["empty_wins"]["value"]) == (2, 50)
    assert found["notes"] == ["a note"]


def test_the_command_on_real_judgments(published, tmp_path):
    asked = ["judge_health.py", "--data-dir", tmp_path, "-b", "arena-hard-v0.1", "--rule", "v2.0"]
    done = run_script(*asked, "-j", "gpt-4o", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    health = json.loads((tmp_path / "out/health.json").read_text())
    (judge,) = health["judges"]
    assert judge["games"] == 8000
    assert judge["states"] == {"ok": 7027, "unparsed": 973}
    assert judge["a_wins"]["value"] == pytest.approx(66.53, abs=0.01), (
        "gpt-4o likes the first answer"
    )
    assert judge["flips"]["value"] == pytest.approx(32.24, abs=0.01)
    assert health["answers"] is None
    assert (tmp_path / "out/health.txt").read_text() == done.stdout
    missing = run_script(*asked, "-j", "gpt4o")
    assert missing.returncode == 1
    assert "did you mean 'gpt-4o'" in missing.stderr
    mistaken = run_script(*asked, "--rule", "v3")
    assert "invalid choice: 'v3'" in mistaken.stderr


def test_the_toy_and_examples_are_named(tmp_path):
    games = [
        {"score": "A>B", "toy": True},
        {"judgment": "no end in sight", "finish_reason": "length"},
    ]
    data = judgments(tmp_path, j__m=[{"uid": str(number), "games": games} for number in range(5)])
    health = make_health(sources_of(data))
    text = health_page(health).text()
    assert TOY_NOTE in text
    assert text.count("no end in sight") == 1, "five times the same is one example"
    assert health["examples"][0]["state"] == "truncated"


def test_votes_by_length_count_strong_verdicts_as_the_leaderboard_does(tmp_path):
    """A strong win and a weak loss of equally long answers: 3 of 4 votes, or 1 of 2."""
    data = judgments(tmp_path, j__m=[line("q0", "B>>A", "B>A", baseline="base")])
    for model in ("m", "base"):
        write_lines(data / "bench/model_answer" / f"{model}.jsonl", [answer("q0", "an answer")])
    for options, score in (({}, 75), ({"weight": 1}, 50), ({"weight": 1.5}, 60)):
        found = make_health(sources_of(data), **options)["answers"]["bins"]
        assert [one["score"]["value"] for one in found if one["score"]["of"]] == [score]
