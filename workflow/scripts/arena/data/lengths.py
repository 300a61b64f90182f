"""Token counts of prompts, by the judge's tokenizer where it is available."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.data.metadata import token_counter
from arena.data.weight_files import read_json
from arena.data.weights import context_length
from arena.support.errors import DataError

# Prompts of a model that are tokenized; the others are estimated from their characters within a few
# per cent, so 117 models take seconds.
SAMPLE = 20
CHAT_TOKENS = 15  # added by the chat template to a system and a user message (Llama 3)


@dataclass(frozen=True)
class Lengths:
    """A token counter. is_judges: whether it is the judge's own tokenizer."""

    count: Callable[[str], int]
    name: str
    is_judges: bool

    def estimate(self, texts: Sequence[str]) -> list[int]:
        """Tokens of many similar texts, estimated from an even sample."""
        step = max(1, len(texts) // SAMPLE)
        counted = {i: self.count(texts[i]) for i in range(0, len(texts), step)}
        characters = sum(len(texts[i]) for i in counted)
        ratio = sum(counted.values()) / characters if characters else 0.0
        return [
            counted[i] if i in counted else round(len(text) * ratio) for i, text in enumerate(texts)
        ]


def lengths_for(path: str | None) -> Lengths:
    """The counter for a judge with weights at `path`; it loads only the tokenizer."""
    counter, name = token_counter()
    file = Path(path or "") / "tokenizer.json"
    if not (path and file.is_file()):
        return Lengths(counter, name, False)
    try:
        from tokenizers import Tokenizer  # installed with vLLM, not one of our requirements
    except ImportError:
        return Lengths(counter, f"{name}; for the judge's own: pip install tokenizers", False)
    tokenizer = Tokenizer.from_file(str(file))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return Lengths(count, "the judge's tokenizer", True)


def context_of(judge: dict[str, Any]) -> tuple[int | None, str]:
    """The judge's context in tokens (None: unknown) and its source."""
    if judge.get("context"):
        return judge["context"], "judge.context"
    if stated := re.search(r"--max-model-len[ =]+(\d+)(?!\S)", judge.get("command") or ""):
        return int(stated[1]), "judge.command"
    if judge.get("path") and (file := Path(judge["path"]) / "config.json").is_file():
        with suppress(DataError):  # invalid: unknown
            if length := context_length(read_json(file), {}):
                return length, str(file)
    return None, "unknown; set judge.context"
