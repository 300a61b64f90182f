"""Answers in every shape and with every flaw of real files; what is counted and remembered."""

import json
import os

import pytest
from arena.data.answers import (
    Answer,
    AnswerFile,
    Facts,
    FactsMemory,
    count_cut,
    facts_of,
    read_answers,
)
from arena.data.questions import Question
from arena.support.jsonl import Line


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


HEADERS = {"header_count": {"h1": 1}}
METADATA = {"token_len": 3} | HEADERS
STOPPED = {"finish_reason": "stop"}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (new("a", {"answer": "x"}), Answer("a", "x", None)),
        (new("a", {"thought": "hm", "answer": "x"}), Answer("a", "x", None)),
        (new("a", "x"), Answer("a", "x", None)),
        (new("a", [{"type": "text", "text": "x"}, {"text": "y"}]), Answer("a", "xy", None)),
        (new("a", {"answer": None}), Answer("a", "", None)),
        (new("a", None), Answer("a", "", None)),
        (new("a", "x", metadata=METADATA), Answer("a", "x", METADATA)),
        (new("a", "x", metadata=None), Answer("a", "x", None)),
        (new("a", "x", finish_reason="length"), Answer("a", "x", None, "length")),
        (new("a", "x", metadata=STOPPED), Answer("a", "x", STOPPED, "stop")),
        (older("a", "x") | {"uid": None, "messages": None}, Answer("a", "x", None)),
        (older("a", "x", token_len=3) | {"metadata": HEADERS}, Answer("a", "x", METADATA)),
        (older(81, "x") | {"conv_metadata": METADATA}, Answer("81", "x", METADATA)),
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
        *(
            ({"uid": "a", **line}, "neither `messages[-1]` nor `choices[0].turns[0]` is an answer")
            for line in (
                *({}, {"messages": []}, {"messages": ["x"]}, {"messages": [{"role": "user"}]}),
                *({"choices": []}, {"choices": None}, {"choices": [{"turns": [7]}]}),
            )
        ),
        (new("a", {"text": "x"}), "`messages[-1]` has no `content` that is text"),
        (new("a", 7), "`messages[-1]` has no `content` that is text"),
        (new("a", {"answer": {"x": 1}}), "`messages[-1]` has no `content` that is text"),
        (older("a", 7), "`choices[0].turns[0]` has no `content` that is text"),
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
    assert file.answers["a"] == Answer("a", "z", None)
    assert file.duplicates == 1
    assert "'m'" in file.other_model


@pytest.mark.parametrize(
    ("text", "empty"), [("", True), (" \n\n", True), ("$ERROR$", True), ("0", False)]
)
def test_empty_answers(text, empty):
    assert Answer("a", text, None).is_empty is empty


QUESTIONS = [Question(uid, "c", "?", 1) for uid in "abcd"]


def answer(uid, text="x", finish=None, **metadata):
    return Answer(uid, text, metadata or None, finish)


def test_facts_of_a_file_with_every_flaw():
    answers = (answer("a", ""), answer("c", finish="length"), answer("z"), answer("y"))
    bad = [Line(3, None, "torn"), Line(5, None, "later")]
    file = AnswerFile({one.uid: one for one in answers}, bad, 1, "named n")
    counts = {"answers": 2, "duplicates": 1, "empty": 1, "cut": 1, "unreadable": 2, "strange": 2}
    told = Facts(missing=(1, 3), first_unreadable=(3, "torn"), other_model="named n", **counts)
    assert facts_of(file, QUESTIONS) == told


@pytest.mark.parametrize(
    ("why", "answers", "cut"),
    [
        ("said", [answer(u, u, "length") for u in "ab"] + [answer("c", "c", "stop")], 2),
        ("three", [answer(u, u, token_len=1024) for u in "abc"] + [answer("d", token_len=9)], 3),
        ("chance", [answer(u, u, token_len=1024) for u in "ab"] + [answer("d", token_len=9)], 0),
        ("the same text", [answer(u, "same", token_len=7) for u in "abcd"], 0),
        ("said not to be", [answer(u, u, "stop", token_len=1024) for u in "abcd"], 0),
        ("empty", [answer(u, "", token_len=0) for u in "abcd"], 0),
        ("null length", [answer("a", "a", token_len=None)], 0),
        ("no answers", [], 0),
    ],
)
def test_answers_cut_at_the_token_cap(why, answers, cut):
    assert count_cut(answers) == cut, why


@pytest.fixture
def answers(tmp_path):
    """Write an answer file for some of the questions."""
    return lambda uids: write(tmp_path, *(new(uid, "x") for uid in uids))


@pytest.fixture
def memory(tmp_path):
    """Make the memory that a start has, for some questions."""
    return lambda questions=QUESTIONS: FactsMemory(tmp_path / "memory.json", questions)


def test_a_file_is_read_once(tmp_path, answers, memory):
    path, first = answers("abd"), memory()
    found = first.facts(path)
    assert (found.missing, first.read) == ((2,), 1)
    first.save()
    second = memory()
    assert (second.facts(path), second.read) == (found, 0)
    before = second.path.stat().st_mtime_ns
    second.save()
    assert second.path.stat().st_mtime_ns == before, "nothing new, nothing written"
    assert memory(QUESTIONS[:2]).facts(path).missing == (), "other questions make all facts old"


def test_another_size_or_time_is_read_again(tmp_path, answers, memory):
    path, first = answers("abd"), memory()
    first.facts(path)
    first.save()
    stat = path.stat()
    later = {"ns": (stat.st_atime_ns, stat.st_mtime_ns + 1)}
    os.utime(path, **later)
    touched = memory()
    assert (touched.facts(path).missing, touched.read) == ((2,), 1)
    touched.save()
    answers("abcd")
    os.utime(path, **later)
    assert memory().facts(path).missing == ()


@pytest.mark.parametrize("content", ["{", '{"key": "old", "files": {}}', None])
def test_a_memory_that_cannot_be_used_is_made_anew(tmp_path, answers, memory, content):
    path = tmp_path / "memory.json"
    path.write_text(content) if content else path.mkdir()
    again = memory()
    assert again.facts(tmp_path / "m.jsonl") is None, "there is no file, which is not remembered"
    assert again.facts(answers("a")).answers == 1
    again.save()
    assert memory().facts(tmp_path / "m.jsonl").answers == 1
