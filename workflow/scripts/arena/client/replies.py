"""How a request ended, from the server's HTTP response. Pure: no network here.

A response becomes an `Outcome` (a terminal state), or a `Failure` if a retry could help or if all
requests would fail.
"""

import json
import re
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from arena.data.games import Requests
from arena.data.verdict import state_of, without_thoughts
from arena.journals.journal import Outcome
from arena.support.coerce import count_of, dict_of
from arena.support.http import Failure
from arena.support.humanize import shorten

_ENDS = re.compile("</think>", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")  # alone; cannot be stored as UTF-8
# finish_reason of vLLM and others for a reply that the server itself aborted.
_ABORTED = ("abort", "error", "cancelled", "network_error", "insufficient_system_resource")
# s. Providers limit requests per minute. If one asks for a longer wait, the quota is used up; we
# still retry now and then until `pace.PATIENCE_THROTTLED` is over.
LONGEST_WAIT = 120.0
# A 503 without such a text comes from a proxy whose server is down.
_BUSY = re.compile("overload|over capacity|rate.?limit|too many|slow down|busy")
# A 403 about a prompt, as worded by OpenRouter and others; any other 403 is about the key.
_FLAGGED = re.compile("flagged|moderation")
# The prompt exceeds the context, as worded by vLLM, SGLang, OpenAI, llama.cpp, TGI, TensorRT-LLM,
# Bedrock, Anthropic, LiteLLM, Gemini, Mistral, Cohere, xAI, GLM, Qwen, Moonshot and MiniMax.
_TOO_LONG = re.compile(
    r"maximum (?:context|model|prompt|input|allowed|sequence) (?:input )?length"
    r"|longer than the model's context|context_?(?:length|window)_?exceeded|exceed_context_size"
    r"|exceeds? (?:the |max\w* )?(?:available |allowed )?(?:context|input|length)"
    r"|context window (?:of|exceeds)|(?:prompt|input) (?:is|was) too long"
    r"|too many (?:input )?tokens\b(?! per)|input token count|`inputs`.{0,30}(?:must|tokens)"
    r"|\bmax_(?:num_tokens|seq_len|input_len)|exceeded model token limit|range of input length"
)
# An account without credit; and the limit of a key or budget, which somebody has to raise.
_SPENT = re.compile(r"insufficient.{0,3}(?:quota|balance|credit|fund)|credit balance (?:is|too)")
_LIMITED = re.compile(
    r"(?:key|spend\w*|budget|usage|monthly|credit) limit|budget has been exceeded|budget_exceeded"
)
# Chat templates without a system role: Gemma 1 and 2, Mistral and others, OpenAI's o1-mini.
_NO_SYSTEM = re.compile(
    r"system (?:role|message|prompt)s?\b.{0,20}\bnot (?:be )?(?:supported|allowed|enabled)"
    r"|roles must alternate|does(?:n't| not) support.{0,20}\bsystem\b"
    r"|only user,? (?:and )?assistant|(?:developer|system) instruction is not"
    r"|unsupported role:? .?system"
)
# finish_reason of other APIs for a reply that was cut off, and for one that was filtered.
_CUT = ("max_tokens", "max_output_tokens", "model_length", "token_limit", "max_length")
_FILTERED = re.compile(
    r"content_filter|safety|recitation|prohibited|blocklist|spii|guardrail|refusal|sensitive"
)


def read_reply(body: bytes, settings: Requests, redact: Callable[[str], str] = str) -> Outcome:
    """The outcome of a response with status 200; raises Failure if it is no chat completion.

    An error inside is treated as if it had its own status. redact: removes our keys from a text.
    """
    try:
        reply = json.loads(body)
        if (status := _status_within(reply)) is not None:
            return read_status(status, {}, body, redact)
        if blocked := dict_of(dict_of(reply).get("promptFeedback")).get("blockReason"):  # Gemini
            return Outcome("rejected", reason=f"content filter: {blocked}", is_unexplained=True)
        choice = reply["choices"][0]
        finish = _end_of(choice)
        if (status := _status_within(choice)) is not None:
            return read_status(status, {}, json.dumps(choice).encode(), redact)
        message = choice["message"] if finish != "content_filter" else choice.get("message") or {}
        content = _text(message.get("content"))
        names = ("reasoning_content", "reasoning", "thinking")  # the last is Ollama's
        thoughts = next((message[name] for name in names if message.get(name)), None)
        thoughts = _text(thoughts) if isinstance(thoughts, str | list) else ""
        refusal = message.get("refusal") or ""
        refusal = redact(_text(refusal if isinstance(refusal, str) else json.dumps(refusal)))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        text = shorten(redact(body.decode("utf-8", "replace")), 120) or "an empty body"
        page = body.lstrip()[:1] == b"<"
        hint = " (a web page: is /v1 missing from api_base?)" if page else ""
        raise Failure("broken", f"not a chat completion{hint}: {text}") from None
    content, usage = settings.reply(content, thoughts), _usage(reply.get("usage"))
    if finish in _ABORTED:
        raise Failure("broken", f"the server aborted the reply (finish_reason {finish})")
    if finish == "content_filter" or (not content and refusal):
        reason = f"refused: {refusal}" if refusal else "the server's content filter ended the reply"
        return Outcome("rejected", None, content or refusal, finish, usage, shorten(reason))
    label = settings.verdict(content)
    if label is not None:
        return Outcome("ok", label, content, finish, usage)
    result = settings.stage.result
    if finish is None:
        raise Failure("broken", f"incomplete reply: neither a {result} nor a finish_reason")
    state = state_of(None, finish)
    reason = _why_no_result(result, state, content, thoughts, message)
    if not content and thoughts:
        # Stored as a server without a reasoning parser would send it: a thought without an end,
        # even if it quotes one.
        content = "<think>" + _ENDS.sub("</ think>", thoughts)
    return Outcome(state, None, content, finish, usage, reason)


def _status_within(plain: Any) -> int | None:
    """The status of an error inside a response with status 200; None if there is none."""
    plain = dict_of(_first(plain))
    error = plain if plain.get("object") == "error" else plain.get("error")
    if not error:
        return None
    code = str(dict_of(error).get("code") or dict_of(error).get("status"))
    return int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500


def _end_of(choice: dict[str, Any]) -> str | None:
    """finish_reason, as OpenAI's word if there is one with this meaning."""
    finish = choice.get("finish_reason")
    if not isinstance(finish, str):
        return None
    lower = finish.lower()
    if lower in _CUT:
        return "length"
    if _FILTERED.search(lower):
        return "content_filter"
    return lower if finish.isupper() else finish


def _why_no_result(result: str, state: str, content: str, thoughts: str, message: dict) -> str:
    if state == "truncated":
        return f"the reply reached max_tokens before the {result}"
    if message.get("tool_calls") or message.get("function_call"):
        return "the model called a tool instead of replying"
    if not content.strip():
        if thoughts:
            return "only reasoning, no reply (does the server's reasoning parser fit the model?)"
        return "an empty reply"
    if not without_thoughts(content).strip():
        return "only reasoning, no reply after it"
    return f"no {result} in the reply"


def _text(content: Any) -> str:
    """The text of a `content`: a string, null, or OpenAI's list of parts; else TypeError."""
    if isinstance(content, list):
        parts = (part for part in content if isinstance(part, dict))
        texts = (part.get("text") for part in parts if not _is_thought(part))
        content = "".join(text for text in texts if isinstance(text, str))
    return _SURROGATE.sub("\ufffd", "" if content is None else content)


def _is_thought(part: dict[str, Any]) -> bool:
    """Whether a part of a `content` is reasoning (Gemini, Anthropic, Mistral)."""
    kind = str(part.get("type"))
    return part.get("thought") is True or "think" in kind or "reason" in kind


def _usage(usage: Any) -> dict[str, int | None]:
    """Tokens as the server counts them; 0 if it gives no number."""
    counts = dict_of(usage)
    return {
        "prompt": count_of(counts.get("prompt_tokens")),
        "cached": count_of(dict_of(counts.get("prompt_tokens_details")).get("cached_tokens")),
        "completion": count_of(counts.get("completion_tokens")),
    }


def read_status(
    status: int, headers: Any, body: bytes, redact: Callable[[str], str] = str
) -> Outcome:
    """The outcome of any other status; raises Failure if the request has none."""
    error = _error(body, redact)
    message = shorten(error["message"] or f"HTTP {status}")
    said = f"HTTP {status}: {message}"
    lower = error["message"].lower()
    code = f"{error['code']} {error['type']}".lower()
    wait = _retry_after(headers)
    if wait is not None and wait > LONGEST_WAIT:
        said += f" (Retry-After: {wait:.0f} s)"
        wait = LONGEST_WAIT
    words = f"{lower} {code}"
    spent = status in (400, 403, 429) and _SPENT.search(words)
    if status == 402 or spent or (status in (400, 403) and _LIMITED.search(words)):
        raise Failure("fatal", f"{said} (the account or its key has no credit left)")
    busy = wait is not None or _BUSY.search(words)
    if status in (429, 529) or (status == 503 and busy):
        raise Failure("throttled", said, wait)
    if status == 451 or (status == 403 and (error["flagged"] or _FLAGGED.search(lower))):
        return Outcome("rejected", reason=f"content filter: {message}", is_unexplained=True)
    if status in (401, 403):
        raise Failure("fatal", f"{said}: invalid API key, or the server of another job")
    if status in (404, 405):
        why = "unknown address or unknown model; is /v1 missing from api_base?"
        raise Failure("fatal", f"{said}: {why}")
    # Only at the beginning: the error may quote a prompt.
    if status in (400, 422, 500) and _NO_SYSTEM.search(lower[:300]):
        why = "set judge.fold_system: true (for answers: remove answers.system_prompt)"
        raise Failure("fatal", f"{said}: no system prompt is accepted; {why}")
    if error["param"] == "input_tokens" or _TOO_LONG.search(words):
        return Outcome("too_long", reason=message)
    if status == 413:
        return Outcome("too_long", reason=said)
    if "content_filter" in code or "content_policy" in code:
        return Outcome("rejected", reason=f"content filter: {message}")
    if status in (400, 422):
        return Outcome("rejected", reason=message, is_unexplained=True)
    raise Failure("broken", said, wait)


def _error(body: bytes, redact: Callable[[str], str]) -> dict[str, str]:
    """message, type, code and param of an error body, in any of the shapes in use.

    flagged: not empty if it names a part of the prompt that the moderation rejects.
    """
    plain = _first(_parsed(body.decode("utf-8", "replace")))
    plain = dict_of(plain).get("error") or plain
    if not isinstance(plain, dict):
        plain = {"message": plain if isinstance(plain, str) else ""}
    within = dict_of(_parsed(plain.get("message")))  # Gemini and gateways: another server's error
    plain = {**plain, **dict_of(within.get("error") or within)}
    message = plain.get("message") or plain.get("detail") or ""
    message = message if isinstance(message, str) else json.dumps(message)
    metadata = dict_of(plain.get("metadata"))
    if isinstance(metadata.get("raw"), str):
        message += f": {metadata['raw']}"  # OpenRouter: the provider's text
    return {
        "message": redact(message),
        "flagged": "yes" if "flagged_input" in metadata else "",
        **{key: str(plain.get(key) or "") for key in ("type", "code", "param")},
    }


def _first(plain: Any) -> Any:
    """Gemini wraps an error in a list."""
    return plain[0] if isinstance(plain, list) and plain else plain


def _parsed(text: Any) -> Any:
    """The value of a JSON text, or the text itself."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text.strip() if isinstance(text, str) else text


def _retry_after(headers: Any) -> float | None:
    """Seconds to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date, from which the
    server's own `Date` is subtracted, because our clock may differ."""
    for key, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(key)) * scale
        except (TypeError, ValueError):
            continue
        if seconds >= 0:
            return seconds
    try:
        until, now = (parsedate_to_datetime(headers.get(key)) for key in ("retry-after", "date"))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return None
