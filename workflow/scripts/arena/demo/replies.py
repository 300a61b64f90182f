"""Replies of the shapes that judges of all kinds send, for the demo judge to send on demand."""

import asyncio
from typing import Any

from arena.demo.faults import Fault
from arena.support.web import Reply, Request, error

REASONS = {"length": "length", "longwinded": "length", "tool": "tool_calls"}  # else "stop"
REFUSED = ("too_long", "toolong_openai", "filter", "bad")


def shaped(text: str, fault: Fault | None) -> tuple[dict[str, Any], str]:
    """The message and finish_reason, as the fault wants them."""
    kind = fault.kind if fault else ""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    call = {"id": "call-1", "type": "function", "function": {"name": "judge", "arguments": "{}"}}
    changes: dict[str, dict[str, Any]] = {
        "null": {"content": None},
        "empty": {"content": ""},
        "blank": {"content": "\n\n"},
        "reasoning": {"content": None, "reasoning_content": text},
        "thought": {"reasoning_content": "At first sight [[B>>A]]."},
        "think": {"content": f"<think>At first sight [[B>>A]].</think>\n{text}"},
        "tool": {"content": None, "tool_calls": [call]},
        "refusal": {"content": None, "refusal": "I cannot judge this."},
        "length": {"content": text.split("[[")[0]},
        "unparsed": {"content": text.split("[[")[0] + "I cannot decide."},
        "odd": {"content": "My verdict: [[A>>A]]"},
        "huge": {"content": ("and so on, " * 9091)[:100_000]},
    }
    return message | changes.get(kind, {}), REASONS.get(kind, "stop")


def too_long(context: int, tokens: int, limit: int) -> Reply:
    """vLLM's answer to a prompt over the context."""
    message = (
        f"This model's maximum context length is {context} tokens. However, you requested {limit} "
        f"output tokens and your prompt contains at least {tokens} input tokens."
    )
    return error(400, "BadRequestError", message, param="input_tokens")


def refused(kind: str, tokens: int, limit: int) -> Reply:
    """The 400s that end a game."""
    if kind == "too_long":
        return too_long(tokens // 2, tokens, limit)
    if kind == "toolong_openai":
        message = f"This model's maximum context length is {tokens // 2} tokens."
        reply = error(400, "invalid_request_error", message, param="messages")
        reply.content["error"]["code"] = "context_length_exceeded"
        return reply
    if kind == "filter":
        reply = error(400, "invalid_request_error", "The prompt was filtered.", param="prompt")
        reply.content["error"]["code"] = "content_filter"
        return reply
    return error(400, "invalid_request_error", "the request is not valid", param="messages")


async def trickle(request: Request, fault: Fault, reply: Reply) -> None:
    """Send a reply in ten pieces over the fault's seconds, or only its first half."""
    reply.head["Connection"] = "close"  # which is what follows
    body = reply.encode()
    if fault.kind == "cut":
        request.writer.write(body[: len(body) // 2])
        await request.writer.drain()
        return
    size = -(-len(body) // 10)
    for start in range(0, len(body), size):
        await asyncio.sleep(fault.number(2) / 10)
        request.writer.write(body[start : start + size])
        await request.writer.drain()
