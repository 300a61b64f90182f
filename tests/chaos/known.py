"""The bench's answers, verdicts and scores as they must come out, worked out from the rules alone.

Nothing of the workflow is used, so that an error which strikes every run alike cannot hide.
"""

import hashlib
import math
import re

MODELS = ("alpha", "beta", "gamma")
# Replies of the judge that are what they are, in the undisturbed run as well: one of each in every
# 80 answers.
LASTING = ("null", "empty", "reasoning", "thought", "think", "tool", "refusal", "length")
LASTING += ("longwinded", "unparsed", "odd", "huge", "nousage", "too_long", "toolong_openai")
LASTING += ("filter", "turned")
# How a game ends whose reply is shaped by a marker; the other markers change no verdict.
ENDS = dict.fromkeys(("null", "empty", "reasoning", "tool", "unparsed", "odd", "huge"), "unparsed")
ENDS |= {"length": "truncated", "too_long": "too_long", "toolong_openai": "too_long"}
ENDS |= {"refusal": "rejected", "filter": "rejected"}
MARKER = re.compile(r"<<judge:(\w+)>>")


def answer(model: str, question: str) -> str:
    """What a model, or the baseline, says; lengths differ, so that verdicts differ too."""
    n, number = int(re.findall(r"\d+", question)[0]), (*MODELS, "base").index(model)
    text = f"{model} sorts {n} things. " * (1 + (7 * n + 5 * number) % 11)
    marked = (n + 13 * number) % 80
    if model in MODELS and marked < len(LASTING):
        text += f"<<judge:{LASTING[marked]}>>"
    return text


def verdict(question: str, first: str, second: str) -> tuple[str, str | None]:
    """State and label of a game, by the demo judge's rule and the marker in an answer."""
    marker = MARKER.search(first + second)
    kind = marker[1] if marker else ""
    if kind in ENDS:
        return ENDS[kind], None
    lead = merit(first, question) - merit(second, question) + 0.12
    pair = sorted((first, second))
    digest = hashlib.sha256("\0".join(pair).encode()).digest()
    noise = 0.55 * (int.from_bytes(digest[:4], "big") / 2**31 - 1)
    lead += noise if first == pair[0] else -noise
    strength = 0 if abs(lead) < 0.15 else 1 if abs(lead) < 1.1 else 2
    if kind == "turned":
        label = ("B=A", "B<A", "B<<A")[strength] if lead > 0 else ("B=A", "A<B", "A<<B")[strength]
    else:
        label = ("A=B", "A>B", "A>>B")[strength] if lead > 0 else ("A=B", "B>A", "B>>A")[strength]
    return "ok", label


def merit(answer: str, question: str) -> float:
    """Length, variety of words, words shared with the question; the bench's texts have no lists."""
    words = re.findall(r"\w+", answer.lower())
    asked = {word for word in re.findall(r"\w+", question.lower()) if len(word) > 3}
    shared = len(asked & set(words)) / len(asked)
    return 0.5 * math.log1p(len(words)) + 0.5 * len(set(words)) / len(words) + shared


# Votes of the model, by the label of the game in which it is A.
VOTES = {"A>>B": [1, 1, 1], "B<<A": [1, 1, 1], "A>B": [1], "B<A": [1], "A=B": [0.5], "B=A": [0.5]}
VOTES |= {"B>A": [0], "A<B": [0], "B>>A": [0, 0, 0], "A<<B": [0, 0, 0]}


def score(pairs: list[tuple[str | None, str | None]]) -> float:
    """Of a model, from the labels of its two games a question: A is the baseline in the first."""
    votes: list[float] = []
    for first, second in pairs:
        if first and second:  # rule v2.0: a question with one verdict does not count
            votes += [1 - vote for vote in VOTES[first]] + VOTES[second]
    return 100 * sum(votes) / len(votes)
