"""How many tokens a text has for the judge: by its tokenizer where that is at hand, else about."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from arena.data.metadata import token_counter

# Prompts of one model that are really counted; the others by their characters, within a few per
# cent, so that 117 models are counted in seconds.
SAMPLE = 20
# Tokens of a chat around its texts: Llama 3 marks begin and end of two messages and of the reply.
CHAT_TOKENS = 15


@dataclass(frozen=True)
class Lengths:
    """count: tokens of one text. name: the counter's name. is_judges: it is the judge's own."""

    count: Callable[[str], int]
    name: str
    is_judges: bool

    def about(self, texts: Sequence[str]) -> list[int]:
        """Tokens of many similar texts: an even sample is counted, the rest in proportion."""
        step = max(1, len(texts) // SAMPLE)
        counted = {i: self.count(texts[i]) for i in range(0, len(texts), step)}
        characters = sum(len(texts[i]) for i in counted)
        ratio = sum(counted.values()) / characters if characters else 0.0
        return [
            counted[i] if i in counted else round(len(text) * ratio) for i, text in enumerate(texts)
        ]


def lengths_for(path: str | None) -> Lengths:
    """The counter for a judge whose weights lie at `path`; loads nothing but its tokenizer."""
    file = Path(path or "") / "tokenizer.json"
    if path and file.is_file():
        try:
            from tokenizers import Tokenizer  # comes with vLLM; no dependency of ours
        except ImportError:
            counter, name = token_counter()
            return Lengths(counter, f"{name}; for the judge's own: pip install tokenizers", False)
        tokenizer = Tokenizer.from_file(str(file))
        return Lengths(
            lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids),
            "the judge's tokenizer",
            True,
        )
    counter, name = token_counter()
    return Lengths(counter, name, False)


def context_of(judge: dict[str, Any]) -> tuple[int | None, str]:
    """The judge's context in tokens and where that is said: the config, its command, its files."""
    if judge.get("context"):
        return judge["context"], "judge.context"
    words = (judge.get("command") or "").replace("=", " ").split()
    for word, value in pairwise(words):
        if word == "--max-model-len" and value.isdigit():
            return int(value), "judge.command"
    file = Path(judge.get("path") or "") / "config.json"
    if judge.get("path") and file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            length = found.get("max_position_embeddings")
            length = length or found.get("text_config", {}).get("max_position_embeddings")
        except (ValueError, AttributeError):
            length = None
        if isinstance(length, int):
            return length, str(file)
    return None, "unknown; set judge.context"
