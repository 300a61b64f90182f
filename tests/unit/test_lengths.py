"""Tokens of texts, and the judge's context."""

import pytest
from arena.data.lengths import Lengths, context_of, lengths_for

WORDS = Lengths(lambda text: len(text.split()), "words", True)


def test_about_is_exact_for_few_and_close_for_many():
    few = ["one two", "three"]
    assert WORDS.estimate(few) == [2, 1]
    many = ["word " * n for n in range(1, 1001)]
    told = WORDS.estimate(many)
    assert sum(told) == pytest.approx(sum(range(1, 1001)), rel=0.02)
    assert WORDS.estimate([]) == []
    assert WORDS.estimate(["", ""]) == [0, 0]


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
