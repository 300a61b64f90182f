"""Answers from replies, and the lines of answer files: what is written is what is read."""

import json
import string

import pytest
from arena.data.answers import read_answers
from arena.data.games import AnswerSettings, answer_id, answer_line
from arena.data.metadata import count_metadata
from arena.data.questions import Question
from arena.journals.journal import Record
from arena.support.jsonl import dump_line, write_atomic

from tests.synthetic import journal_line

QUESTION = Question("q1", "hard_prompt", "What is a tide?", 1)


def settings(**given):
    return AnswerSettings("m", "writer", {}, **given)


def line(text, system_prompt=None, thought=None, **more):
    given = settings(system_prompt=system_prompt)
    reply = given.reply(text, thought or "")
    record = Record(**json.loads(journal_line(1, 0)) | {"answer": reply} | more)
    return answer_line(given, QUESTION, record, "m")


@pytest.mark.parametrize(
    ("text", "token", "expected"),
    [
        ("<think>hm</think>\n\n It rises. ", "</think>", ("<think>hm", "It rises. ")),
        ("hm</think>Write </think> last.", "</think>", ("hm", "Write </think> last.")),
        ("</think>It rises.", "</think>", ("", "It rises.")),
        ("hm</think>", "</think>", ("hm", "")),
        ("\n It rises.", "</think>", (None, "\n It rises.")),
        ("<think>never ended", "</think>", (None, "<think>never ended")),
        ("hm</think>It rises.", None, (None, "hm</think>It rises.")),
        ("hm</think>It rises.", "", (None, "hm</think>It rises.")),
        ("", "</think>", (None, "")),
    ],
)
def test_what_stands_before_the_first_token_is_the_thought(text, token, expected):
    asked = settings(end_think_token=token)
    assert asked.parts(text) == expected
    assert bool(asked.verdict(text)) is bool(expected[1])
    # a thought that the server's parser has split off
    assert asked.parts(asked.reply("answer.", "hm")) == ("hm", "answer.")


@pytest.mark.parametrize("text", ["# Tide\n\n- **moon**\n", "", "Flut: 潮汐\r\n\u2028", "\ud800"])
@pytest.mark.parametrize("thought", [None, "# hm\n"])
def test_what_is_written_is_read_back(tmp_path, text, thought):
    path = tmp_path / "m.jsonl"
    written = line(text, thought=thought, system_prompt="Be brief.", finish_reason="length")
    write_atomic(path, dump_line(written))
    file = read_answers(path)
    assert file.unreadable == []
    answer = file.answers["q1"]
    assert answer.text == text.replace("\ud800", "\ufffd")
    assert answer.finish_reason == "length"
    assert answer.metadata == written["metadata"] == count_metadata(text)


def test_a_line_has_the_keys_of_formats_in_their_order(no_tiktoken):
    """The last two keys are ours."""
    usage = {"prompt": 9, "cached": 8, "completion": 7}
    written = line("# A **tide**", usage=usage, thought="hm", system_prompt="Be brief.")
    assert json.dumps(written) == json.dumps(
        {
            "uid": "q1",
            "ans_id": written["ans_id"],
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is a tide?"},
                {"role": "assistant", "content": {"answer": "# A **tide**", "thought": "hm"}},
            ],
            "tstamp": written["tstamp"],
            "metadata": {
                "token_len": 5,
                "header_count": {"h1": 1, "h2": 0, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
                "list_count": {"ordered": 0, "unordered": 0},
                "bold_count": {"**": 1, "__": 0},
            },
            "finish_reason": "stop",
            "usage": {"prompt": 9, "completion": 7},
        }
    )


def test_an_empty_system_prompt_is_no_message():
    roles = [message["role"] for message in line("x", system_prompt="")["messages"]]
    assert roles == ["user", "assistant"]


def test_ids_are_short_and_of_their_model_and_request():
    ids = {answer_id(model, digest) for model in "mn" for digest in ("a" * 64, "b" * 64, "")}
    assert len(ids) == 6
    letters = set(string.ascii_letters + string.digits)
    assert all(len(one) == 22 and set(one) <= letters for one in ids)
    assert answer_id("m", "a" * 64) in ids
