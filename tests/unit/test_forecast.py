"""Shared tokens counted by hand, rates from a ledger, and the sums of a forecast."""

from itertools import pairwise

import pytest
from arena.costs.forecast import (
    ASSUMED_RATE,
    ASSUMED_REPLY,
    DECODE,
    Load,
    against,
    forecast,
    rates_of,
)
from arena.costs.ledger import Row
from arena.costs.sharing import BLOCK, Layout, shared_tokens
from arena.data.lengths import CHAT_TOKENS, Lengths, context_of, lengths_for

WORDS = Lengths(lambda text: len(text.split()), "words", True)


def test_layout_counts_every_word_once():
    layout = Layout.of("Q: {QUESTION} first {ANSWER_A} then {ANSWER_B} which wins ?", WORDS)
    values = {"QUESTION": ("q", 10), "ANSWER_A": ("a", 20), "ANSWER_B": ("b", 30)}
    pieces = layout.pieces(("system", 100), values)
    assert pieces == [("system", 100 + CHAT_TOKENS), ("q", 11), ("a", 21), ("b", 34)]


def test_layout_takes_markers_in_any_order_and_other_braces_as_text():
    layout = Layout.of("{ANSWER_B} {x y} {REFERENCE} {ANSWER_A} {QUESTION}", WORDS)
    names = ["ANSWER_B", "REFERENCE", "ANSWER_A", "QUESTION"]
    assert layout.parts == tuple(zip(names, (0, 2, 0, 0), strict=True))


def test_shared_beginnings_in_whole_blocks():
    system, question, baseline = ("s", 160), ("q", 40), ("base", 100)

    def games(model):
        answer = (f"answer of {model}", 50)
        return [system, question, baseline, answer], [system, question, answer, baseline]

    one = shared_tokens(games("m1"))
    assert one == 192  # 160 + 40 of the second game, in blocks of 16
    two = shared_tokens([*games("m1"), *games("m2")])
    assert two == 192 + 288 + 192  # the third game shares the baseline's 100 too
    assert shared_tokens([[("a", 15)], [("a", 15)]]) == 0  # less than a block
    assert shared_tokens([[("a", 9), ("b", 16)], [("x", 9), ("b", 16)]]) == 0  # not the beginning
    assert shared_tokens([]) == 0


def test_more_models_a_batch_share_more():
    def prompts(models):
        for model in range(models):
            yield [("s", 400), ("q", 100), ("base", 500), (model, 300)]
            yield [("s", 400), ("q", 100), (model, 300), ("base", 500)]

    parts = [shared_tokens(prompts(n)) / (n * 2 * 1300) for n in (1, 2, 5, 10)]
    assert all(before < after for before, after in pairwise(parts))
    assert parts[0] == pytest.approx(496 / 2600)


def row(**keys):
    plain = dict.fromkeys(Row.__dataclass_fields__, 0)
    return Row(**(plain | {"batch": "r-01", "models": 3, "jobs": 1, "source": "record"} | keys))


def test_rates_are_measured_where_there_are_games():
    rows = [
        row(
            games=60,
            prompt_tokens=9000,
            cached_tokens=4000,
            completion_tokens=1000,
            busy_s=8.0,
            start_s=30.0,
            idle_s=4.0,
        ),
        row(
            games=40,
            prompt_tokens=6000,
            cached_tokens=1000,
            completion_tokens=3000,
            busy_s=3.0,
            start_s=50.0,
            idle_s=8.0,
            jobs=3,
        ),
        row(batch="total", games=100, busy_s=11.0),
    ]
    rates = rates_of(rows, gpus=2, start_s=999)
    assert rates.rate == pytest.approx((10000 + DECODE * 4000) / 11)
    assert (rates.reply, rates.start_s, rates.idle_s) == (40, 20, 3)
    assert rates.source == "measured on 100 games of 2 earlier batches of this judge"


@pytest.mark.parametrize(("gpus", "rate", "start"), [(2, 2 * ASSUMED_RATE, 600), (0, None, 0)])
def test_rates_are_assumed_before(gpus, rate, start):
    rates = rates_of([row(games=19, busy_s=1.0)], gpus=gpus, start_s=600)
    assert (rates.rate, rates.reply, rates.start_s) == (rate, ASSUMED_REPLY, start)


def test_forecast_adds_up():
    rates = rates_of(
        [row(games=100, prompt_tokens=700, completion_tokens=100, busy_s=1, start_s=50, idle_s=10)],
        gpus=4,
        start_s=0,
    )  # 1,000 work a second, one token a reply
    loads = [Load(3, 1000, 90_000, 43_000), Load(1, 500, 50_000, 1_500)]
    told = forecast(loads, rates, gpus=4, price=2.0)
    assert (told.jobs, told.games, told.prompt_tokens, told.shared_tokens) == (
        2,
        1500,
        140_000,
        44_500,
    )
    assert told.completion_tokens == 1500
    assert told.busy_s == pytest.approx(50 + 50)  # (47,000 + 3,000 and 48,500 + 1,500) / 1,000
    assert told.held_s == pytest.approx(100 + 2 * 60)
    assert told.longest_s == pytest.approx(110)
    assert told.gpu_hours == pytest.approx(220 * 4 / 3600)
    assert told.cost == pytest.approx(2 * 220 * 4 / 3600)
    lines = against(told.to_dict(), row(games=1400, start_s=1, busy_s=2, idle_s=3))
    assert ("games", 1500, 1400) in lines
    assert ("held seconds", told.held_s, 6) in lines


def test_without_a_rate_hours_are_not_invented():
    told = forecast([Load(1, 10, 100, 0)], rates_of([], gpus=0, start_s=0), gpus=0, price=2.0)
    assert (told.busy_s, told.held_s, told.gpu_hours, told.cost) == (None, None, None, None)
    assert told.completion_tokens == 4000


def test_about_is_exact_for_few_and_close_for_many():
    few = ["one two", "three"]
    assert WORDS.about(few) == [2, 1]
    many = ["word " * n for n in range(1, 1001)]
    told = WORDS.about(many)
    assert sum(told) == pytest.approx(sum(range(1, 1001)), rel=0.02)
    assert WORDS.about([]) == []
    assert WORDS.about(["", ""]) == [0, 0]


@pytest.mark.parametrize(
    ("judge", "context"),
    [
        ({"context": 4096, "command": "--max-model-len 99"}, (4096, "judge.context")),
        ({"command": "vllm serve {path} --max-model-len 16384"}, (16384, "judge.command")),
        ({"command": "vllm serve {path} --max-model-len=8192 -q"}, (8192, "judge.command")),
        ({"path": "/nowhere"}, (None, "unknown; set judge.context")),
        ({}, (None, "unknown; set judge.context")),
    ],
)
def test_context(judge, context):
    assert context_of(judge) == context


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ('{"max_position_embeddings": 131072}', 131072),
        ('{"text_config": {"max_position_embeddings": 8192}}', 8192),
        ("{torn", None),
        ("[]", None),
        ("{}", None),
    ],
)
def test_context_of_the_judges_files(tmp_path, text, context):
    (tmp_path / "config.json").write_text(text)
    assert context_of({"path": str(tmp_path)})[0] == context


def test_the_judges_own_tokenizer(tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="comes with vLLM only")
    words = {"[UNK]": 0, "a": 1, "b": 2}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    lengths = lengths_for(str(tmp_path))
    assert (lengths.count("a b c d"), lengths.is_judges) == (4, True)


def test_block_is_what_the_sums_above_assume():
    assert BLOCK == 16
