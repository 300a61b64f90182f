"""Detect patterns that can never find a verdict, by a sample of verdicts.

A pattern is refused if the reason for its failure is known: it finds only text that is not a label,
or it would find a label if the reply were not upper-cased. Other patterns are accepted.
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
    """Raise ConfigError for a pattern that is no regular expression or cannot find a verdict."""
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
                    f"judge.patterns: {pattern!r} finds {almost!r} in {reply!r}, which is not a "
                    "label: the group must match the label alone, without brackets"
                )
            if parse_verdict(reply, [f"(?i:{pattern})"]):
                raise ConfigError(
                    f"judge.patterns: {pattern!r} can never match, because replies are upper-cased "
                    f"first ({reply.upper()!r}). Write the pattern in upper case"
                )


def _read(pattern: str) -> str:
    """The shortest text that a simple pattern matches, with `{}` for its label; format it twice."""
    text = _BLANKS.sub("", _GROUP.sub("\0", pattern, count=1))
    text = _QUANTIFIERS.sub("", _CLASS.sub(r"\1", text))
    text = re.sub(r"\\(.)", r"\1", text)
    return text.replace("{", "{{{{").replace("}", "}}}}").replace("\0", "{}")
