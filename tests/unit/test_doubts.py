"""Notes on verdicts that cannot be what they seem."""

import json

import numpy as np
import pytest
from arena.ranking.doubts import doubts
from arena.ranking.show_result import Sources, make_result
from arena.ranking.votes import Verdicts, read_verdicts

STRONG_LOSS, STRONG_WIN = 0, 4  # of games[0], where the model is B


def verdicts_of(first, second):
    """Codes of games[0] and games[1], models in rows."""
    codes = np.stack([first, second], axis=-1)[None].astype(np.int8)
    names = tuple(f"q{number}" for number in range(codes.shape[2]))
    models = tuple(f"m{number}" for number in range(codes.shape[1]))
    category = np.zeros(len(names), dtype=int)
    return Verdicts(("j",), models, names, ("c",), category, {"c": None}, codes, False, (), ())


def judged(rng, models=4, questions=200, bias=0.0, noise=1.5):
    """Five labels of a judge with a bias for A, and how well its two verdicts agree."""
    skill = np.linspace(-2, 2, models)[:, None] + rng.normal(size=(models, questions))
    return [
        np.digitize(side * skill - bias + noise * rng.normal(size=skill.shape), [-2, -0.3, 0.3, 2])
        for side in (1, -1)
    ]


@pytest.mark.parametrize("bias", [0.0, 1.0, -2.0])
def test_a_judge_with_a_place_bias_is_no_mirror(bias):
    first, second = judged(np.random.default_rng(0), bias=bias)
    assert list(doubts(verdicts_of(first, second), "v2.0")) == []


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_mirrored_labels_are_found(bias):
    first, second = judged(np.random.default_rng(0), bias=bias)
    (note,) = doubts(verdicts_of(first, 4 - second), "v2.0")
    assert "mirrored" in note
    assert "m0" not in note, "all models"


def test_mirrored_labels_of_one_file_name_its_model():
    rng = np.random.default_rng(1)
    first, second = judged(rng, models=6, noise=0.5)
    second[2] = 4 - second[2]
    (note,) = doubts(verdicts_of(first, second), "v2.0")
    assert "questions of m2 one game" in note


def test_verdicts_by_chance_alone_are_no_mirror():
    rng = np.random.default_rng(2)
    for _ in range(20):
        first, second = rng.integers(0, 5, (2, 30, 100))
        assert list(doubts(verdicts_of(first, second), "v2.0")) == []


def test_labels_that_cancel_everywhere_are_said_though_nothing_varies(shared_cases):
    """`A<B` in a sense of its own: 80.0 by the five labels of v0.1, 50.0 by v2.0."""
    found = {}
    for rule in ("v0.1", "v2.0"):
        sources = Sources.find(
            bench="arena-hard-v0.1", judges=["j"], data_dir=shared_cases / "v01_labels"
        )
        result = make_result(sources, rule=rule)
        found[rule] = {row.model: row.score for row in result.boards[0].rows}["m"], result.notes
    assert found["v0.1"][0] == 80
    assert "100 of 200 games have no verdict" in found["v0.1"][1][0]
    assert found["v2.0"][0] == 50
    assert "in 100% of the questions" in found["v2.0"][1][0]
    assert "mirrored" in found["v2.0"][1][0]


def test_gpt_4os_judgments_are_above_suspicion_but_mirrored_they_are_not(shared_data, tmp_path):
    """It picks A in 66 % and flips a third of the questions."""
    files = sorted((shared_data / "published-gpt-4o/model_judgment").glob("*.jsonl"))
    table = read_verdicts({"gpt-4o": files}, bench="b", rule="v0.1")
    notes = list(doubts(table, "v0.1"))
    assert [note.split(" games")[0] for note in notes] == ["judge gpt-4o: 973 of 8,000"]
    assert "(958) of Phi-3-small-8k-instruct" in notes[0]
    turned = {"A": "B", "B": "A", ">": ">", "=": "="}
    for file in files[:3]:
        lines = [json.loads(line) for line in file.open(encoding="utf-8")]
        for line in lines:
            game = line["games"][1]
            if game and game["score"]:
                game["score"] = "".join(turned.get(sign, sign) for sign in game["score"])
        (tmp_path / file.name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = read_verdicts({"gpt-4o": sorted(tmp_path.glob("*.jsonl"))}, bench="b", rule="v0.1")
    assert any("mirrored" in note for note in doubts(table, "v0.1"))
