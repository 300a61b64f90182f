"""Notes on verdicts that cannot be what they seem."""

import json

import numpy as np
import pytest
from arena.ranking.notes import verdict_notes
from arena.ranking.votes import read_verdicts

from tests.judged import result_of, verdicts_of, write_lines


def noted(first, second):
    """Notes on codes of games[0] and games[1], models in rows."""
    return list(verdict_notes(verdicts_of(np.stack([first, second], axis=-1)[None]), "v2.0"))


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
    assert noted(first, second) == []


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_mirrored_labels_are_found(bias):
    first, second = judged(np.random.default_rng(0), bias=bias)
    (note,) = noted(first, 4 - second)
    assert "mirrored" in note
    assert "m0" not in note, "all models"


def test_mirrored_labels_of_one_file_name_its_model():
    rng = np.random.default_rng(1)
    first, second = judged(rng, models=6, noise=0.5)
    second[2] = 4 - second[2]
    (note,) = noted(first, second)
    assert "questions of m2 one game" in note


def test_verdicts_by_chance_alone_are_no_mirror():
    rng = np.random.default_rng(2)
    for _ in range(20):
        first, second = rng.integers(0, 5, (2, 30, 100))
        assert noted(first, second) == []


def test_labels_that_cancel_everywhere_are_noted(shared_cases):
    """`A<B` in a sense of its own: 80.0 by the five labels of v0.1, 50.0 by v2.0."""
    found = {}
    for rule in ("v0.1", "v2.0"):
        result = result_of(shared_cases / "v01_labels", bench="arena-hard-v0.1", rule=rule)
        found[rule] = {row.model: row.score for row in result.boards[0].rows}["m"], result.notes
    assert found["v0.1"][0] == 80
    assert "100 of 200 games have no verdict" in found["v0.1"][1][0]
    assert found["v2.0"][0] == 50
    assert "in 100% of the questions" in found["v2.0"][1][0]
    assert "mirrored" in found["v2.0"][1][0]


def test_gpt_4os_judgments_raise_no_note_unless_they_are_mirrored(shared_data, tmp_path):
    """It picks A in 66 % and flips a third of the questions."""
    files = sorted((shared_data / "published-gpt-4o/model_judgment").glob("*.jsonl"))
    table = read_verdicts({"gpt-4o": files}, bench="b", rule="v0.1")
    notes = list(verdict_notes(table, "v0.1"))
    assert [note.split(" games")[0] for note in notes] == ["judge gpt-4o: 973 of 8,000"]
    assert "(958) of Phi-3-small-8k-instruct" in notes[0]
    turned = {"A": "B", "B": "A", ">": ">", "=": "="}
    for file in files[:3]:
        lines = [json.loads(line) for line in file.open(encoding="utf-8")]
        for line in lines:
            game = line["games"][1]
            if game and game["score"]:
                game["score"] = "".join(turned.get(sign, sign) for sign in game["score"])
        write_lines(tmp_path / file.name, lines)
    table = read_verdicts({"gpt-4o": sorted(tmp_path.glob("*.jsonl"))}, bench="b", rule="v0.1")
    assert any("mirrored" in note for note in verdict_notes(table, "v0.1"))
