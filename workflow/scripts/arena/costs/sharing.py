"""Which tokens of a batch's prompts the server computes once: the beginnings that games share.

A server with a prefix cache computes a beginning of a prompt once, as long as it is still in its
cache when the next prompt begins the same way. All models of a batch ask the same question at the
same time, so that this holds for one question's games, and for the system prompt always.
"""

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from arena.data.lengths import CHAT_TOKENS, Lengths

# vLLM keeps whole blocks of so many tokens; the rest of a shared beginning is computed again.
BLOCK = 16

Piece = tuple[Hashable, int]  # what stands there, and its tokens
_MARKER = re.compile(r"\{(QUESTION|ANSWER_A|ANSWER_B|REFERENCE)\}")


@dataclass(frozen=True)
class Layout:
    """The user's message as its template orders it: (marker, tokens of the text before it), ..."""

    parts: tuple[tuple[str, int], ...]
    end: int  # tokens after the last marker

    @classmethod
    def of(cls, template: str, lengths: Lengths) -> "Layout":
        texts = _MARKER.split(template)
        parts = tuple(
            (marker, lengths.count(before))
            for before, marker in zip(texts[0::2], texts[1::2], strict=False)
        )
        return cls(parts, lengths.count(texts[-1]))

    def pieces(self, system: Piece, values: dict[str, Piece]) -> list[Piece]:
        """A prompt as pieces, from its first token to its last."""
        pieces = [(system[0], system[1] + CHAT_TOKENS)]
        for marker, before in self.parts:
            key, tokens = values[marker]
            pieces.append((key, before + tokens))
        key, tokens = pieces[-1]
        pieces[-1] = (key, tokens + self.end)
        return pieces


def shared_tokens(prompts: Iterable[Sequence[Piece]]) -> int:
    """Tokens that need not be computed when these prompts are asked of one server.

    Each prompt's longest beginning that an earlier one has too, in whole blocks.
    """
    root: dict[Hashable, dict] = {}
    saved = 0
    for prompt in prompts:
        node, shared = root, 0
        for key, tokens in prompt:
            if key in node:  # below the first new piece every node is new
                shared += tokens
            node = node.setdefault(key, {})
        saved += shared // BLOCK * BLOCK
    return saved
