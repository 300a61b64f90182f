"""Names that may become files, and those that may not."""

import pytest
from arena.support.errors import ConfigError
from arena.support.names import check_model_name, common_beginning, did_you_mean, in_order, nearest


def test_real_names_pass():
    names = "Llama-3.1-8B allenai__OLMo-2 gpt-4o:2024-08-06 lr=1e-5,bs=64 a+b@c _x a..b"
    for name in (*names.split(), "a" * 200):
        assert check_model_name(name) == name


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "1 to 200"),
        ("../x", "'/'"),
        ("-rf", "begin with"),
        ("a b;c\n", r"'\\n', ' ', ';'"),
        ("a\0b", r"'\\x00'"),
        ("$(x)", r"'\(', '\)'"),
        ("a{b}*", r"'\*', '{', '}'"),
        ("modèle", "'è'"),
        ("a" * 201, "1 to 200"),
        (7, "must be text, not .*int 7"),
    ],
)
def test_unsafe_names_are_refused_with_the_rule(name, rule):
    with pytest.raises(ConfigError, match=f"^models.txt:3: .*{rule}"):
        check_model_name(name, where="models.txt:3")


def test_numbers_in_names_are_numbers_and_equal_ones_have_one_order():
    names = ["run-step12000", "run-step2000", "run", "9b", "run-step02000", "run-7b.1", "run-7b.10"]
    assert sorted(names, key=in_order) == [
        *("9b", "run", "run-7b.1", "run-7b.10"),
        *("run-step02000", "run-step2000", "run-step12000"),
    ]


def test_nearest_ignores_case_and_gives_nothing_for_noise():
    known = ["Llama-3.1-8B-Instruct", "gpt-4o"]
    assert nearest("llama3.1-8b-instruct", known) == "Llama-3.1-8B-Instruct"
    assert nearest("zzz", known) is None
    assert did_you_mean("gpt4o", known) == "; did you mean 'gpt-4o'?"
    assert did_you_mean("zzz", known) == ""


@pytest.mark.parametrize(
    ("names", "beginning"),
    [
        (["tulu3-8b-rank1-step10", "tulu3-8b-rank1-final", "tulu3-8b-rank12-step1"], "tulu3-8b-"),
        (["tulu3-8b-a", "tulu3-8b-b"], ""),
        (["a-b", "a-c", "a-d"], ""),
        (["qwen3", *(f"tulu3-{n}" for n in range(3))], "tulu3-"),
        (["a-much-longer-name", *(f"tulu3-{n}" for n in range(3))], ""),
        ([], ""),
    ],
)
def test_what_names_begin_with(names, beginning):
    assert common_beginning(names) == beginning
