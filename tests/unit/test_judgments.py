"""Every shape of judgment files, with the flaws of real ones."""

import json

import pytest
from arena.data.judgments import read_judgments

SEEDED = '{"question_id": "q1", "games": [{"judgment": "[[A>B]]"}, {"judgment": "[[B>A]]"}]}'


def read_all(tmp_path, *lines, **options):
    """The lines of a file, and the problems of those that cannot be read."""
    path, problems = tmp_path / "some-model.jsonl", []
    path.write_bytes(b"".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return list(read_judgments(path, problems=problems, **options)), problems


def read(tmp_path, *lines, **options):
    found, problems = read_all(tmp_path, *lines, **options)
    assert problems == []
    return found


def test_the_shape_of_v2_and_of_v01(tmp_path):
    about = {"uid": "u", "category": "hard_prompt", "model": "m", "baseline": "b"}
    game = {"score": "A<<B", "judgment": {"answer": "so [[A<<B]]", "thought": "?"}, "toy": True}
    game["prompt"] = [{"role": "system", "content": None}, {"role": "user", "content": "Q"}]
    new = about | {"judge": "j", "games": [game, None]}
    game = {"score": None, "judgment": "no verdict", "user_prompt": "..."}
    old = {"question_id": 7, "model": "m", "judge": "j", "games": [game]}
    first, second = read(tmp_path, json.dumps(new), "\r\n\r\n", json.dumps(old))
    assert {key: getattr(first, key) for key in about} == about
    played, none = first.games
    assert (played.score, played.answer, played.toy, none) == ("A<<B", "so [[A<<B]]", True, None)
    assert (played.system_prompt, played.prompt) == ("", [("system", ""), ("user", "Q")])
    assert second.uid == "7"
    played, none = second.games  # a line with one game
    assert (played.score, played.state, played.toy, none) == (None, "unparsed", False, None)


@pytest.mark.parametrize(
    ("game", "score", "state"),
    [
        ({"score": "[A=B]", "judgment": "verdict is tie: [[A=B]]"}, "A=B", "ok"),
        ({"score": "A=B", "judgment": "$ERROR$"}, "A=B", "ok"),
        ({"score": "the whole reply, [[B>>A]]"}, "B>>A", "ok"),
        ({"score": "", "judgement": {"answer": "[[A>B]]"}}, "A>B", "ok"),
        ({"score": "A>>A", "judgment": "[[A>>A]]"}, None, "unparsed"),
        ({"score": None, "judgment": {"answer": None}}, None, "unparsed"),
        ({"score": 1.0, "judgment": {"content": "[[B>A]]"}}, "B>A", "ok"),
        ({"judgment": {"answer": "on and on"}, "finish_reason": "length"}, None, "truncated"),
        ({"judgment": {"answer": ""}, "state": "too_long"}, None, "too_long"),
        ({"judgment": None, "state": "rejected"}, None, "rejected"),
        ({"judgment": {"answer": "[[A>B]], no"}, "state": "unparsed"}, None, "unparsed"),
        ({"score": "A>B", "judgment": "[[A>B]]", "state": "rejected"}, None, "rejected"),
        ({"score": None, "judgment": "[[A>B]]", "state": "ok"}, "A>B", "ok"),
        ({"judgment": "<think>[[A>B]]</think>I pass"}, None, "unparsed"),
    ],
)
def test_a_score_that_is_no_label_means_that_the_text_decides(tmp_path, game, score, state):
    (line,) = read(tmp_path, json.dumps({"uid": "q", "games": [game, game]}))
    assert line.games[0].score == score
    assert line.games[1].state == state


@pytest.mark.parametrize(
    ("game", "v2", "v1"),
    [
        ({"judgment": "[[A>B]] no, [[B>A]]"}, "B>A", None),
        ({"score": "A<B", "judgment": "[[B>A]]"}, "A<B", None),  # a stored label is not read again
        ({"score": "B>>A", "judgment": ""}, "B>>A", "B>>A"),
    ],
)
def test_the_rule_decides(tmp_path, game, v2, v1):
    text = json.dumps({"uid": "q", "games": [game]})
    for rule, score in (("v2.0", v2), ("v0.1", v1)):
        found = read(tmp_path, text, rule=rule)[0].games[0]
        assert (found.score, found.state) == (score, "ok" if score else "unparsed")


def test_flaws_of_real_files(tmp_path):
    nan = '{"uid": "nan", "games": [{"score": NaN, "judgment": {"answer": "[[A>B]]"}}, null]}\n'
    lines = [
        b"\xef\xbb\xbf" + SEEDED.encode() + b"\r\n",
        "<<<<<<< HEAD\n",
        nan,
        "\n",
        b'{"uid": "bytes", "games": [{"score": "A>B", "judgment": {"answer": "caf\xe9"}}, null]}\n',
        '{"uid": "none", "games": []}\n',
        '{"games": [null, null]}\n',
        '{"uid": "shape", "games": "A>B"}\n',
        '{"uid": "deep", "other": ' + "[" * 9999 + "\n",
        '{"uid": "torn", "games": [{"sco',
    ]
    read_lines, problems = read_all(tmp_path, *lines)
    assert [line.uid for line in read_lines] == ["q1", "nan", "bytes"]
    first = read_lines[0]  # the shape of the scripts that this replaces
    assert (first.model, first.category) == ("some-model", None)
    assert [game.score for game in first.games] == ["A>B", "B>A"]
    assert [game.answer for game in first.games] == ["[[A>B]]", "[[B>A]]"]
    assert read_lines[1].games[0].score == "A>B"
    assert read_lines[2].games[0].answer == "caf�"
    assert [problem.number for problem in problems] == [2, 6, 7, 8, 9, 10]
    assert "conflict" in problems[0].error
    assert "torn" in problems[-1].error
    assert read(tmp_path, b"\xef\xbb\xbf") == []
