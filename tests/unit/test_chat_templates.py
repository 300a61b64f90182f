"""Chat templates: rendered as transformers does, and what they end an answer with."""

import pytest
from arena.data.chat_templates import render, turn_end
from arena.support.errors import DataError

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def test_rendering_as_transformers_does() -> None:
    template = (
        "{{ bos_token }}\n"
        "{% for m in messages %}\n"
        "    {% if m['role'] == 'system' %}\n"
        "        {% continue %}\n"
        "    {% endif %}\n"
        "{%- generation -%}{{ m | tojson }}{% endgeneration %}{{ eos_token }}\n"
        "{% endfor %}\n"
        "{{ strftime_now('%Y') | length }}{% if not tools %}.{% endif %}\n"
        "{% if add_generation_prompt %}\n"
        "A:{% endif %}"
    )
    messages = [{"role": "system", "content": "-"}, {"role": "user", "content": "<é>"}]
    assert render(template, messages, TOKENS) == '<s>\n{"role": "user", "content": "<é>"}</s>\n4.A:'
    assert render(template, messages, TOKENS, add_generation_prompt=False).endswith("\n4.")


def test_templates_that_fail_say_why() -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('No system!') }}{% endif %}"
    assert render(refuses, [{"role": "user", "content": "?"}], {}) == ""
    with pytest.raises(DataError, match=r"my file.*system.*No system!"):
        render(refuses, [{"role": "system", "content": "?"}], {}, where="my file")
    with pytest.raises(DataError, match="line 2"):
        render("\n{% endfor %}", [], {})
    with pytest.raises(DataError, match="unsafe"):
        render("{{ ''.__class__.__mro__ }}", [], {})
    for fails in ("{{ messages.append(1) }}", "{{ 1 / 0 }}"):
        with pytest.raises(DataError):
            render(fails, [], {})


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        ("{% for m in messages %}{{ m.content + eos_token }}{% endfor %}", "</s>"),
        # Phi-3 ends the whole text by another token than the turn
        ("{% for m in messages %}{{ m.content }}<|end|>\n{% endfor %}{{ eos_token }}", "<|end|>"),
        # GLM-4 ends an answer by the next turn's beginning
        ("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}", "<|user|>"),
        ("{% for m in messages %}{{ m.content }} ### End\nx{% endfor %}", "### End"),
        ("{{ messages[1].content }}", ""),
        ("{{ messages[0].content }}", None),
        ("{{ raise_exception('x') }}", None),
    ],
)
def test_the_end_of_a_turn(template: str, end: str | None) -> None:
    assert turn_end(template, TOKENS) == end
