"""Checks of a model's first answers: a wrong chat template or stop token is detected before GPU
time is spent on all questions and their judgments.

They must not stop a good model: no 20 consecutive answers of three real models, with 500 answers
each, raise a doubt.
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from arena.support.humanize import counted


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer. text: without the thought. finish_reason: "length" at max_tokens."""

    text: str
    finish_reason: str | None
    prompt: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """kind: `empty`, `cut`, `same_beginning`, `other_language` or `repeats`. text: numbers and
    likely cause. is_grave: enough such answers to stop the model.
    """

    kind: str
    text: str
    is_grave: bool


# Kind -> share of the answers from which there is a doubt, and a grave one.
LIMITS = {
    # Good models leave 1 % of the answers empty; in three published files with a wrong template or
    # stop token, 23 to 44 % were.
    "empty": (0.1, 0.2),
    # Reasoning models often reach max_tokens on hard questions; most truncated answers are useless.
    "cut": (0.2, 0.5),
    # The most frequent beginning of three real models occurs in 7 of 500 answers.
    "same_beginning": (0.5, 0.5),
    # Some questions ask for a translation, but in hardly any bench half of them do.
    "other_language": (0.2, 0.5),
    # Weak models loop now and then: gpt-3.5-turbo in 2 of 500 answers.
    "repeats": (0.1, 0.3),
}
FEW, MANY = 2, 4  # at least so many answers for a doubt and a grave one: fewer may be chance
CAUSES = {
    "empty": "chat template or stop token do not fit the model, so it ends its turn at once",
    "cut": "the stop token is not the one that ends a turn in the chat template, so the model "
    "never stops; or max_tokens, which includes thoughts, is too small",
    "same_beginning": "the model does not see the question (chat template), or a thought or a part "
    "of the template was left in the answer (end_think_token)",
    "other_language": "wrong tokenizer or weights, or the model was trained on other languages",
    "repeats": "a base model without a matching chat template, wrong stop token or broken weights",
}

BEGINNING = 40  # characters; "Sure, here is an example of how you can" is shorter
WHOLE = 200  # characters; if these are equal, it is the same answer, not a habit of speech
TAIL = 2000  # characters at the end; long enough for loops of whole paragraphs
SHORTEST_TAIL = 400  # characters; anything shorter is no endless loop
LOOP = 0.15  # zlib's compression ratio of the tail: loops 0.02 to 0.14, real answers from 0.18
LETTERS = 20  # fewer do not show a language: a number, a formula, a name
FOREIGN = 0.1  # a script with a larger share of the prompt's letters is not foreign

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
# Scripts of one language, by the first word of their characters' Unicode names.
_TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH"), "HAN")
_TOGETHER["FULLWIDTH"] = "LATIN"


def doubts(seen: Sequence[Seen]) -> list[Doubt]:
    """The doubts about these answers: grave ones first, then those about more answers."""
    cut = [one for one in seen if one.finish_reason == "length"]
    silent = sum(not one.text.strip() for one in cut)
    empty = sum(not one.text.strip() for one in seen) - silent
    within = f", {silent} of them before the answer began" if silent else ""
    beginning, same = _commonest(seen, BEGINNING)
    # By script: this detects Chinese or Russian instead of English, but not German.
    scripts = Counter(filter(None, map(_foreign_script, seen)))
    names = " or ".join(script.capitalize() for script, _ in scripts.most_common(2))
    counts = {
        "empty": (empty, "are empty"),
        "cut": (len(cut), f"were truncated at max_tokens{within}"),
        "same_beginning": (same, f"begin with the same words, {beginning!r}"),
        "other_language": (scripts.total(), f"are in another script ({names}) than their question"),
        "repeats": (sum(_is_loop(one.text) for one in seen), "repeat themselves to the end"),
    }
    found = []
    for kind, (hits, what) in sorted(counts.items(), key=lambda item: -item[1][0]):
        doubtful, grave = LIMITS[kind]
        if hits >= max(FEW, doubtful * len(seen)):
            text = f"{hits} of {counted(len(seen), 'answer')} {what}: {CAUSES[kind]}"
            equal = _commonest(seen, WHOLE)[1] if kind == "same_beginning" else hits
            found.append(Doubt(kind, text, is_grave=equal >= max(MANY, grave * len(seen))))
    return sorted(found, key=lambda doubt: not doubt.is_grave)


def _commonest(seen: Sequence[Seen], length: int) -> tuple[str, int]:
    """The most frequent beginning, and how many answers have it; empty answers do not count."""
    beginnings = Counter(start for one in seen if (start := one.text.strip()[:length]))
    return max(beginnings.items(), key=lambda item: item[1], default=("", 0))


def _foreign_script(one: Seen) -> str | None:
    """The script of the answer, None if the question has it too; code blocks do not count."""
    texts = (_FENCED.sub("", text) for text in (one.prompt, one.text))
    asked, answered = (Counter(map(_script, filter(str.isalpha, text))) for text in texts)
    if min(asked.total(), answered.total()) < LETTERS:
        return None
    script = answered.most_common(1)[0][0]
    return script if asked[script] < FOREIGN * asked.total() else None


@cache
def _script(letter: str) -> str:
    """The first word of its Unicode name: LATIN, CYRILLIC, HAN, HANGUL, ARABIC, DEVANAGARI, ..."""
    name = unicodedata.name(letter, "UNKNOWN").split()[0].split("-")[0]
    return _TOGETHER.get(name, name)


def _is_loop(text: str) -> bool:
    tail = text.strip()[-TAIL:]
    if len(tail) < SHORTEST_TAIL:
        return False
    plain = tail.encode(errors="replace")
    return len(zlib.compress(plain, 9)) < LOOP * len(plain)
