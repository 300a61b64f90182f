"""How a game ended, told from the judge's HTTP answer. Pure: no network here.

An answer with status 200 becomes an `Outcome` (a terminal state) or a `Failure`; any other status
a `Failure`, or an `Outcome` where asking again could not help.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from arena.data.games import GameSettings
from arena.data.verdict import without_thoughts
from arena.journals.journal import NO_TOKENS

_SURROGATE = re.compile("[\ud800-\udfff]")
# vLLM and others end a reply so when the server itself gave up on it: it says nothing of the game.
_ABORTED = ("abort", "error", "cancelled")
# The prompt does not fit, in the words of vLLM (newer, older), SGLang, OpenAI and llama.cpp.
_TOO_LONG = (
    "maximum context length",
    "maximum model length",
    "longer than the model's context",
    "context_length_exceeded",
    "exceeds the available context size",
    "exceed_context_size",
    "prompt is too long",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A terminal state of a game and what the judge said."""

    state: str
    label: str | None = None
    answer: str | None = None
    finish_reason: str | None = None
    usage: dict[str, int | None] | None = None
    reason: str | None = None
    is_unexplained: bool = False  # a 400 that may be about our request and not about this game


@dataclass(slots=True)
class Failure(Exception):
    """No reply. kind decides what follows:

    starting   the judge is not up yet: wait, nobody's fault
    throttled  too many requests: fewer, after `retry_after` seconds
    broken     the server answered, but not with a reply: back-off
    connection nothing answered: back-off
    timeout    no answer in time: back-off
    priority   the server does not take our `priority` field: ask without
    fatal      asking again is useless for every game: stop, with this message
    """

    kind: str
    message: str
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def read_reply(body: bytes, settings: GameSettings) -> Outcome:
    """The outcome of an answer with status 200; raises Failure where it is no chat completion."""
    try:
        reply = json.loads(body)
        choice = reply["choices"][0]
        message = choice["message"]
        finish = choice.get("finish_reason")
        content = _text(message.get("content"))
        thoughts = _text(message.get("reasoning_content") or message.get("reasoning"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise Failure("broken", f"not a chat completion: {_shown(body)}") from None
    usage = _usage(reply.get("usage"))
    if finish in _ABORTED:
        raise Failure("broken", f"the server broke the reply off (finish_reason {finish})")
    refusal = message.get("refusal")
    if finish == "content_filter" or (not content and refusal):
        reason = f"refused: {refusal}" if refusal else "the server's content filter ended the reply"
        return Outcome("rejected", None, content or _text(refusal), finish, usage, shorten(reason))
    label = settings.verdict(content)
    if label is not None:
        return Outcome("ok", label, content, finish, usage)
    state = "truncated" if finish == "length" else "unparsed"
    reason = _why_no_verdict(state, content, thoughts, message)
    if not content and thoughts:
        # Kept as it would stand in a reply without a reasoning parser: a thought never ended, also
        # where it quotes an end.
        content = f"<think>{thoughts.replace('</think>', '</ think>')}"
    return Outcome(state, None, content, finish, usage, reason)


def _why_no_verdict(state: str, content: str, thoughts: str, message: dict[str, Any]) -> str:
    if state == "truncated":
        return "the reply reached max_tokens before a verdict"
    if message.get("tool_calls") or message.get("function_call"):
        return "the judge called a tool instead of replying"
    if not content.strip():
        if thoughts:
            return "no reply, only thoughts (does the server's reasoning parser fit the judge?)"
        return "an empty reply"
    if not without_thoughts(content).strip():
        return "only thoughts, no reply after them"
    return "no verdict in the reply"


def _text(content: Any) -> str:
    """The text of a `content`: a string, null, or OpenAI's list of parts."""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    if content is None:
        return ""
    if not isinstance(content, str):
        raise TypeError(content)
    # No UTF-8 file can hold a lone surrogate; what cannot be stored must not be shown once only.
    return _SURROGATE.sub("\ufffd", content)


def _usage(usage: Any) -> dict[str, int | None]:
    if not isinstance(usage, dict):
        return dict(NO_TOKENS)
    details = usage.get("prompt_tokens_details") or {}
    return {
        "prompt": usage.get("prompt_tokens") or 0,
        "cached": details.get("cached_tokens") or 0,
        "completion": usage.get("completion_tokens") or 0,
    }


def read_status(status: int, headers: Any, body: bytes) -> Outcome:
    """The outcome of any other status; raises Failure where the game has none."""
    error = _error(body)
    message = shorten(error["message"] or f"HTTP {status}")
    said = f"HTTP {status}: {message}"
    lower = error["message"].lower()
    code = f"{error['code']} {error['type']}".lower()
    if error["type"] == "judge_starting":
        raise Failure("starting", message)
    if error["type"] in ("judge_failed", "judge_stopped"):
        raise Failure("fatal", message)
    if status == 429 and "insufficient_quota" in code:
        raise Failure("fatal", f"{said} (the account has no credit left)")
    if status in (429, 503, 529):
        raise Failure("throttled", said, _retry_after(headers))
    if status in (401, 403):
        raise Failure("fatal", f"{said}: the server refuses our key. Is it another job's server?")
    if status == 404:
        raise Failure("fatal", f"{said}: no such address or no such judge at this server")
    if status in (400, 422) and "priority" in lower:
        raise Failure("priority", said)
    if error["param"] == "input_tokens" or any(sign in f"{lower} {code}" for sign in _TOO_LONG):
        return Outcome("too_long", reason=message)
    if status == 413:
        return Outcome("too_long", reason=said)
    if "content_filter" in code or "content_policy" in code:
        return Outcome("rejected", reason=f"content filter: {message}")
    if status in (400, 422):
        return Outcome("rejected", reason=message, is_unexplained=True)
    raise Failure("broken", said, _retry_after(headers))


def _error(body: bytes) -> dict[str, str]:
    """message, type, code and param of an error body, in any of the shapes in use."""
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        plain = body.decode("utf-8", "replace").strip()
    if isinstance(plain, dict):
        plain = plain.get("error") or plain
    if not isinstance(plain, dict):
        plain = {"message": plain if isinstance(plain, str) else ""}
    message = plain.get("message") or plain.get("detail") or ""
    return {
        "message": message if isinstance(message, str) else json.dumps(message),
        **{key: str(plain.get(key) or "") for key in ("type", "code", "param")},
    }


def _retry_after(headers: Any) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `Retry-After` in seconds.

    Its third form, a date, depends on two clocks that agree and is left to our own back-off.
    """
    for key, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(key)) * scale
        except (TypeError, ValueError):
            continue
        if seconds >= 0:
            return seconds
    return None


def shorten(text: str, most: int = 300) -> str:
    """One line of at most `most` characters: an error text may hold a whole prompt."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}… ({len(line)} characters)"


def _shown(body: bytes) -> str:
    return shorten(body[:2000].decode("utf-8", "replace"), 120) or "an empty body"
