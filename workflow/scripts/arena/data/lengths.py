"""How many tokens a text has for the judge: by its tokenizer where that is at hand, else about."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
    counter, name = token_counter()
    file = Path(path or "") / "tokenizer.json"
    if not (path and file.is_file()):
        return Lengths(counter, name, False)
    try:
        from tokenizers import Tokenizer  # comes with vLLM; no dependency of ours
    except ImportError:
        return Lengths(counter, f"{name}; for the judge's own: pip install tokenizers", False)
    tokenizer = Tokenizer.from_file(str(file))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return Lengths(count, "the judge's tokenizer", True)


def context_of(judge: dict[str, Any]) -> tuple[int | None, str]:
    """The judge's context in tokens and where that is said: the config, its command, its files."""
    if judge.get("context"):
        return judge["context"], "judge.context"
    if stated := re.search(r"--max-model-len[ =]+(\d+)(?!\S)", judge.get("command") or ""):
        return int(stated[1]), "judge.command"
    file = Path(judge.get("path") or "") / "config.json"
    if judge.get("path") and file.is_file():
        with suppress(ValueError, AttributeError):  # not the shape: unknown
            found = json.loads(file.read_text(encoding="utf-8"))
            for block in (found, found.get("text_config", {})):
                if isinstance(length := block.get("max_position_embeddings"), int):
                    return length, str(file)
    return None, "unknown; set judge.context"
