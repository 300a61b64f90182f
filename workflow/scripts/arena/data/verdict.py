"""Parse the judge's verdict from a reply: one of ten labels, or None (unparsed).

Judges also write `[[A>>A]]` or a bare `[[B]]`, and the second pattern also matches code such as
`arr[b]`; none of these is a verdict.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from arena.support.errors import ConfigError

# Best for A first.
VERDICTS = ("A>>B", "A>B", "A=B", "B>A", "B>>A")
# Other spellings of these, which judges use now and then.
_ALIASES = {"B<<A": "A>>B", "B<A": "A>B", "B=A": "A=B", "A<B": "B>A", "A<<B": "B>>A"}
LABELS = frozenset(VERDICTS) | frozenset(_ALIASES)
# Arena-Hard v0.1's code knows only the five: some judges use `A<B` in another sense there, and with
# it every model scores near 50.
LABELS_OF = {"v0.1": frozenset(VERDICTS), "v2.0": LABELS}

# The states in which a game ends, in display order. Only "ok" is a vote; games in the others are
# asked again only by `ask_again`.
STATES = ("ok", "unparsed", "truncated", "too_long", "rejected")
ANSWERED = ("ok", "unparsed", "truncated")  # the judge replied

DEFAULT_PATTERNS = (r"\[\[([AB<>=]+)\]\]", r"\[([AB<>=]+)\]")
RULES = tuple(LABELS_OF)

# Names of tags around thoughts: <think>, <seed:think>, <longcat_think>, <reasoning>.
_NAME = (
    r"(?:[a-z]+[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection"
    r"|scratchpad|inner_monologue)"
)
_TAG = re.compile(rf"</?({_NAME})(?:\s+\w+=[^<>]{{0,40}})?\s*>", re.IGNORECASE)
# Other marks of thoughts: a text to search for first (faster), begin, end. gpt-oss thinks in
# channels; if a server drops special tokens, their marks are "analysis" and "assistantfinal".
_PAIRS = (
    ("think]", r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    ("think▷", r"◁think▷", r"◁/think▷"),  # Kimi
    ("[unused16]", r"\[unused16\]", r"\[unused17\]"),  # Pangu
    ("|>", r"<\|(?:(?:begin|start)_(?:of_)?(?:thought|thinking|reasoning)|think|inner_prefix)\|>",
     r"<\|(?:end_(?:of_)?(?:thought|thinking|reasoning)|/think|content|inner_suffix)\|>"),
    ("|>", r"(?:<\|start\|>assistant)?<\|channel\|>\s*(?:analysis|commentary)",
     r"(?:<\|start\|>assistant)?<\|channel\|>\s*final.{0,40}?<\|message\|>"),
    ("assistantfinal", r"\A\s*(?-i:analysis(?=[A-Z]))", r"(?-i:assistantfinal(?=\W|[A-Z]))"),
    ("channel", r"<\|channel>\s*thought", r"<channel\|>"),  # Gemma 4
    ("<unused9", r"<unused94>\s*thought", r"<unused95>"),  # MedGemma
    ("my thought process:", r"\A\s*Here(?: is|'s) my thought process:",
     r"Here(?: is|'s) my response:"),  # Granite 3.2
)  # fmt: skip
# An end mark inside a sentence, without a begin mark, is a quote.
_BEFORE_QUOTED = re.compile(r"(?:\w[ \t]|[`'\"(])\Z")
_LINE_ENDS = re.compile(r"[ \t]*\n")


def state_of(label: str | None, finish_reason: Any) -> str:
    """The state of a game with a reply; label: the verdict, None without one."""
    if label:
        return "ok"
    return "truncated" if finish_reason == "length" else "unparsed"


def states_text(states: Counter[str]) -> str:
    """`ok 400, unparsed 12`."""
    return ", ".join(f"{state} {states[state]}" for state in STATES if states[state])


def default_rule(bench: str) -> str:
    """v0.1 for Arena-Hard v0.1, whose published tables were made by that rule."""
    return "v0.1" if bench == "arena-hard-v0.1" else "v2.0"


def parse_verdict(
    text: str | None, patterns: Sequence[str] = DEFAULT_PATTERNS, rule: str = "v2.0"
) -> str | None:
    """Return the last label in `text`, in the judge's spelling, or None if unparsed.

    rule "v2.0": upper-case the reply; the first pattern that finds a known label decides, by its
    last match. rule "v0.1": only the first pattern counts, case matters, and all matches must be
    equal. Thoughts do not count (see `without_thoughts`).
    """
    if not text or not patterns:
        return None
    text = without_thoughts(text)
    if rule == "v0.1":
        matches = set(_matches(patterns[0], text))
        return as_label(matches.pop(), rule) if len(matches) == 1 else None
    upper = text.upper()
    found = (list(filter(None, map(as_label, _matches(one, upper)))) for one in patterns)
    return next(filter(None, found), [None])[-1]


def without_thoughts(reply: str) -> str:
    """The reply without the judge's thoughts.

    A thought is between two tags of one kind, such as `<think>` and `</think>` (see `_NAME` and
    `_PAIRS`), in any case. The first one may lack its begin tag, which some chat templates put into
    the prompt. If the reply begins with an unfinished thought, or one begins on a line of its own,
    the rest is thought. Any other single tag is a quote.
    """
    kinds: dict[tuple[str, str], int] = {}  # begin, end -> where the first of them stands
    for tag in _TAG.finditer(reply):
        name = re.escape(tag[1].lower())
        pair = (rf"<{name}(?:\s+\w+=[^<>]{{0,40}})?\s*>", rf"</{name}\s*>")
        kinds.setdefault(pair, tag.start())
    lower = reply.lower()
    for hint, begin, end in _PAIRS:
        if (hint in lower or lower.lstrip().startswith("analysis")) and (
            first := re.search(f"{begin}|{end}", reply, re.IGNORECASE)
        ):
            kinds[begin, end] = first.start()
    for begin, end in sorted(kinds, key=kinds.__getitem__):
        reply = _without(reply, *(re.compile(tag, re.IGNORECASE) for tag in (begin, end)))
    return reply


def _without(reply: str, begin: re.Pattern, end: re.Pattern) -> str:
    spoken, at, ended = "", 0, False  # ended: the first thought, with or without its beginning
    searched = 0  # `at`, or the end of a quoted tag: each part is searched once
    for tag in end.finditer(reply):
        begun = begin.search(reply, searched, tag.start())
        searched = tag.end()
        if begun or ended:
            spoken += reply[at : begun.start() if begun else tag.start()]
        elif _BEFORE_QUOTED.search(reply, max(0, tag.start() - 2), tag.start()) and not (
            _LINE_ENDS.match(reply, tag.end())
        ):
            continue
        else:
            spoken = ""
        ended = ended or not begun or not spoken.strip()
        at = searched
    rest = reply[at:]
    for number, tag in enumerate(begin.finditer(rest)):
        if not number and not (spoken + rest[: tag.start()]).strip():
            return ""
        if rest[tag.start() - 1 : tag.start()] == "\n" and _LINE_ENDS.match(rest, tag.end()):
            return spoken + rest[: tag.start()]
    return spoken + rest


def as_label(value: object, rule: str = "v2.0") -> str | None:
    """Return `value` as a label that `rule` knows, ignoring case and blanks, or None."""
    if not isinstance(value, str) or len(value) > 16:  # a whole reply stored as the score
        return None
    label = value.strip().upper()
    return label if label in LABELS_OF[rule] else None


def verdict_of(label: str) -> str:
    """Return the usual spelling of a label: `A<<B` is `B>>A`."""
    return _ALIASES.get(label, label)


def _matches(pattern: str, text: str) -> list[str]:
    matches = compile_pattern(pattern).finditer(text)
    found = (next(filter(None, match.groups() or [match[0]]), "") for match in matches)
    return [one.strip() for one in found if one]


@lru_cache(maxsize=32)  # a run uses two or three patterns
def compile_pattern(pattern: str, where: str = "judge.patterns") -> re.Pattern:
    """Compile a pattern; ConfigError if it is not a regular expression."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{where}: {pattern!r} is not a regular expression: {error}") from error


# For `check_patterns`: forms of verdicts, and what `_read` simplifies in a pattern.
_FORMS = ("[[{}]]", "[{}]", "({})", "<{}>", "**{}**", "VERDICT: {}", r"\boxed{{{}}}", '"{}"', "{}")
_BRACKETS = '[](){}<>*" \t'
_GROUP = re.compile(r"\((?!\?[^P])(?:\?P<\w+>)?[^()]*\)")
_CLASS = re.compile(r"\[(\\?[^\]^])[^\]]*\]")
_BLANKS = re.compile(r"\\[sbBAZ][*+?]*|[$^]|(?<!\\)[.][*+]\??")
_QUANTIFIERS = re.compile(r"(?<!\\)[*+?]+")


def check_patterns(patterns: Iterable[str]) -> None:
    """Raise ConfigError for a pattern that is no regular expression or can never find a verdict.

    It is tried on a sample of verdicts, and refused if the reason for its failure is known: it
    finds only text that is not a label, or would find a label if the reply were not upper-cased.
    """
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
