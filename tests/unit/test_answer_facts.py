"""What is counted of an answer file, and what is remembered."""

import json
import os

import pytest
from arena.data.answer_facts import Facts, FactsMemory, count_cut, facts_of
from arena.data.answers import Answer, AnswerFile
from arena.data.questions import Question
from arena.support.jsonl import Line

QUESTIONS = [Question(uid, "c", "?", 1) for uid in "abcd"]


def answer(uid, text="x", finish=None, **metadata):
    return Answer(uid, text, metadata or None, 1, finish)


def test_facts_of_a_file_with_every_flaw():
    answers = (answer("a", ""), answer("c", finish="length"), answer("z"), answer("y"))
    bad = [Line(3, None, "torn"), Line(5, None, "later")]
    file = AnswerFile({one.uid: one for one in answers}, bad, 1, "named n")
    assert facts_of(file, QUESTIONS) == Facts(
        answers=2,
        missing=(1, 3),
        duplicates=1,
        empty=1,
        cut=1,
        unreadable=2,
        strange=2,
        first_unreadable=(3, "torn"),
        other_model="named n",
    )


@pytest.mark.parametrize(
    ("answers", "cut"),
    [
        ([answer(u, u, "length") for u in "ab"] + [answer("c", "c", "stop")], 2),
        ([answer(u, u, token_len=1024) for u in "abc"] + [answer("d", "d", token_len=9)], 3),
        ([answer(u, u, token_len=1024) for u in "ab"] + [answer("d", "d", token_len=9)], 0),
        ([answer(u, "same", token_len=7) for u in "abcd"], 0),
        ([answer(u, u, "stop", token_len=1024) for u in "abcd"], 0),
        ([answer(u, "", token_len=0) for u in "abcd"], 0),
        ([answer(u, u) for u in "abcd"], 0),
        ([answer("a", "a", token_len=None)], 0),
        ([], 0),
    ],
    ids=[
        "finish_reason",
        "three at the greatest length",
        "two are chance",
        "the same text",
        "finish_reason wins",
        "empty",
        "no lengths",
        "null length",
        "none",
    ],
)
def test_answers_cut_at_the_token_cap(answers, cut):
    assert count_cut(answers) == cut


@pytest.fixture
def answers(tmp_path):
    """Write an answer file for some of the questions."""

    def write(uids, name="m"):
        path = tmp_path / f"{name}.jsonl"
        lines = ({"uid": u, "messages": [{"role": "assistant", "content": "x"}]} for u in uids)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


def test_a_file_is_read_once(tmp_path, answers):
    path, memory = answers("abd"), tmp_path / "memory.json"
    first = FactsMemory(memory, QUESTIONS)
    found = first.facts(path)
    assert (found.missing, first.read) == ((2,), 1)
    first.save()
    second = FactsMemory(memory, QUESTIONS)
    assert second.facts(path) == found
    assert second.read == 0
    before = memory.stat().st_mtime_ns
    second.save()
    assert memory.stat().st_mtime_ns == before, "nothing new, nothing written"


def test_another_size_or_time_is_read_again(tmp_path, answers):
    path, memory = answers("abd"), tmp_path / "memory.json"
    first = FactsMemory(memory, QUESTIONS)
    first.facts(path)
    first.save()
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    touched = FactsMemory(memory, QUESTIONS)
    assert touched.facts(path).missing == (2,)
    assert touched.read == 1
    touched.save()
    answers("abcd")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    grown = FactsMemory(memory, QUESTIONS)
    assert grown.facts(path).missing == ()


def test_other_questions_make_all_facts_old(tmp_path, answers):
    path, memory = answers("abd"), tmp_path / "memory.json"
    first = FactsMemory(memory, QUESTIONS)
    first.facts(path)
    first.save()
    assert FactsMemory(memory, QUESTIONS[:2]).facts(path).missing == ()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "old", "files": {}}'])
def test_a_memory_that_cannot_be_used_is_made_anew(tmp_path, answers, content):
    memory = tmp_path / "memory.json"
    memory.write_text(content)
    again = FactsMemory(memory, QUESTIONS)
    assert again.facts(answers("a")).answers == 1
    again.save()
    assert FactsMemory(memory, QUESTIONS).facts(tmp_path / "m.jsonl").answers == 1


def test_a_missing_file_has_no_facts_and_is_not_remembered(tmp_path, answers):
    memory = FactsMemory(tmp_path / "memory.json", QUESTIONS)
    assert memory.facts(tmp_path / "m.jsonl") is None
    assert memory.facts(answers("abcd")).answers == 4
