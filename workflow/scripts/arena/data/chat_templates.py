"""Chat templates, rendered as transformers 5 does it (utils/chat_template_utils.py)."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from arena.support.errors import DataError

_ANSWER = "Text of an answer."
# `{% generation %}` marks answers for training; for rendering it is a block without a condition.
_GENERATION = re.compile(r"(?<=\{%)(-?\s*)(end)?generation(?=\s*-?%\})")


def _raise(message: str) -> None:
    raise TemplateError(message)


_JINJA = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
)
# Jinja's own filter escapes HTML.
_JINJA.filters["tojson"] = lambda value, ensure_ascii=False, **options: json.dumps(
    value, ensure_ascii=ensure_ascii, **options
)
_JINJA.globals["raise_exception"] = _raise
_JINJA.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
_compiled = lru_cache(maxsize=16)(_JINJA.from_string)  # checkpoints share a few templates


def render(
    template: str,
    messages: list[dict[str, str]],
    tokens: Mapping[str, str],
    *,
    add_generation_prompt: bool = True,
    where: str = "chat template",
) -> str:
    """The prompt for these messages. tokens: special tokens by name (`eos_token`).

    DataError with `where` and the template's own message, for example that it has no system role.
    """
    template = _GENERATION.sub(lambda tag: tag[1] + ("endif" if tag[2] else "if true"), template)
    try:
        return _compiled(template).render(
            **tokens,
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
        )
    except Exception as error:  # a template is foreign code: it may raise anything
        roles = ", ".join(message["role"] for message in messages)
        at = f", line {line}" if (line := getattr(error, "lineno", None)) else ""
        raise DataError(
            f"{where}{at}: cannot render messages with the roles {roles}: {error}; change "
            "answers.system_prompt, or set answers.chat_template to another template"
        ) from error


def turn_end(template: str, tokens: Mapping[str, str]) -> str | None:
    """The first text after an answer, usually a token: there the model learnt to stop.

    "" where the template writes nothing, None where it does not print answers.
    """
    question, answer = {"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}
    # Some templates write nothing after the last answer: there the next turn's beginning ends it.
    for messages in ([question, answer], [question, answer, question]):
        try:
            text = render(template, messages, tokens, add_generation_prompt=False)
        except DataError:
            return None
        _, found, after = text.partition(_ANSWER)
        if not found:
            return None
        if after := after.strip():
            token = re.match(r"<[^<>\s]+>", after)
            return token[0] if token else after.splitlines()[0]
    return ""
