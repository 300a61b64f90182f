"""Faults that the tests' judge injects, chosen by a marker in the text of the request.

A marker is `<<judge:KIND>>`, `<<judge:KIND=VALUE>>` or `<<judge:KIND*N>>` anywhere in the last
message; N is how many calls of this very prompt it strikes (`*all`: each). Without N a passing
fault strikes once, a property of the reply always. Several markers strike in their order, one a
call.

Each fault is written to the fault log before it happens, and the log is read back at start: a
judge that was killed by a fault does not fall to it again. The log's lines have `time, kind,
digest`.
"""

import hashlib
import json
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSING = {
    "429": "too many requests; VALUE: seconds of Retry-After (1)",
    "500": "internal server error",
    "503": "service unavailable",
    "reset": "the connection is reset without a reply",
    "stall": "no reply and no end for VALUE seconds (3600)",
    "slow": "the reply's bytes trickle over VALUE seconds (2)",
    "late": "the reply takes VALUE seconds more (1)",
    "garbage": "status 200 with a body that is no JSON",
    "html": "status 502 with a page of a proxy",
    "cut": "the body ends half-way",
    "die": "the judge exits with status VALUE (1)",
    "kill": "the judge is killed by SIGKILL",
    "hang": "the judge answers nothing any more, health included",
    "engine": "the engine dies behind a live API: only 500s from now on; api: /health stays 200",
}
LASTING = {
    "null": "content is null",
    "empty": "content is the empty string",
    "reasoning": "the verdict stands in reasoning_content, content is null",
    "thought": "reasoning_content beside a good content",
    "think": "content begins with <think> that holds other verdicts",
    "tool": "tool_calls instead of content",
    "refusal": "refusal instead of content",
    "length": "finish_reason length before the verdict",
    "longwinded": "finish_reason length after the verdict",
    "unparsed": "a reply without a verdict",
    "odd": "an unknown label, [[A>>A]]",
    "turned": "the verdict written the other way round: [[B<A]] for [[A>B]]",
    "huge": "a reply of 100,000 characters without a verdict",
    "nousage": "a reply without usage",
    "too_long": "400, the prompt exceeds the context (vLLM's shape, param input_tokens)",
    "filter": "400, content filter",
    "toolong_openai": "400 in OpenAI's shape, code context_length_exceeded",
}
KINDS = PASSING | LASTING
TURNABLE = re.compile(r"\[\[([AB])([>=]+)([AB])\]\]")
MARKER = re.compile(r"<<judge:([a-z0-9_]+)(?:=([\w.]+))?(?:\*(\d+|all))?>>")


@dataclass(frozen=True)
class Fault:
    """One fault that strikes now. `value` is its argument as text, or None."""

    kind: str
    value: str | None = None

    def number(self, default: float) -> float:
        return default if self.value is None else float(self.value)


class Faults:
    """Decides which call is struck. log: what has struck, in former lives of the judge as well."""

    def __init__(self, log: Path | None = None) -> None:
        self.log = log
        past = map(json.loads, log.read_text().splitlines()) if log and log.exists() else ()
        self._struck = Counter((line["digest"], line["kind"]) for line in past)

    def strike(self, digest: str, text: str) -> Fault | None:
        """The fault for a call of prompt `digest` whose last message is `text`; written down."""
        fault = self._marked(digest, text)
        if fault:
            self._struck[digest, fault.kind] += 1
            if self.log:
                line = {"time": time.time(), "kind": fault.kind, "digest": digest}
                with self.log.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        return fault

    def _marked(self, digest: str, text: str) -> Fault | None:
        # Both games and both answers of a pair may carry the marker; within a prompt it counts
        # once.
        for kind, value, times in dict.fromkeys(MARKER.findall(text)):
            if kind not in KINDS:
                continue
            if times:
                limit = float("inf") if times == "all" else int(times)
            else:
                limit = 1 if kind in PASSING else float("inf")
            if self._struck[digest, kind] < limit:
                return Fault(kind, value or None)
        return None


def shaped(text: str, kind: str) -> tuple[dict[str, Any], str]:
    """The message and finish_reason, as a lasting fault wants them."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    call = {"id": "call-1", "type": "function", "function": {"name": "judge", "arguments": "{}"}}
    changes: dict[str, dict[str, Any]] = {
        "null": {"content": None},
        "empty": {"content": ""},
        "reasoning": {"content": None, "reasoning_content": text},
        "thought": {"reasoning_content": "At first sight [[B>>A]]."},
        "think": {"content": f"<think>At first sight [[B>>A]].</think>\n{text}"},
        "tool": {"content": None, "tool_calls": [call]},
        "refusal": {"content": None, "refusal": "I cannot judge this."},
        "length": {"content": text.split("[[")[0]},
        "unparsed": {"content": text.split("[[")[0] + "I cannot decide."},
        "odd": {"content": "My verdict: [[A>>A]]"},
        "turned": {"content": TURNABLE.sub(r"[[\3\2\1]]", text).replace(">", "<")},
        "huge": {"content": ("and so on, " * 9091)[:100_000]},
    }
    reasons = {"length": "length", "longwinded": "length", "tool": "tool_calls"}
    return message | changes.get(kind, {}), reasons.get(kind, "stop")


def message_digest(messages: list[dict], writer: str = "") -> str:
    """SHA-256 (16 digits) of the messages of a call, as the logs name a prompt.

    writer: the model that is asked for an answer.
    """
    return short_digest(writer + json.dumps(messages, sort_keys=True, ensure_ascii=False))


def short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
