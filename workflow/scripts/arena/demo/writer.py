"""The answers of the demo writer: deterministic, from stock phrases and words of the question.

A toy, not a language model: it shows that the workflow works, and its answers are labelled.
"""

import hashlib
import re
from collections.abc import Sequence

NAME = "toy writer, not a language model"
LABEL = "(toy answer)"  # at the beginning, so that an answer cut at max_tokens has it too
MOST_SECTIONS = 6  # of a model's longest answers, some 350 words
SENTENCES = (
    "First of all, {a} has to be seen together with {b}",
    "In most cases {a} comes before {b}, and not the other way round",
    "A small example of {a} makes this clear",
    "Whoever asks about {a} will sooner or later meet {b}",
    "There is no simple rule for {b}, but {a} is a good place to begin",
    "It helps to write down what is known of {a} and what is not",
    "Some would leave out {b} here; then {a} is harder to explain",
    "Finally, compare {a} with {b} and keep what works",
    "Mistakes are often made where {b} is taken for {a}",
    "As a test, change {a} a little and watch {b}",
)


def write(model: str, messages: Sequence[dict[str, str]]) -> str:
    """A model's answer, the same in every run and on every machine.

    Its length, and whether it uses markdown, depend on the model's name.
    """
    asked = "\0".join(message["content"] for message in messages)
    words = list(dict.fromkeys(re.findall(r"\w{4,}", messages[-1]["content"]))) or ["this", "that"]
    sections = 1 + _number(MOST_SECTIONS, model, "length")
    has_markdown = _number(4, model, "markdown") > 0
    parts = []
    for section in range(sections):
        place = (model, asked, section)
        sentences = [_sentence(words, *place, n) for n in range(2 + _number(4, *place))]
        if has_markdown:
            first, *rest = sentences
            items = "\n".join(f"- {sentence}" for sentence in rest)
            heading = f"## {words[_number(len(words), *place, 'head')].capitalize()}\n\n"
            parts.append(f"{heading if section else ''}{first}\n\n{items}")
        else:
            parts.append(" ".join(sentences))
    return f"{LABEL} " + "\n\n".join(parts)


def _sentence(words: Sequence[str], *place: object) -> str:
    at = _number(len(words), *place, "word")
    a, b = words[at], words[at - 1]
    mark = "**" if _number(5, *place, "bold") == 0 else ""
    sentence = SENTENCES[_number(len(SENTENCES), *place, "sentence")]
    return sentence.format(a=f"{mark}{a}{mark}", b=b) + "."


def _number(below: int, *parts: object) -> int:
    """A number from a digest of the parts; `random` may differ between versions of Python."""
    text = "\0".join(map(str, parts)).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) % below
