"""The demo writer: its answers, and the demo server when it is started as a writer."""

import statistics

import pytest
from arena.data.answer_doubts import Seen, doubts
from arena.data.questions import read_questions
from arena.demo.toys import LABEL, write

from tests.served import JUDGE
from tests.unit.test_demo_judge import PRODUCT, judge

MODELS = ["llama-8b-step1000", "llama-8b-step2000", "qwen-7b", "mid-7b-chat", "tiny"]


def asked(prompt):
    return [{"role": "user", "content": prompt}]


@pytest.fixture(scope="module")
def questions(project):
    return read_questions(project / "examples" / "data" / "arena-demo" / "question.jsonl")


def test_every_model_answers_every_question_in_its_own_way(questions):
    written = {model: [write(model, asked(q.prompt)) for q in questions] for model in MODELS}
    texts = [text for texts in written.values() for text in texts]
    assert len(set(texts)) == len(MODELS) * len(questions)
    assert all(text.startswith(LABEL) for text in texts)
    lengths = [statistics.mean(map(len, texts)) for texts in written.values()]
    assert max(lengths) > 2 * min(lengths)
    assert any("\n- " in text for text in texts) and any("**" in text for text in texts)


def test_the_toy_raises_no_doubt(questions):
    for model in MODELS:
        seen = [Seen(write(model, asked(q.prompt)), "stop", q.prompt) for q in questions]
        assert doubts(seen) == []


@pytest.mark.parametrize("prompt", ["", "5+5?", "潮汐是怎么形成的？", "\ud800 {a} %s"])
def test_any_question_is_answered(prompt):
    assert len(write("m", asked(prompt))) > len(LABEL)


def test_the_system_prompt_counts():
    system = {"role": "system", "content": "Be brief."}
    assert write("m", [system, *asked("What is a tide?")]) != write("m", asked("What is a tide?"))


@pytest.mark.parametrize("program", [PRODUCT, JUDGE])
def test_the_server_writes_under_each_of_its_names(program):
    with judge("--writes", "base", "adapter-1", program=program) as client:
        assert [model.id for model in client.models.list()] == ["base", "adapter-1"]
        create = client.chat.completions.create
        for model in ("base", "adapter-1"):
            reply = create(model=model, messages=asked("What is a tide?"))
            assert reply.model == model
            assert reply.choices[0].message.content == write(model, asked("What is a tide?"))
            assert reply.choices[0].finish_reason == "stop"
            assert reply.usage.completion_tokens == -(-len(reply.choices[0].message.content) // 4)
        cut = create(model="base", messages=asked("What is a tide?"), max_tokens=5)
        assert cut.choices[0].finish_reason == "length"
        assert cut.choices[0].message.content == write("base", asked("What is a tide?"))[:20]
        assert cut.usage.completion_tokens == 5
