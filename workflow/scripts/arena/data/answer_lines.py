"""The line of an answer file, as Arena-Hard-Auto writes it, and two keys of ours behind."""

import hashlib
from collections.abc import Mapping
from typing import Any

from arena.data.metadata import count_metadata
from arena.data.questions import Question

# Letters and digits that are not mistaken for each other: the alphabet of Arena-Hard-Auto's ids.
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ID_LENGTH = 22  # characters of this alphabet hold 128 bits


def answer_line(
    question: Question,
    model: str,
    text: str,
    *,
    thought: str | None = None,
    system_prompt: str | None = None,
    finish_reason: str | None,
    usage: Mapping[str, int] | None,
    tstamp: float,
    ans_id: str,
) -> dict[str, Any]:
    """One answer. text: without the thought (see `split_thought`); "" where the reply was empty.

    Metadata is of the answer alone. usage: tokens, `prompt` and `completion`; tstamp: seconds since
    1970. `finish_reason` and `usage` are the keys that Arena-Hard-Auto does not have.
    """
    content = {"answer": text} | ({} if thought is None else {"thought": thought})
    return {
        "uid": question.uid,
        "ans_id": ans_id,
        "model": model,
        "messages": [
            *asked_messages(question.prompt, system_prompt),
            {"role": "assistant", "content": content},
        ],
        "tstamp": tstamp,
        "metadata": count_metadata(text),
        "finish_reason": finish_reason,
        "usage": usage and {key: usage[key] for key in ("prompt", "completion") if key in usage},
    }


def asked_messages(prompt: str, system_prompt: str | None) -> list[dict[str, Any]]:
    """What a model is asked; an empty system prompt is none."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": prompt}]


def split_thought(text: str, end_think_token: str | None) -> tuple[str | None, str]:
    """The thought, None where there is none, and the answer without blanks and line ends before it.

    The first token ends the thought, as for a server's reasoning parser: an answer may quote it.
    Where the token is missing, all is answer, as it came.
    """
    if not end_think_token or end_think_token not in text:
        return None, text
    thought, _, answer = text.partition(end_think_token)
    return thought, answer.lstrip()


def answer_id(model: str, digest: str) -> str:
    """An `ans_id` from the digest of the request: the same one when the file is written anew."""
    number = int.from_bytes(hashlib.sha256(f"{model}\0{digest}".encode()).digest())
    digits = []
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)
