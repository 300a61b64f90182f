"""Length and markdown of an answer, counted as Arena-Hard-Auto counts them, for style control.

On the 1,500 answers of Arena-Hard v0.1 that have official counts, all counts are equal.
"""

import functools
import hashlib
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arena.support.coerce import number_of

_FENCED = re.compile(r"```([^`]*)```")
_HEADER = re.compile(r"^(#{1,6})\s", re.MULTILINE)
# Upstream allows any \s before an item: the same counts, but quadratic time on runs of line ends,
# which looping models write.
_COUNTED = {
    "list_count": {
        "ordered": re.compile(r"^[^\S\n]*\d+\.\s", re.MULTILINE),
        "unordered": re.compile(r"^[^\S\n]*[-*+]\s", re.MULTILINE),
    },
    "bold_count": {"**": re.compile(r"\*\*[^*\n]+\*\*"), "__": re.compile(r"__[^_\n]+__")},
}

# The o200k_base file: its name in tiktoken's cache (SHA-1 of its URL), and its SHA-256: tiktoken
# downloads a file with another one.
_O200K_NAME = hashlib.sha1(
    b"https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
).hexdigest()
_O200K_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_O200K_FETCH = "python -c \"import tiktoken; tiktoken.get_encoding('o200k_base')\""

# Roughly how o200k_base splits a text first: words with the sign before them, up to three digits,
# runs of signs, line ends, blanks.
_PIECE = re.compile(
    r"[^\r\n\w]?[^\W\d_]+(?:'(?:s|t|re|ve|m|ll|d)\b)?|\d{1,3}| ?[^\s\w]+[\r\n/]*|_+"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LETTERS_PER_TOKEN = 10  # of a long word; fitted on 1,500 answers so that the total is right


def count_metadata(text: str, token_len: int | None = None) -> dict[str, Any]:
    """Count an answer's tokens, headers, list items and bold passages in the official format.

    token_len: the number of tokens if known; else it is counted (see `token_counter`).
    """
    # As upstream, the content of fenced code blocks is removed wherever it occurs, so a short block
    # changes the text outside too: four of the 1,500 official counts need that.
    prose = text
    for inside in _FENCED.findall(text):
        prose = prose.replace(inside, "")
    headers = Counter(len(marks) for marks in _HEADER.findall(prose))
    counts = {
        kind: {name: len(pattern.findall(prose)) for name, pattern in patterns.items()}
        for kind, patterns in _COUNTED.items()
    }
    return {
        "token_len": token_counter()[0](text) if token_len is None else token_len,
        "header_count": {f"h{level}": headers[level] for level in range(1, 7)},
        **counts,
    }


def complete_metadata(text: str, given: dict[str, Any] | None) -> dict[str, Any]:
    """The metadata of an answer file; missing and invalid counts are counted from the text.

    A given `token_len` stays, even from another encoding: the whole file then has that encoding.
    """
    given = given or {}
    token_len = given["token_len"] if _is_count(given.get("token_len")) else None
    kinds = {
        kind: given[kind]
        for kind in ("header_count", "list_count", "bold_count")
        if isinstance(given.get(kind), dict) and all(map(_is_count, given[kind].values()))
    }
    if token_len is not None and len(kinds) == 3:
        return {"token_len": token_len, **kinds}
    return count_metadata(text, token_len) | kinds


def _is_count(value: Any) -> bool:
    return (number := number_of(value)) is not None and number >= 0


@functools.cache
def token_counter() -> tuple[Callable[[str], int], str]:
    """The token counter and its name for reports.

    `o200k_base`, as in Arena-Hard-Auto, if tiktoken and the encoding's file are available; nothing
    is downloaded, as compute nodes are offline. Else `estimate_tokens`, and the name says why.
    """
    temp = Path(tempfile.gettempdir()) / "data-gym-cache"
    folder = Path(os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", temp)))
    try:
        import tiktoken  # slow (0.1 s), and most runs count nothing

        found = hashlib.sha256((folder / _O200K_NAME).read_bytes()).hexdigest()
    except ImportError:
        return estimate_tokens, "estimate (tiktoken is not installed)"
    except OSError:  # missing, or in another user's folder
        found = ""
    if found == _O200K_SHA256:
        encoding = tiktoken.get_encoding("o200k_base")
        return lambda text: len(encoding.encode(text, disallowed_special=())), "o200k_base"
    why = f"no o200k_base file in {folder}; run this online: {_O200K_FETCH}"
    return estimate_tokens, f"estimate ({why})"


def estimate_tokens(text: str) -> int:
    """Estimate the o200k_base tokens of a text; in other scripts: 4 bytes per token.

    On 1,500 English answers (with code): total within 0.1 %, single answers within 3.4 % (median)
    and 11 % (95th percentile), correlation 0.991.
    """
    return sum(map(_tokens_of, _PIECE.findall(text)))


def _tokens_of(piece: str) -> int:
    if not piece.isascii():
        return max(1, len(piece.encode(errors="replace")) // 4)
    return 1 if piece.isspace() else -(-len(piece) // _LETTERS_PER_TOKEN)
