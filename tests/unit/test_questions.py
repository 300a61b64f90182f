"""Both shapes of questions, and what is refused."""

from collections import Counter

import pytest
from arena.data.questions import Pilot, Question, read_questions
from arena.support.errors import DataError


def write(tmp_path, content: bytes):
    path = tmp_path / "my-bench" / "question.jsonl"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


NEW = b'{"uid":"a","category":"hard_prompt","subcategory":"x","prompt":"Why?"}\n'


def test_both_shapes_in_file_order(tmp_path):
    older = b'{"question_id":"b","category":"c","turns":[{"content":"How?"}]}\r\n'
    path = write(tmp_path, older + b"\n" + NEW + b'{"uid":null,"question_id":81,"turns":["What?"]}')
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


BENCH = [Question(f"q{n:02d}", "abc"[n % 6 // 3 + (n % 6 == 5)], "?", n + 1) for n in range(60)]
KNOWN = ["q44", "q45", "q53", "q56"]
SHARES = {"a": 30, "b": 20, "c": 10}


def uids(pilot: Pilot) -> list[str]:
    return [question.uid for question in pilot.choose(BENCH)]


def test_a_pilot_is_the_same_for_all_and_another_by_another_seed():
    assert uids(Pilot(4, seed=42)) == KNOWN
    assert uids(Pilot(4, seed=43)) != KNOWN
    shuffled = Pilot(4, seed=42).choose(BENCH[::-1])
    assert [question.uid for question in shuffled] == KNOWN[::-1]  # the order of the file


@pytest.mark.parametrize("categories", [(), ("a",), ("a", "c")])
def test_a_smaller_pilot_is_part_of_a_larger_one_and_categories_keep_their_share(categories):
    sizes = {name: size for name, size in SHARES.items() if name in (categories or SHARES)}
    total, before = sum(sizes.values()), set[str]()
    for number in range(1, total + 1):
        chosen = Pilot(number, categories, seed=7).choose(BENCH)
        assert len(chosen) == number and before < {one.uid for one in chosen}
        before = {one.uid for one in chosen}
        counts = Counter(one.category for one in chosen)
        assert set(counts) <= set(sizes)
        for name, size in sizes.items():
            assert abs(counts[name] - number * size / total) <= 1


def test_a_pilot_without_a_number_is_all_of_its_categories(tmp_path):
    assert Pilot(None, ["b"]).choose(BENCH) == [one for one in BENCH if one.category == "b"]
    path = write(tmp_path, NEW + NEW.replace(b'"a"', b'"b"').replace(b"hard_prompt", b"c"))
    assert [one.uid for one in read_questions(path, Pilot(None, ["c"]))] == ["b"]
    with pytest.raises(DataError, match=r"question\.jsonl"):
        read_questions(path, Pilot(None, ["gone"]))
