import json

import numpy as np
import pytest
from arena.ranking.style_counts import read_style_counts

from tests.judged import answer, write_lines

METADATA = {
    "token_len": 12,
    "header_count": {"h1": 1, "h2": 2, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
    "list_count": {"ordered": 3, "unordered": 4},
    "bold_count": {"**": 5, "__": 1},
}


def test_stored_counted_and_missing(tmp_path):
    lines = {
        "stored": [answer("q2", metadata=METADATA), answer("z", metadata=METADATA)],
        "older": [answer("q1", conv_metadata=METADATA)],
        "counted": [answer("q1", "# Head\n- **bold** one", metadata=None)],
        "half": [answer("q1", metadata=METADATA), answer("q2", "")],
    }
    files = {
        **{model: write_lines(tmp_path / model, *some) for model, some in lines.items()},
        "gone": tmp_path / "none",
    }
    counts, notes = read_style_counts(files, ["q1", "q2"])
    row = [12, 3, 7, 6]
    nan = [np.nan] * 4
    assert counts["stored"] == pytest.approx(np.array([nan, row]), nan_ok=True)
    assert counts["older"] == pytest.approx(np.array([row, nan]), nan_ok=True)
    assert counts["counted"][0, 1:].tolist() == [1, 1, 1]
    assert counts["counted"][0, 0] > 0
    assert counts["half"].tolist() == [row, [0, 0, 0, 0]]
    assert np.isnan(counts["gone"]).all()
    assert "gone" in notes[0]
    assert " 2 models" in notes[1]


def test_official_counts_of_real_answers(shared_data):
    older = shared_data / "arena-hard-v0.1-older-shape" / "model_answer" / "gpt-4-0613.jsonl"
    uids = [json.loads(line)["question_id"] for line in older.open(encoding="utf-8")]
    counts, notes = read_style_counts({"gpt-4-0613": older}, uids)
    assert notes == []
    assert counts["gpt-4-0613"][0].tolist() == [628, 0, 6, 6]
    assert not np.isnan(counts["gpt-4-0613"]).any()
