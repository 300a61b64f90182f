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
        ("no lengths", [answer(u, u) for u in "abcd"], 0),
        ("null length", [answer("a", "a", token_len=None)], 0),
        ("no answers", [], 0),
    ],
)
def test_answers_cut_at_the_token_cap(why, answers, cut):
    assert count_cut(answers) == cut, why


@pytest.fixture
def answers(tmp_path):
    """Write an answer file for some of the questions."""

    def write(uids, name="m"):
        path = tmp_path / f"{name}.jsonl"
        lines = ({"uid": u, "messages": [{"role": "assistant", "content": "x"}]} for u in uids)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


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


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "old", "files": {}}'])
def test_a_memory_that_cannot_be_used_is_made_anew(tmp_path, answers, memory, content):
    (tmp_path / "memory.json").write_text(content)
    again = memory()
    assert again.facts(tmp_path / "m.jsonl") is None, "there is no file, which is not remembered"
    assert again.facts(answers("a")).answers == 1
    again.save()
    assert memory().facts(tmp_path / "m.jsonl").answers == 1
