"""What the first answers of a model give away: a wrong template or stop token, seen before the GPU
time of all questions, and of their judgments, is spent.

A good model must not be stopped: about any 20 answers in a row of three real models, 500 answers
each, there is no doubt.
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
    """One answer. text: without the thought. finish_reason: "length" at the token cap."""

    text: str
    finish_reason: str | None
    prompt: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """kind: `empty`, `cut`, `same_beginning`, `other_language` or `repeats`. share: of the answers.

    text: for a person, with the numbers and the likely cause. is_grave: so many that the model had
    better be stopped.
    """

    kind: str
    share: float
    text: str
    is_grave: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares of the answers: of a doubt, and of a grave one."""

    doubt: float
    grave: float


# Good models leave one answer in a hundred empty; in three published files with a wrong template
# or stop token, 23 to 44 % were.
EMPTY = Limits(0.1, 0.2)
# Models that think aloud often reach the cap on hard questions; most answers cut are worth nothing.
CUT = Limits(0.2, 0.5)
# The most frequent beginning of three real models is that of 7 answers in 500.
SAME = Limits(0.5, 0.5)
# Some questions ask for a translation; hardly any bench asks for one in half of its questions.
OTHER = Limits(0.2, 0.5)
# A weak model loops now and then: gpt-3.5-turbo in 2 of 500.
REPEATS = Limits(0.1, 0.3)
FEW, MANY = 2, 4  # answers at least, of a doubt and of a grave one: fewer happen by chance

BEGINNING = 40  # characters; "Sure, here is an example of how you can" is shorter
WHOLE = 200  # characters; the same so far is no habit of speech but the same answer
TAIL = 2000  # characters at the end, so that a loop of whole paragraphs repeats within them
SHORTEST_TAIL = 400  # characters; less is no endless loop
LOOP = 0.15  # of the tail is left by zlib: of loops 0.02 to 0.14, of real answers 0.18 and more
LETTERS = 20  # fewer show no language: a number, a formula, a name
FOREIGN = 0.1  # of the prompt's letters: more, and the answer's script is at home in the question

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
# Scripts that one language mixes, by the first word of their characters' Unicode names.
_TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH"), "HAN")
_TOGETHER["FULLWIDTH"] = "LATIN"


def doubts(seen: Sequence[Seen]) -> list[Doubt]:
    """What is odd about the answers, the gravest first."""
    found = [look(seen) for look in (_empty, _cut, _same_beginning, _other_language, _repeats)]
    return sorted(filter(None, found), key=lambda doubt: (not doubt.is_grave, -doubt.share))


def _doubt(
    kind: str,
    limits: Limits,
    hits: int,
    seen: Sequence[Seen],
    text: str,
    grave: int | None = None,
) -> Doubt | None:
    """A doubt if there are enough answers of its kind; `grave` are those that count for a grave
    one, all without it. `text` goes on after "7 of 20 answers"."""
    grave = hits if grave is None else grave
    if hits < max(FEW, limits.doubt * len(seen)):
        return None
    is_grave = grave >= max(MANY, limits.grave * len(seen))
    said = f"{hits} of {counted(len(seen), 'answer')} {text}"
    return Doubt(kind, hits / len(seen), said, is_grave)


def _empty(seen: Sequence[Seen]) -> Doubt | None:
    """Empty and ended by the model: what was cut within a thought belongs to `_cut`."""
    hits = sum(not one.text.strip() and one.finish_reason != "length" for one in seen)
    cause = "the chat template or a stop token does not fit the model, so it ends its turn at once"
    return _doubt("empty", EMPTY, hits, seen, f"are empty: {cause}")


def _cut(seen: Sequence[Seen]) -> Doubt | None:
    cut = [one for one in seen if one.finish_reason == "length"]
    silent = sum(not one.text.strip() for one in cut)
    within = f", {silent} of them before the answer began" if silent else ""
    cause = (
        "the stop token is not the one that ends a turn in the chat template, so the model goes on "
        "and on; or max_tokens is too small, which thoughts count towards"
    )
    return _doubt("cut", CUT, len(cut), seen, f"were cut at max_tokens{within}: {cause}")


def _same_beginning(seen: Sequence[Seen]) -> Doubt | None:
    beginning, hits = _commonest(seen, BEGINNING)
    cause = (
        "the model does not see the question (chat template), or a thought or a part of the "
        "template was left in the answer (end_think_token)"
    )
    text = f"begin with the same words, {beginning!r}: {cause}"
    return _doubt("same_beginning", SAME, hits, seen, text, grave=_commonest(seen, WHOLE)[1])


def _other_language(seen: Sequence[Seen]) -> Doubt | None:
    """By script: German instead of English is not seen, Chinese or Russian is."""
    scripts = Counter(filter(None, map(_foreign_script, seen)))
    names = " or ".join(script.capitalize() for script, _ in scripts.most_common(2))
    cause = "the tokenizer or the weights are not the model's, or it was trained on other languages"
    text = f"are in another script ({names}) than their question: {cause}"
    return _doubt("other_language", OTHER, scripts.total(), seen, text)


def _repeats(seen: Sequence[Seen]) -> Doubt | None:
    hits = sum(_is_loop(one.text) for one in seen)
    cause = "a base model without a fitting chat template, an unknown stop token, or broken weights"
    return _doubt("repeats", REPEATS, hits, seen, f"repeat themselves to the end: {cause}")


def _commonest(seen: Sequence[Seen], length: int) -> tuple[str, int]:
    """The most frequent beginning, and how many answers have it. Empty answers have none."""
    beginnings = Counter(start for one in seen if (start := one.text.strip()[:length]))
    return max(beginnings.items(), key=lambda item: item[1], default=("", 0))


def _foreign_script(one: Seen) -> str | None:
    """The script of an answer if the question is in another one."""
    asked, answered = _scripts(one.prompt), _scripts(one.text)
    if min(asked.total(), answered.total()) < LETTERS:
        return None
    script = answered.most_common(1)[0][0]
    return script if asked[script] < FOREIGN * asked.total() else None


def _scripts(text: str) -> Counter[str]:
    """Letters outside code blocks by script."""
    scripts: Counter[str] = Counter()
    for char, times in Counter(_FENCED.sub("", text)).items():
        if char.isalpha():
            scripts[_script(char)] += times
    return scripts


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
