"""The demo judge over HTTP, and the tests' judge that is made of it: faults by request."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import openai
import pytest
from arena.data.prompts import fill, own_prompts
from arena.demo.server import DemoJudge
from arena.demo.toys import verdict

from tests.chaos.known import LASTING
from tests.chaos.run import FAULTS as PASSING
from tests.faults import KINDS, Faults, short_digest
from tests.served import JUDGE, SCRIPTS, running_judge

PRODUCT = SCRIPTS / "demo_judge.py"
FLIPPED = {"A>>B": "B>>A", "A>B": "B>A", "A=B": "A=B", "B>A": "A>B", "B>>A": "A>>B"}
TEXTS = [" ".join(f"w{n * k % 97}" for n in range(5 + 3 * k)) for k in range(1, 41)]
PAIRS = list(zip(TEXTS, reversed(TEXTS), strict=True))


def user(a, b):
    answers = f"<reply_A>\n{a}\n</reply_A>\n<reply_B>\n{b}\n</reply_B>"
    return f"<request>\nWhat is a tide?\n</request>\n{answers}"


@contextmanager
def judge(*words, **options):
    """The tests' judge, or another program: an OpenAI client of it without retries."""
    with running_judge("--name", "toy", *words, **options) as (url, process):
        key = options.get("key", "none")
        client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=300)
        client.process = process
        yield client


def ask(client, text, **more):
    message = {"role": "user", "content": text}
    return client.chat.completions.create(**{"model": "toy", "messages": [message]} | more)


# Verdicts


def test_the_better_answer_wins_and_the_toy_says_what_it_is():
    good = "# Tides\n\nThe tide is the rise and fall of the sea.\n\n- the moon pulls\n- the sun too"
    label, text = verdict(user(good, "dunno"))
    assert label == "A>>B"
    assert text.startswith("I am a toy judge, not a language model")
    assert text.endswith("[[A>>B]]")
    assert verdict(user("dunno", good))[0] == "B>A"  # the bias towards the first takes a step
    assert verdict(user(good, ""))[0] == "A>>B"


def test_swapping_the_answers_mostly_swaps_the_verdict():
    kept = sum(FLIPPED[verdict(user(a, b))[0]] == verdict(user(b, a))[0] for a, b in PAIRS)
    assert 0.6 * len(PAIRS) < kept < len(PAIRS)  # a bias is there to be found, and is small


def test_both_known_templates_are_understood(project):
    template = own_prompts(project / "config" / "prompts")["prompt_template"]
    long, short = "one two three four five six seven eight " * 20, "one"
    ours = fill(template, {"QUESTION": "What?", "ANSWER_A": long, "ANSWER_B": short})
    assert verdict(ours)[0] == "A>>B"
    theirs = (
        "<|User Prompt|>\nWhat?\n\n<|The Start of Assistant A's Answer|>\n{}\n"
        "<|The End of Assistant A's Answer|>\n\n<|The Start of Assistant B's Answer|>\n{}\n"
        "<|The End of Assistant B's Answer|>"
    )
    assert verdict(theirs.format(short, long))[0] == "B>>A"


def test_judgments_of_the_first_version_stay_valid():
    """Texts as they were when this was first published, and in every process."""
    said = [verdict(user(a, b))[1] for a, b in PAIRS]
    assert said[0].endswith("A scores 1.60, B scores 2.81.\n\n[[B>>A]]")
    assert short_digest("\0".join(said)) == "71d02c10f7c2527e"


# The cache


def test_prefix_cache_counts_whole_blocks_of_common_beginnings():
    toy = DemoJudge("toy")
    first = "a" * 256 + "b" * 256  # 128 tokens, 8 blocks
    assert toy.cached_tokens(first) == 0
    assert toy.cached_tokens(first) == 128
    assert toy.cached_tokens("a" * 256 + "c" * 256) == 64
    assert toy.cached_tokens("c" + first) == 0  # the end of a prompt shares nothing


# The server


@pytest.mark.parametrize("program", [PRODUCT, JUDGE])
def test_usage_key_and_models(program):
    with judge(key="secret", program=program) as client:
        text = user("word " * 400, "other")
        first, second = ask(client, text), ask(client, text)
        assert first.usage.prompt_tokens == -(-len(text) // 4)
        assert first.usage.prompt_tokens_details.cached_tokens == 0
        assert second.usage.prompt_tokens_details.cached_tokens == len(text) // 64 * 16
        assert first.choices[0].message.content == second.choices[0].message.content
        assert [model.id for model in client.models.list()] == ["toy"]
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="guess").models.list()
        with pytest.raises(openai.NotFoundError):
            ask(client, "?", model="other")


def test_the_product_takes_its_time_and_ends_when_asked():
    slow = judge("--slots", "1", "--seconds", "0.3", program=PRODUCT)
    with slow as client, ThreadPoolExecutor(3) as pool:
        began = time.monotonic()
        list(pool.map(lambda n: ask(client, user(f"answer {n}", "other")), range(3)))
        assert time.monotonic() - began >= 0.9
        client.process.terminate()
        assert client.process.wait(120) == 0


# Faults


def test_every_kind_of_fault_strikes_in_the_chaos_run():
    assert set(KINDS) == {*PASSING, *LASTING}


def test_markers_strike_one_after_the_other_and_unknown_ones_never():
    faults = Faults()
    text = "<<judge:500>> <<judge:reset*2>> <<judge:nonsense>> <<judge:429=0.1>>"
    struck = [faults.strike("d", text) for _ in range(5)]
    assert [fault and fault.kind for fault in struck] == ["500", "reset", "reset", "429", None]
    assert struck[3].number(9) == 0.1
