"""The judge's messages: what a value holds never changes the rest."""

from pathlib import Path

import pytest
from arena.data.prompts import Prompts, asks_for, check_template, fill, messages, own_prompts
from arena.support.errors import ConfigError

TEMPLATE = "Q {QUESTION} A {ANSWER_A} B {ANSWER_B}"


def test_other_braces_of_a_template_are_text():
    template = 'Reply {"verdict": 1} or { } ' + TEMPLATE
    assert fill(check_template(template), {}) == template


@pytest.mark.parametrize(
    "text",
    [
        r"End with \boxed{{A}} or \boxed{{B}}.",
        'Reply {{"verdict": "A>B", "why": {{"short": "..."}}}}.',
        "{{QUESTION}} is {{{QUESTION}}}",
        "{{}} and {{REFERENCE}}",
        "no braces",
    ],
)
def test_templates_are_those_of_str_format(text):
    template = f"{text}\n{TEMPLATE}\n"
    question = "{ANSWER_B} {0} {} {{x}} %s \\1 \\g<0> {QUESTION}"  # stays as it is
    values = {"QUESTION": question, "ANSWER_A": "{ANSWER_B}", "ANSWER_B": "}}"}
    prompts = Prompts({"*": "s"}, template)
    user = messages(prompts, "x", *values.values())[1]["content"]
    assert user == template.format(**values)
    assert not asks_for(prompts.template, "REFERENCE")


def test_the_older_markers_are_the_same_markers():
    older = "{question_1}|{answer_1}|{answer_2}|{ref_answer_1}"
    assert Prompts({}, older).template == "{QUESTION}|{ANSWER_A}|{ANSWER_B}|{REFERENCE}"


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{QUESTION} {ANSWER_A}", "the marker {ANSWER_B} is missing"),
        ("{ANSWER_A} {ANSWER_B}", "the marker {QUESTION} is missing"),
        ("{{QUESTION}} {ANSWER_A} {ANSWER_B}", "the marker {QUESTION} is missing"),
        (TEMPLATE + "{{A}} {x", "braces .* doubled"),
        (TEMPLATE + "{ANSWERA}", "unknown marker {ANSWERA}; did you mean 'ANSWER_A'"),
    ],
)
def test_templates_that_cannot_work_are_refused(template, error):
    with pytest.raises(ConfigError, match=error):
        check_template(template)


def test_reference():
    prompts = Prompts({"*": "s"}, TEMPLATE + " R {REFERENCE}")
    assert asks_for(prompts.template, "REFERENCE")
    assert messages(prompts, "x", "q", "a", "b", "r")[1]["content"].endswith(" R r")
    with pytest.raises(ConfigError, match=r"judge\.reference"):
        messages(prompts, "x", "q", "a", "b")


def test_a_category_without_a_prompt_is_named_with_the_nearest():
    prompts = Prompts({"hard_prompt": "s"}, TEMPLATE)
    with pytest.raises(ConfigError, match=r"'hard_prompts'.*did you mean 'hard_prompt'"):
        messages(prompts, "hard_prompts", "q", "a", "b")


def test_our_own_prompts_name_every_verdict():
    prompts = own_prompts(Path(__file__).parents[2] / "config" / "prompts")
    assert list(prompts.system) == ["*"]
    for label in ("A>>B", "A>B", "A=B", "B>A", "B>>A"):
        assert f"[[{label}]]" in prompts.system["*"]
    assert not asks_for(prompts.template, "REFERENCE")
    assert not prompts.template.endswith("\n")
