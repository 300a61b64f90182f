"""Both shapes of questions, and what is refused."""

import pytest
from arena.data.questions import Question, read_questions
from arena.support.errors import DataError


def write(tmp_path, content: bytes):
    path = tmp_path / "my-bench" / "question.jsonl"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


NEW = b'{"uid":"a","category":"hard_prompt","subcategory":"x","prompt":"Why?"}\n'


def test_both_shapes_in_file_order(tmp_path):
    older = b'{"question_id":"b","category":"c","turns":[{"content":"How?"}]}\r\n'
    path = write(tmp_path, older + b"\n" + NEW + b'{"question_id":81,"turns":["What?"]}')
    assert read_questions(path) == [
        Question("b", "c", "How?", 1),
        Question("a", "hard_prompt", "Why?", 3),
        Question("81", "my-bench", "What?", 4),
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (NEW + b'{"uid":"b","pro', r"question\.jsonl:2: torn"),
        (NEW + NEW, r"question\.jsonl:2: question 'a' is already in line 1"),
        (b'{"uid":"a","prompt":" \\n"}\n', ":1: the prompt of question 'a' is empty"),
        (b'{"uid":"a","prompt":null}\n', ":1: the prompt of question 'a' is empty or not text"),
        (b'{"prompt":"x"}\n', "neither `uid` nor `question_id`"),
        (b'{"uid":"","prompt":"x"}\n', "neither `uid` nor `question_id`"),
        (b'{"uid":true,"prompt":"x"}\n', "neither `uid` nor `question_id`"),
        (b'{"uid":"a"}\n', "neither `prompt` nor `turns`"),
        (b'{"uid":"a","turns":[{"content":"1"},{"content":"2"}]}\n', "2 turns"),
        (b'{"uid":"a","category":["x"],"prompt":"y"}\n', "`category` must be text"),
        (b"<<<<<<< HEAD\n" + NEW, "conflict"),
        (b"\n \n", "no questions in it"),
    ],
)
def test_broken_questions_are_refused_with_file_and_line(tmp_path, content, error):
    with pytest.raises(DataError, match=error):
        read_questions(write(tmp_path, content))


def test_the_real_questions(shared_data):
    questions = read_questions(shared_data / "arena-hard-v0.1" / "question.jsonl")
    assert len(questions) == 500
    assert {question.category for question in questions} == {"arena-hard-v0.1"}
    assert questions[0].uid == "328c149ed45a41c0b9d6f14659e63599"
