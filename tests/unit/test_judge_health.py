import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from arena.pages.health_page import health_page
from arena.ranking.answer_health import Lengths, answer_health, bin_text, read_lengths
from arena.ranking.intervals import question_weights
from arena.ranking.judge_health import judge_health, share
from arena.ranking.show_result import Sources, make_health
from arena.ranking.votes import ABSENT, CODE_OF_STATE, CODE_OF_VERDICT, Verdicts, count_votes


def table(**judges):
    """Verdicts from judge -> model -> list of (label in games[0], label in games[1])."""
    models = list(next(iter(judges.values())))
    size = len(next(iter(judges.values()))[models[0]])
    known = CODE_OF_VERDICT | CODE_OF_STATE
    codes = [
        [[[known[one] for one in pair] for pair in judges[judge][model]] for model in models]
        for judge in judges
    ]
    names = tuple(f"q{number}" for number in range(size))
    return Verdicts(
        judges=tuple(judges),
        models=tuple(models),
        questions=names,
        categories=("c",),
        category=np.zeros(size, dtype=int),
        baselines={"c": "base"},
        codes=np.array(codes, dtype=np.int8),
        files={},
        toy=False,
        examples=(),
        notes=(),
    )


def weights_of(verdicts, rounds=200):
    return question_weights(verdicts.questions, rounds, seed=1)


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
    (health,) = judge_health(verdicts, weights_of(verdicts))
    assert health.games == 14
    assert health.states == {"ok": 13, "truncated": 1}
    assert health.labels["A>B"] == (2, 3)
    assert health.labels["A>>B"] == (1, 0)
    # Decided among pairs with both verdicts: 9; for A: 1 + 1 + 2 + 0 + 1
    assert (health.a_wins.of, health.a_wins.value) == (9, pytest.approx(100 * 5 / 9))
    assert (health.a_wins_strong.of, health.a_wins_strong.value) == (2, 50)
    assert (health.a_wins_weak.of, health.a_wins_weak.value) == (7, pytest.approx(100 * 4 / 7))
    assert (health.flips.of, health.flips.value) == (6, pytest.approx(100 / 3))
    assert (health.flips_to_a.of, health.flips_to_a.value) == (2, 50)
    assert (health.half_flips.of, health.half_flips.value) == (6, pytest.approx(100 / 6))
    assert (health.strong.of, health.strong.value) == (12, pytest.approx(100 * 2 / 12))
    (model,) = health.models
    assert (model.games, model.no_verdict, model.truncated) == (14, 1, 1)
    assert model.flips == pytest.approx(100 / 3)


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


def test_a_judge_that_always_says_a_is_found_out():
    verdicts = table(judge={"m": [("A>B", "A>B")] * 20})
    (health,) = judge_health(verdicts, weights_of(verdicts))
    assert health.a_wins.value == health.flips.value == health.flips_to_a.value == 100


def test_length_bias_and_empty_answers():
    verdicts = table(
        judge={
            "m": [("B>A", "A>B"), ("A>B", "B>A"), ("B>A", "A=B"), ("B>A", "A=B"), ("A>B", "A=B")]
        }
    )
    lengths = Lengths(
        model=np.array([[200.0, 30.0, 0.0, 100.0, np.nan]]),
        baseline=np.array([100.0, 100.0, 100.0, 100.0, 100.0]),
    )
    unjudged = replace(verdicts, codes=verdicts.codes.copy())
    unjudged.codes[0, 0, 2] = ABSENT
    votes = count_votes(unjudged.codes)
    assert answer_health(unjudged, votes, lengths, [], weights_of(verdicts)).empty_answers == 0
    votes = count_votes(verdicts.codes)
    found = answer_health(verdicts, votes, lengths, ["a note"], weights_of(verdicts))
    # Decided with unlike lengths: two for the longer, two for the longer, one for the empty one.
    assert (found.longer_wins.of, found.longer_wins.value) == (5, 80)
    scores = {bin_text(one.low, one.high): one.score for one in found.bins}
    assert scores["2 to 4"].value == 100
    assert scores["0.25 to 0.5"].value == 0
    assert scores["under 0.25"].value == 75
    assert scores["4 and more"].of == 0
    assert (found.empty_answers, found.empty_models) == (1, {"m": 1})
    assert found.empty_score.value == 75
    assert (found.empty_wins.of, found.empty_wins.value) == (2, 50)
    assert found.notes == ["a note"]


def answers(path, *texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        {"uid": f"q{number}", "messages": [{"content": {"answer": text}}]}
        for number, text in enumerate(texts)
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_lengths_are_read_a_file_at_a_time(tmp_path):
    verdicts = table(judge={"m": [("A>B", "B>A")] * 3, "n": [("A>B", "B>A")] * 3})
    files = {
        "m": answers(tmp_path / "m.jsonl", "four", " \n"),
        "n": tmp_path / "n.jsonl",
        "base": answers(tmp_path / "base.jsonl", "1", "22", "$ERROR$"),
    }
    with files["m"].open("a") as file:
        file.write("torn")
    lengths, notes = read_lengths(verdicts, files)
    assert lengths.model[0] == pytest.approx([4, 0, np.nan], nan_ok=True)
    assert np.isnan(lengths.model[1]).all()
    assert lengths.baseline.tolist() == [1, 2, 0], "a failed generation is no answer of 7 letters"
    assert lengths.empty[0].tolist() == [False, True, False]
    assert notes == [
        f"{files['m']}:3: line left out: torn: the file ends inside this line",
        "no answers to look at: n",
    ]


def test_the_command_on_real_judgments(shared_data, tmp_path, project):
    folder = tmp_path / "b" / "model_judgment"
    folder.mkdir(parents=True)
    (folder / "gpt-4o").symlink_to(shared_data / "published-gpt-4o" / "model_judgment")
    script = project / "workflow" / "scripts" / "judge_health.py"
    command = [sys.executable, script, "--data-dir", tmp_path, "-b", "b", "-j", "gpt-4o"]
    done = subprocess.run([*command, "--out", tmp_path / "out"], text=True, capture_output=True)
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
    missing = subprocess.run([*command[:-1], "gpt4o"], text=True, capture_output=True)
    assert missing.returncode == 1
    assert "did you mean 'gpt-4o'" in missing.stderr
    mistaken = subprocess.run([*command, "--rule", "v3"], text=True, capture_output=True)
    assert "invalid choice: 'v3'" in mistaken.stderr


def test_the_toy_and_examples_are_named(tmp_path):
    folder = tmp_path / "b" / "model_judgment" / "j"
    folder.mkdir(parents=True)
    games = [
        {"score": "A>B", "toy": True},
        {"judgment": "no end in sight", "finish_reason": "length"},
    ]
    lines = [{"uid": str(number), "games": games} for number in range(5)]
    (folder / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    health = make_health(Sources.find(bench="b", judges=["j"], data_dir=tmp_path))
    assert "The demo judge is a toy" in health_page(health.to_dict()).text()
    assert health_page(health.to_dict()).text().count("no end in sight") == 1, (
        "five times the same is one example"
    )
    assert health.to_dict()["examples"][0]["state"] == "truncated"


def test_votes_by_length_count_strong_verdicts_as_the_leaderboard_does(tmp_path):
    """A strong win and a weak loss of equally long answers: 3 of 4 votes, or 1 of 2."""
    folder = tmp_path / "b" / "model_judgment" / "j"
    folder.mkdir(parents=True)
    games = [{"score": "B>>A"}, {"score": "B>A"}]
    (folder / "m.jsonl").write_text(json.dumps({"uid": "q0", "baseline": "base", "games": games}))
    for model in ("m", "base"):
        answers(tmp_path / "b" / "model_answer" / f"{model}.jsonl", "an answer")
    sources = Sources.find(bench="b", judges=["j"], data_dir=tmp_path)
    for options, score in (({}, 75), ({"weight": 1}, 50)):
        found = make_health(sources, **options).answers.bins
        assert [one.score.value for one in found if one.score.of] == [score]
