"""The verdicts of the demo judge: deterministic, from simple features of the two answers.

A toy, not a language model: it shows that the workflow works, and tells nothing about the answers.
"""

import hashlib
import math
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import accumulate, takewhile

NAME = "toy judge, not a language model"
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
BLOCK = 16  # tokens in a block of vLLM's prefix cache


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


def merit(answer: str, question: str = "") -> float:
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
    question = next(
        (m.group(1) for q in QUESTION if (m := re.search(q, user, re.DOTALL | re.IGNORECASE))), ""
    )
    merits = [merit(answer, question) for answer in pair]
    first, second = sorted(pair)
    number = int.from_bytes(hashlib.sha256(f"{first}\0{second}".encode()).digest()[:4], "big")
    noise = (number / 2**31 - 1) * NOISE * (1 if pair[0] == first else -1)
    lead = merits[0] - merits[1] + BIAS + (noise if first != second else 0)
    sign = ">" * (0 if abs(lead) < SLIGHT else 1 if abs(lead) < CLEAR else 2)
    label = "A=B" if not sign else f"A{sign}B" if lead > 0 else f"B{sign}A"
    text = (
        f"I am a {NAME}: I count words, lists and headers. A scores {merits[0]:.2f}, "
        f"B scores {merits[1]:.2f}.\n\n[[{label}]]"
    )
    return label, text


def count_tokens(text: str) -> int:
    """An estimate; the toy has no tokenizer."""
    return -(-len(text) // CHARS_PER_TOKEN)


@dataclass
class PrefixCache:
    """A model of vLLM's prefix cache: blocks of 16 tokens, the least recently used evicted first.

    As in vLLM, a block is a hit only if all blocks before it are.
    """

    capacity: int = 200_000  # tokens; 0 = no cache
    _blocks: OrderedDict[int, None] = field(default_factory=OrderedDict, repr=False)

    def cached_tokens(self, prompt: str) -> int:
        """Tokens at the start of the prompt that were in the cache. Adds the whole prompt."""
        size = BLOCK * CHARS_PER_TOKEN
        blocks = (prompt[at : at + size] for at in range(0, len(prompt) - size + 1, size))
        keys = list(accumulate(blocks, lambda key, block: hash((key, block)), initial=0))[1:]
        found = sum(1 for _ in takewhile(self._blocks.__contains__, keys))
        # Backwards, so that the ends of prompts are evicted before their shared beginnings.
        for key in reversed(keys):
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) * BLOCK > self.capacity:
            self._blocks.popitem(last=False)
        return found * BLOCK if self.capacity else 0
