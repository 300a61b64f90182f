"""The judge's messages: what a value holds never changes the rest."""

from pathlib import Path

import pytest
from arena.data.prompts import asks_for, check_template, fill, own_prompts
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
    ],
)
def test_templates_are_those_of_str_format(text):
    template = f"{text}\n{TEMPLATE}\n"
    question = "{ANSWER_B} {0} {} {{x}} %s \\1 \\g<0> {QUESTION}"  # stays as it is
    values = {"QUESTION": question, "ANSWER_A": "{ANSWER_B}", "ANSWER_B": "}}"}
    checked = check_template(template)
    assert fill(checked, values) == template.format(**values)
    assert not asks_for(checked, "REFERENCE")


def test_the_older_markers_are_the_same_markers():
    older = "{question_1}|{answer_1}|{answer_2}|{ref_answer_1}"
    assert check_template(older) == "{QUESTION}|{ANSWER_A}|{ANSWER_B}|{REFERENCE}"


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{QUESTION} {ANSWER_A}", "the marker {ANSWER_B} is missing"),
        ("{{QUESTION}} {ANSWER_A} {ANSWER_B}", "the marker {QUESTION} is missing"),
        (TEMPLATE + "{{A}} {x", "braces .* doubled"),
        (TEMPLATE + "{ANSWERA}", "unknown marker {ANSWERA}; did you mean 'ANSWER_A'"),
    ],
)
def test_templates_that_cannot_work_are_refused(template, error):
    with pytest.raises(ConfigError, match=error):
        check_template(template)


def test_our_own_prompts_name_every_verdict():
    prompts = own_prompts(Path(__file__).parents[2] / "config" / "prompts")
    for label in ("A>>B", "A>B", "A=B", "B>A", "B>>A"):
        assert f"[[{label}]]" in prompts["system_prompt"]["*"]
    assert not asks_for(prompts["prompt_template"], "REFERENCE")
    assert not prompts["prompt_template"].endswith("\n")
