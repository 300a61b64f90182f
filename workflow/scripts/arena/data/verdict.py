"""The judge's verdict: from a reply's text to one of ten labels, or to none.

A label that is not in LABELS never becomes a vote. Judges do write `[[A>>A]]` or a bare `[[B]]`,
and the second pattern also matches code such as `arr[b]`; all of these are unparsed (None).
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from arena.support.errors import ConfigError

# The five verdicts in their usual spelling, best for A first ...
VERDICTS = ("A>>B", "A>B", "A=B", "B>A", "B>>A")
# ... and the same ones written with `<` or turned round, which judges use now and then.
_ALIASES = {"B<<A": "A>>B", "B<A": "A>B", "B=A": "A=B", "A<B": "B>A", "A<<B": "B>>A"}
LABELS = frozenset(VERDICTS) | frozenset(_ALIASES)

DEFAULT_PATTERNS = (r"\[\[([AB<>=]+)\]\]", r"\[([AB<>=]+)\]")
RULES = ("v0.1", "v2.0")

_BEGIN, _END = "<think>", "</think>"  # of a thought


def default_rule(bench: str) -> str:
    """v0.1 for Arena-Hard v0.1, whose published tables keep the game that has a verdict."""
    return "v0.1" if bench == "arena-hard-v0.1" else "v2.0"


def parse_verdict(
    text: str | None, patterns: Sequence[str] = DEFAULT_PATTERNS, rule: str = "v2.0"
) -> str | None:
    """Return the label that `text` ends on, in the judge's spelling, or None if unparsed.

    rule "v2.0": the reply is upper-cased; the first pattern with any non-empty match decides, by
    its last match. rule "v0.1": only the first pattern counts, the reply is taken as it is, and all
    of its matches must be equal. Thoughts are not read (see `without_thoughts`).
    """
    if rule not in RULES:
        raise ConfigError(f"rule: {rule!r} is not one of {', '.join(RULES)}")
    if not text or not patterns:
        return None
    text = without_thoughts(text)
    if rule == "v0.1":
        labels = set(_matches(patterns[0], text))
        label = labels.pop() if len(labels) == 1 else None
    else:
        upper = text.upper()
        found = (matches for pattern in patterns if (matches := _matches(pattern, upper)))
        label = next(found, [None])[-1]
    return as_label(label)


def without_thoughts(reply: str) -> str:
    """What the judge said, without what it thought before.

    A thought stands between `<think>` and the next `</think>`. The first may lack its beginning,
    which the chat templates of some judges put into the prompt. Where a reply begins with a thought
    that has no end, all of it is thought. Any other tag alone is quoted from an answer.
    """
    *closed, rest = reply.split(_END)
    spoken, ended = "", False  # ended: the first thought, with or without its beginning
    for part in closed:
        said, begun, _ = part.partition(_BEGIN)
        spoken = spoken + said if begun or ended else ""
        ended = ended or not begun or not spoken.strip()
    if not spoken.strip() and rest.lstrip().startswith(_BEGIN):
        return ""
    return spoken + rest


def as_label(value: object) -> str | None:
    """Return `value` as a known label (blanks and case forgiven), or None."""
    if not isinstance(value, str) or len(value) > 16:  # a whole reply stored as the score
        return None
    label = value.strip().upper()
    return label if label in LABELS else None


def verdict_of(label: str) -> str:
    """Return the usual spelling of a known label: `A<<B` is `B>>A`."""
    return _ALIASES.get(label, label)


def _matches(pattern: str, text: str) -> list[str]:
    compiled = compile_pattern(pattern)
    found: Iterable[str | None]
    if compiled.groups:
        found = (next((g for g in m.groups() if g), None) for m in compiled.finditer(text))
    else:
        found = (m.group() for m in compiled.finditer(text))
    return [match.strip() for match in found if match]


@lru_cache(maxsize=32)  # a run uses two or three patterns
def compile_pattern(pattern: str) -> re.Pattern:
    """The pattern, compiled once; ConfigError where it is no regular expression."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"judge.patterns: {pattern!r} is not a regular expression: {error}"
        ) from error
