"""Answers in every shape and with every flaw that was seen in real files."""

import json

import pytest
from arena.data.answers import Answer, read_answers


def write(tmp_path, *lines, name="m", end="\n"):
    path = tmp_path / f"{name}.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes(("\n".join(texts) + end).encode())
    return path


def new(uid, content, **more):
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": content}]
    return {"uid": uid, "model": "m", "messages": messages, **more}


def older(uid, content, **turn):
    turns = [{"content": content, **turn}]
    return {"question_id": uid, "model_id": "m", "choices": [{"index": 0, "turns": turns}]}


METADATA = {"token_len": 3, "header_count": {"h1": 1}}
STOPPED = {"finish_reason": "stop"}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (new("a", {"answer": "x"}), Answer("a", "x", None, 1)),
        (new("a", {"thought": "hm", "answer": "x"}), Answer("a", "x", None, 1)),
        (new("a", "x"), Answer("a", "x", None, 1)),
        (new("a", [{"type": "text", "text": "x"}, {"text": "y"}]), Answer("a", "xy", None, 1)),
        (new("a", {"answer": None}), Answer("a", "", None, 1)),
        (new("a", None), Answer("a", "", None, 1)),
        (new("a", "x", metadata=METADATA), Answer("a", "x", METADATA, 1)),
        (new("a", "x", metadata=None), Answer("a", "x", None, 1)),
        (new("a", "x", finish_reason="length"), Answer("a", "x", None, 1, "length")),
        (new("a", "x", metadata=STOPPED), Answer("a", "x", STOPPED, 1, "stop")),
        (older("a", "x"), Answer("a", "x", None, 1)),
        (older("a", "x", token_len=7), Answer("a", "x", {"token_len": 7}, 1)),
        (older(81, "x") | {"conv_metadata": METADATA}, Answer("81", "x", METADATA, 1)),
    ],
)
def test_every_shape(tmp_path, line, answer):
    file = read_answers(write(tmp_path, line))
    assert file.answers == {answer.uid: answer}
    assert (file.unreadable, file.duplicates, file.other_model) == ([], 0, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("<<<<<<< HEAD", "git conflict marker"),
        ({"messages": []}, "neither `uid` nor `question_id`"),
        ({"uid": "a"}, "neither `messages` nor `choices`"),
        ({"uid": "a", "messages": []}, "does not end with the model's answer"),
        ({"uid": "a", "messages": ["x"]}, "does not end with the model's answer"),
        ({"uid": "a", "messages": [{"role": "user"}]}, "does not end with the model's answer"),
        (new("a", {"text": "x"}), "`messages[-1].content.answer` is not text"),
        (new("a", 7), "`messages[-1].content.answer` is not text"),
        (new("a", {"answer": {"x": 1}}), "`messages[-1].content.answer` is not text"),
        (older("a", 7), "`choices[0].turns[0].content` is not text"),
        ({"uid": "a", "choices": []}, "`choices[0].turns[0]` is missing"),
        ({"uid": "a", "choices": None}, "`choices[0].turns[0]` is missing"),
    ],
)
def test_a_bad_line_is_listed_and_the_others_are_read(tmp_path, line, message):
    file = read_answers(write(tmp_path, new("b", "x"), line, new("c", "y")))
    assert set(file.answers) == {"b", "c"}
    (bad,) = file.unreadable
    assert bad.number == 2
    assert message in bad.error


def test_of_duplicates_the_last_counts_and_another_models_name_is_noted(tmp_path):
    lines = [new("a", "x"), new("b", "y"), new("a", "z")]
    file = read_answers(write(tmp_path, *lines, name="renamed"))
    assert file.answers["a"] == Answer("a", "z", None, 3)
    assert file.duplicates == 1
    assert "'m'" in file.other_model


@pytest.mark.parametrize(
    ("text", "empty"), [("", True), (" \n\n", True), ("$ERROR$", True), ("0", False)]
)
def test_empty_answers(text, empty):
    assert Answer("a", text, None, 1).is_empty is empty
