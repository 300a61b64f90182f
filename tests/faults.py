"""Faults that the tests' judge injects, chosen by the request: by a marker in its text or by a
seeded schedule.

A marker is `<<judge:KIND>>`, `<<judge:KIND=VALUE>>` or `<<judge:KIND*N>>` anywhere in the last
message; N is how many calls of this very prompt it strikes (`*all`: each). Without N a passing
fault strikes once, a property of the reply always. Several markers strike in their order, one a
call.

A schedule is `{"seed": 1, "rates": {"500": 0.05, "reset": 0.05}, "times": 1, "values": {"429":
2}}`: whether a call is struck depends on the seed, the prompt and how often that prompt was
struck, not on the order of arrival. A prompt is struck at most `times` times, so that every run
comes to an end.

Each fault is written to the fault log before it happens, and the log is read back at start: a
judge that was killed by a fault does not fall to it again. The log's lines have `time, kind,
digest`.
"""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.support.errors import ConfigError

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
    "blank": "content is two line ends",
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
    "bad": "400, another invalid request",
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


@dataclass
class Faults:
    """Decides which call is struck, and counts.

    Raises ConfigError for a schedule with unknown keys or kinds.
    """

    schedule: Mapping[str, Any] = field(default_factory=dict)
    log: Path | None = None
    counts: Counter = field(default_factory=Counter)  # kind -> injected
    _struck: Counter = field(default_factory=Counter, repr=False)  # (digest, kind or "") -> times

    def __post_init__(self) -> None:
        unknown = set(self.schedule) - {"seed", "rates", "times", "values"}
        unknown |= set(self.schedule.get("rates", {})) - set(KINDS)
        if unknown:
            raise ConfigError(
                f"faults: unknown {', '.join(sorted(unknown))}; known: seed, rates, times, values; "
                f"kinds: {', '.join(KINDS)}"
            )
        if self.log and self.log.exists():
            for line in self.log.read_text().splitlines():
                past = json.loads(line)
                self._count(past["kind"], past["digest"])

    def strike(self, digest: str, text: str) -> Fault | None:
        """The fault for a call of prompt `digest` whose last message is `text`; written down."""
        fault = self._marked(digest, text) or self._scheduled(digest)
        if fault:
            self._count(fault.kind, digest)
            if self.log:
                line = {"time": time.time(), "kind": fault.kind, "digest": digest}
                with self.log.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        return fault

    def _count(self, kind: str, digest: str) -> None:
        self.counts[kind] += 1
        self._struck[digest, kind] += 1
        self._struck[digest, ""] += 1

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

    def _scheduled(self, digest: str) -> Fault | None:
        struck = self._struck[digest, ""]
        if not self.schedule or struck >= self.schedule.get("times", 1):
            return None
        seed = f"{self.schedule.get('seed', 0)} {digest} {struck}"
        draw = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") / 2**64
        for kind, rate in self.schedule["rates"].items():
            if draw < rate:
                value = self.schedule.get("values", {}).get(kind)
                return Fault(kind, None if value is None else str(value))
            draw -= rate
        return None


def shaped(text: str, kind: str) -> tuple[dict[str, Any], str]:
    """The message and finish_reason, as a lasting fault wants them."""
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
        "turned": {"content": TURNABLE.sub(r"[[\3\2\1]]", text).replace(">", "<")},
        "huge": {"content": ("and so on, " * 9091)[:100_000]},
    }
    reasons = {"length": "length", "longwinded": "length", "tool": "tool_calls"}
    return message | changes.get(kind, {}), reasons.get(kind, "stop")


def message_digest(messages: list[dict]) -> str:
    """SHA-256 (16 digits) of the messages of a call, as the logs name a prompt."""
    return short_digest(json.dumps(messages, sort_keys=True, ensure_ascii=False))


def short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
