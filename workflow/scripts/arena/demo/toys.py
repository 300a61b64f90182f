"""What the demo judge and the demo writer say: deterministic, from simple features of the texts.

Toys, not language models: they show that the workflow works, and tell nothing about the answers.
"""

import hashlib
import math
import re
from collections.abc import Sequence

JUDGE_NAME = "toy judge, not a language model"
WRITER_NAME = "toy writer, not a language model"
# How the known templates mark an answer: ours (<reply_A>), and Arena-Hard-Auto's.
FRAMES = (
    r"<(?:reply|answer)_{side}>\n?(.*?)\n?</(?:reply|answer)_{side}>",
    r"start of assistant {side}'s answer[^\n]*\n(.*?)\n[^\n]*end of assistant {side}'s answer",
)
QUESTION = (
    r"<request>\n?(.*?)\n?</request>",
    r"user prompt[^\n]*\n(.*?)\n[^\n]*start of assistant",
)
BIAS = 0.12  # towards the first answer, so that the page of judge health shows a position bias
NOISE = 0.55  # half the width of the noise; the merits of answers differ by about 1
SLIGHT, CLEAR = 0.15, 1.1  # a smaller difference is a tie, a larger one a strong verdict
CHARS_PER_TOKEN = 4  # of English, in the usual tokenizers
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


def answers(user: str) -> tuple[str, str] | None:
    """The two answers in a judge's user message; None for an unknown template."""
    for frame in FRAMES:
        first, second = (
            re.search(frame.replace("{side}", side), user, re.DOTALL | re.IGNORECASE)
            for side in "AB"
        )
        if first and second:
            return first.group(1), second.group(1)
    return None


def merit(answer: str, question: str) -> float:
    """Grows with length, structure, variety of words, and words that the question has too."""
    words = re.findall(r"\w+", answer.lower())
    if not words:
        return 0.0
    structure = min(len(re.findall(r"^(?:#{1,6} |[-*+] |\d+\.|```)", answer, re.MULTILINE)), 8)
    asked = {word for word in re.findall(r"\w+", question.lower()) if len(word) > 3}
    shared = len(asked & set(words)) / len(asked) if asked else 0.0
    variety = len(set(words)) / len(words)
    return 0.5 * math.log1p(len(words)) + 0.08 * structure + shared + 0.5 * variety


def verdict(user: str) -> tuple[str, str]:
    """Label and reply text for a user message.

    Swapping the answers swaps the verdict, except for a small bias towards the first. The noise is
    a digest of the two texts, so a pair has the same verdict in every run.
    """
    pair = answers(user) or (user[: len(user) // 2], user[len(user) // 2 :])
    found = (re.search(mark, user, re.DOTALL | re.IGNORECASE) for mark in QUESTION)
    question = next((match.group(1) for match in found if match), "")
    merits = [merit(answer, question) for answer in pair]
    first, second = sorted(pair)
    number = int.from_bytes(hashlib.sha256(f"{first}\0{second}".encode()).digest()[:4], "big")
    noise = (number / 2**31 - 1) * NOISE * (1 if pair[0] == first else -1)
    lead = merits[0] - merits[1] + BIAS + (noise if first != second else 0)
    sign = ">" * (0 if abs(lead) < SLIGHT else 1 if abs(lead) < CLEAR else 2)
    label = "A=B" if not sign else f"A{sign}B" if lead > 0 else f"B{sign}A"
    text = (
        f"I am a {JUDGE_NAME}: I count words, lists and headers. A scores {merits[0]:.2f}, "
        f"B scores {merits[1]:.2f}.\n\n[[{label}]]"
    )
    return label, text


def count_tokens(text: str) -> int:
    """An estimate; the toy has no tokenizer."""
    return -(-len(text) // CHARS_PER_TOKEN)


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
