"""What the first answers of a model show, and that good models are left alone."""

import random

import pytest
from arena.data.answer_doubts import Seen, doubts
from arena.data.answers import read_answers
from arena.data.questions import read_questions

QUESTION = "Explain in a few words how the tides of the sea come about."
WORDS = "the moon pulls at water of sea near far side twice each day and so tides rise fall"


def good(number, words=120):
    pick = random.Random(number)
    return Seen(" ".join(pick.choices(WORDS.split(), k=words)), "stop", f"{QUESTION} ({number})")


def answers(bad, hits, of=20):
    """So many answers of `bad`, given their number, among good ones."""
    return [bad(number) if number < hits else good(number) for number in range(of)]


def empty(number):
    return Seen("\n\n", "stop", QUESTION)


def cut(number):
    return Seen(good(number).text, "length", QUESTION)


def same(number):
    return Seen("I am a language model and I can not help with this.", "stop", QUESTION)


def chinese(number):
    return Seen(f"{number}. 潮汐是由月球和太阳的引力造成的海水周期性涨落现象。", "stop", QUESTION)


def loop(number):
    line = f"{number}. {good(number, 12).text}\n"
    return Seen(good(number).text + "\n" + line * 100, "stop", QUESTION)


KINDS = {
    "empty": (empty, 2, 4),
    "cut": (cut, 4, 10),
    "same_beginning": (same, 10, 10),
    "other_language": (chinese, 4, 10),
    "repeats": (loop, 2, 6),
}


def test_good_answers_raise_no_doubt():
    assert doubts([good(number) for number in range(20)]) == []
    assert doubts([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_from_its_share_on(kind):
    bad, doubtful, grave = KINDS[kind]
    assert doubts(answers(bad, doubtful - 1)) == []
    for hits in {doubtful, max(doubtful, grave - 1), grave, 20}:
        (doubt,) = doubts(answers(bad, hits))
        assert (doubt.kind, doubt.is_grave) == (kind, hits >= grave)
        assert doubt.text.startswith(f"{hits} of 20 answers ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_answers_can_be_chance(kind):
    bad = KINDS[kind][0]
    assert doubts([bad(0)]) == []
    assert not any(doubt.is_grave for doubt in doubts([bad(number) for number in range(3)]))
    assert [doubt.is_grave for doubt in doubts([bad(number) for number in range(4)])] == [True]


def test_the_gravest_comes_first():
    mixed = [*(cut(number) for number in range(8)), *(empty(number) for number in range(6))]
    found = doubts([*mixed, *(good(number) for number in range(14, 20))])
    assert [(doubt.kind, doubt.is_grave) for doubt in found] == [("empty", True), ("cut", False)]


def test_a_thought_that_took_all_tokens_was_cut_not_empty():
    (doubt,) = doubts([Seen("", "length", QUESTION)] * 20)
    assert doubt.kind == "cut"
    assert "20 of them before the answer" in doubt.text


def test_a_chat_prefix_is_no_same_beginning_and_a_long_habit_is_not_grave():
    def begun(words):
        return [Seen(words + good(number).text, "stop", QUESTION) for number in range(20)]

    assert doubts(begun("Sure, I can help you with that! ")) == []
    (doubt,) = doubts(begun("<think>\nOkay, so I need to figure out how to do this. "))
    assert (doubt.kind, doubt.is_grave) == ("same_beginning", False)
    assert r"'<think>\nOkay, so I" in doubt.text


@pytest.mark.parametrize(
    ("prompt", "answer", "foreign"),
    [
        (QUESTION, "Приливы и отливы вызывает притяжение Луны.", True),
        (QUESTION, "밀물과 썰물은 달의 중력 때문에 생기는 현상으로 하루에 두 번", True),
        (QUESTION, "ज्वार भाटा चंद्रमा के गुरुत्वाकर्षण के कारण आता है", True),
        (QUESTION, "42 ± 3 (7 月)", False),  # too few letters to tell
        (QUESTION, "The moon. In Chinese one says 潮汐 for it.", False),
        (f"{QUESTION} Translate: Приливы вызывает Луна", "Приливы вызывает Луна, Луна", False),
        (
            "潮汐是怎么形成的？请用几句话解释一下，并举一个例子说明",
            "Tides are made by the moon",
            True,
        ),
        ("潮の満ち引きはなぜ起こるのか、簡単に説明してください", "潮汐由月球引力造成" * 3, False),
        ("Как работает этот код, объясни", "```python\n" + "print(value)\n" * 9 + "```", False),
        ("5 + 5 = ?", "Это равно десяти, как известно каждому", False),
    ],
)
def test_another_script_than_the_questions(prompt, answer, foreign):
    found = doubts([Seen(f"{number} {answer}", "stop", prompt) for number in range(20)])
    assert any(doubt.kind == "other_language" for doubt in found) is foreign


@pytest.mark.parametrize(
    ("tail", "is_loop"),
    [
        ("The list is merged. " * 100, True),
        ("\n".join(f"Step {n}: do step {n - 1} for the other side." for n in range(100)), True),
        ("\n\n".join([good(1, 80).text] * 9), True),
        ("\n".join(f"| {n} | {n * n} | {n**3} |" for n in range(100)), False),
        (" ".join(map(str, range(1, 800))), False),
    ],
)
def test_loops_and_what_only_looks_alike(tail, is_loop):
    found = doubts([Seen(good(n).text + "\n" + tail, "length", QUESTION) for n in range(20)])
    assert any(doubt.kind == "repeats" for doubt in found) is is_loop


def test_a_short_answer_of_one_word_is_no_loop():
    assert doubts([Seen(f"{number}: {'ha' * 100}", "stop", QUESTION) for number in range(20)]) == []


def test_broken_characters_are_read():
    doubts([Seen("\ud800\x1b" * 300, "stop", "\ud800" * 50)] * 20)


@pytest.mark.parametrize("model", ["gpt-3.5-turbo-0125", "gpt-4-0314", "gpt-4-0613"])
def test_no_doubt_about_real_models(shared_data, model):
    bench = shared_data / "arena-hard-v0.1"
    file = read_answers(bench / "model_answer" / f"{model}.jsonl")
    questions = read_questions(bench / "question.jsonl")
    seen = [Seen(file.answers[q.uid].text, "stop", q.prompt) for q in questions]
    assert len(seen) == 500
    for size, step in ((20, 1), (5, 5), (50, 50)):
        for start in range(0, len(seen) - size + 1, step):
            assert doubts(seen[start : start + size]) == []
