"""Patterns that can never find a verdict, tried on a sample of verdicts.

A pattern is refused where its failure on the sample is explained: it finds only what is no label,
or it would find one if the reply were not upper-cased. What fits none of the sample is believed.
"""

import re
from collections.abc import Iterable

from arena.data.verdict import VERDICTS, as_label, compile_pattern, parse_verdict
from arena.support.errors import ConfigError

_FORMS = ("[[{}]]", "[{}]", "({})", "<{}>", "**{}**", "VERDICT: {}", r"\boxed{{{}}}", '"{}"', "{}")
_BRACKETS = '[](){}<>*" \t'
_GROUP = re.compile(r"\((?!\?[^P])(?:\?P<\w+>)?[^()]*\)")
_CLASS = re.compile(r"\[(\\?[^\]^])[^\]]*\]")
_BLANKS = re.compile(r"\\[sbBAZ][*+?]*|[$^]|(?<!\\)[.][*+]\??")
_QUANTIFIERS = re.compile(r"(?<!\\)[*+?]+")


def check_patterns(patterns: Iterable[str]) -> None:
    """ConfigError for the first pattern that is no regular expression or cannot find a verdict."""
    for pattern in patterns:
        compiled = compile_pattern(pattern)
        read = _read(pattern)
        forms = (*_FORMS, *(read.format(kept) for kept in ("{}", "[{}]", "[[{}]]")))
        sample = [form.format(label) for label in VERDICTS for form in forms]
        if any(parse_verdict(reply, [pattern]) for reply in sample):
            continue
        for reply in sample:
            found = compiled.search(reply.upper())
            groups = (found.groups() or found.group(0, 0)) if found else ()
            labels = (group for group in groups if as_label((group or "").strip(_BRACKETS)))
            if almost := next(labels, None):
                raise ConfigError(
                    f"judge.patterns: {pattern!r} finds {almost!r} in {reply!r}, which is no "
                    "label: a group must hold the label alone, without brackets"
                )
            if parse_verdict(reply, [f"(?i:{pattern})"]):
                raise ConfigError(
                    f"judge.patterns: {pattern!r} can never match: the reply is upper-cased "
                    f"before, {reply.upper()!r}. Write the pattern in capitals"
                )


def _read(pattern: str) -> str:
    """The shortest text of a simple pattern, with `{}` for its label, to be filled twice."""
    text = _BLANKS.sub("", _GROUP.sub("\0", pattern, count=1))
    text = _QUANTIFIERS.sub("", _CLASS.sub(r"\1", text))
    text = re.sub(r"\\(.)", r"\1", text)
    return text.replace("{", "{{{{").replace("}", "}}}}").replace("\0", "{}")
