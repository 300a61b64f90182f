"""The demo judge as a server: OpenAI's chat completions, with what vLLM adds (usage, /health,
/metrics, priority).

It stands in for a judge where no GPU is, and for a misbehaving one in tests: see `faults` for
what a request can ask for, and `Habits` for what the process can be told to do.
"""

import asyncio
import contextlib
import hashlib
import heapq
import itertools
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from arena.demo.faults import Fault, Faults
from arena.demo.judge import BLOCK, NAME, PrefixCache, answers, count_tokens, verdict
from arena.demo.replies import REASONS, REFUSED, refused, shaped, too_long, trickle
from arena.support.web import Reply, Request, error


@dataclass(frozen=True)
class Speed:
    """How fast the toy answers. With the defaults at once, and any number at a time."""

    slots: int = 0  # games that run at the same time; 0 = all
    seconds: float = 0.0  # a game takes this long,
    prefill: float = 0.0  # and this long for 1,000 prompt tokens that were not cached


@dataclass
class Toy:
    """State of the demo judge."""

    name: str
    key: str | None
    cache: PrefixCache
    faults: Faults
    speed: Speed = Speed()
    context: int = 0  # tokens of prompt and reply; 0 = no limit
    log: TextIO | None = None  # the request log
    open: int = 0  # calls that wait or run
    running: int = 0
    served: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dead_engine: str | None = None  # "health" (all fails) or "api" (health stays 200)
    hung: bool = False
    _waiting: list[tuple[int, int, asyncio.Future]] = field(default_factory=list, repr=False)
    _arrivals: Any = field(default_factory=itertools.count, repr=False)

    async def __call__(self, request: Request) -> Reply | None:
        """Answer one request."""
        if self.hung:
            await asyncio.Event().wait()
        path = request.path.split("?")[0]
        if path == "/health":
            return Reply(500 if self.dead_engine == "health" else 200, "")
        if path == "/metrics":
            return Reply(200, self.metrics())
        if path == "/faults":
            return Reply(200, dict(self.faults.counts))
        if self.key and request.bearer != self.key:
            return error(401, "invalid_request_error", "the key is not this server's")
        if path == "/v1/models":
            listed = {"id": self.name, "object": "model", "owned_by": NAME}
            if self.context:
                listed["max_model_len"] = self.context
            return Reply(200, {"object": "list", "data": [listed]})
        if path == "/v1/chat/completions" and request.method == "POST":
            return await self._call(request)
        return error(404, "not_found", f"the toy judge knows no {request.method} {path}")

    async def _call(self, request: Request) -> Reply | None:
        try:
            asked = request.json()
            messages, priority = asked["messages"], int(asked.get("priority") or 0)
            texts = [message["content"] for message in messages]
            prompt = "\n".join(texts)
        except (ValueError, KeyError, TypeError) as broken:
            return error(400, "invalid_request_error", f"not a chat completion request: {broken!r}")
        if asked.get("model") != self.name:
            return error(404, "not_found", f"the model {asked.get('model')!r} does not exist here")
        if asked.get("stream"):
            return error(400, "invalid_request_error", "the toy judge does not stream")
        digest = message_digest(messages)
        self.open += 1
        entry = {"in": time.time(), "out": None, "status": None, "fault": None, "digest": digest}
        entry |= {
            "priority": priority,
            "open": self.open,
            "running": None,
            "user": asked.get("user"),
        }
        entry |= {"pair": [short_digest(answer) for answer in answers(texts[-1]) or ()]}
        try:
            if self.dead_engine:
                reply: Reply | None = error(500, "internal_server_error", "the engine is dead")
            else:
                # The supervisor's question whether the engine lives is no game.
                probe = asked.get("user") == "supervisor"
                fault = None if probe else self.faults.strike(digest, texts[-1])
                entry["fault"] = fault and fault.kind
                async with self._slot(priority):
                    entry["running"] = self.running
                    reply = await self._play(request, asked, prompt, texts[-1], fault, entry)
            if reply:
                entry["status"] = reply.status
            return reply
        finally:
            self.open -= 1
            self.served += 1
            if self.log:
                self.log.write(json.dumps(entry | {"out": time.time()}) + "\n")
                self.log.flush()

    @contextlib.asynccontextmanager
    async def _slot(self, priority: int):
        """Wait for one of the slots: lowest priority number first, then first come, as in vLLM."""
        if self.speed.slots and self.running >= self.speed.slots:
            turn = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (priority, next(self._arrivals), turn))
            await turn  # the slot is handed over by the one that leaves it
        else:
            self.running += 1
        try:
            yield
        finally:
            while self._waiting:
                turn = heapq.heappop(self._waiting)[2]
                if not turn.cancelled():
                    turn.set_result(None)
                    break
            else:
                self.running -= 1

    async def _play(
        self,
        request: Request,
        asked: dict,
        prompt: str,
        user: str,
        fault: Fault | None,
        entry: dict[str, Any],
    ) -> Reply | None:
        tokens = count_tokens(prompt)
        limit = int(asked.get("max_completion_tokens") or asked.get("max_tokens") or 4096)
        if self.context and tokens + limit > self.context:
            return too_long(self.context, tokens, limit)
        cached = self.cache.cached_tokens(prompt)
        seconds = self.speed.seconds + self.speed.prefill * (tokens - cached) / 1000
        if seconds:
            await asyncio.sleep(seconds)
        if fault and fault.kind in BROKEN:
            return await BROKEN[fault.kind](self, request, fault)
        if fault and fault.kind in REFUSED:
            return refused(fault.kind, tokens, limit)
        text = verdict(user)[1]
        message, reason = shaped(text, fault)
        shown = message.get("content") or message.get("reasoning_content") or ""
        written = count_tokens(shown)
        if written > limit and not (fault and fault.kind in (*REASONS, "huge")):
            message["content"], reason, written = shown[: limit * 4], "length", limit
        self.prompt_tokens += tokens
        self.completion_tokens += written
        reply = {
            "id": f"toy-{self.served}",
            "object": "chat.completion",
            "created": int(entry["in"]),
            "model": self.name,
            "system_fingerprint": NAME,
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {
                "prompt_tokens": tokens,
                "completion_tokens": written,
                "total_tokens": tokens + written,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }
        if fault and fault.kind == "nousage":
            del reply["usage"]
        entry |= {"prompt_tokens": tokens, "cached_tokens": cached}
        answer = Reply(200, reply)
        if fault and fault.kind in ("slow", "cut"):
            await trickle(request, fault, answer)
            entry["status"] = answer.status
            return None
        if fault and fault.kind == "late":
            await asyncio.sleep(fault.number(1))
        return answer

    def metrics(self) -> str:
        """Under vLLM's names, so that readers of a real judge's figures can be shown these."""
        figures = {
            "num_requests_running": self.running,
            "num_requests_waiting": len(self._waiting),
            "prompt_tokens_total": self.prompt_tokens,
            "generation_tokens_total": self.completion_tokens,
            "prefix_cache_queries_total": self.cache.queried,
            "prefix_cache_hits_total": self.cache.hits,
        }
        label = f'{{model_name="{self.name}"}}'
        lines = [f"vllm:{name}{label} {float(value)}\n" for name, value in figures.items()]
        blocks = f'block_size="{BLOCK}",num_gpu_blocks="{self.cache.capacity // BLOCK}"'
        return "".join([*lines, f"vllm:cache_config_info{{{blocks}}} 1.0\n"])


def message_digest(messages: list[dict]) -> str:
    """SHA-256 (16 digits) of the messages of a call, as the logs name a prompt."""
    return short_digest(json.dumps(messages, sort_keys=True, ensure_ascii=False))


def short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def _status(_: Toy, __: Request, fault: Fault) -> Reply:
    head = {"Retry-After": f"{fault.number(1):g}"} if fault.kind == "429" else {}
    reply = error(int(fault.kind), "injected", f"injected fault {fault.kind}")
    return Reply(reply.status, reply.content, head)


async def _reset(_: Toy, request: Request, __: Fault) -> None:
    request.writer.transport.abort()


async def _stall(_: Toy, __: Request, fault: Fault) -> None:
    await asyncio.sleep(fault.number(3600))


async def _garbage(_: Toy, __: Request, ___: Fault) -> Reply:
    return Reply(200, "\x00{]] this is no JSON", {"Content-Type": "application/json"})


async def _html(_: Toy, __: Request, ___: Fault) -> Reply:
    return Reply(502, "<html><body><h1>502 Bad Gateway</h1></body></html>")


async def _die(_: Toy, __: Request, fault: Fault) -> None:
    os._exit(int(fault.number(1)))


async def _kill(_: Toy, __: Request, ___: Fault) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _hang(toy: Toy, _: Request, __: Fault) -> None:
    toy.hung = True
    await asyncio.Event().wait()


async def _engine(toy: Toy, _: Request, fault: Fault) -> Reply:
    toy.dead_engine = "api" if fault.value == "api" else "health"
    return error(500, "internal_server_error", "the engine is dead")


BROKEN = {"429": _status, "500": _status, "503": _status, "reset": _reset, "stall": _stall}
BROKEN |= {"garbage": _garbage, "html": _html, "die": _die, "kill": _kill, "hang": _hang}
BROKEN |= {"engine": _engine}


def open_log(path: Path | None) -> TextIO | None:
    """The request log: a line a call, appended when it ends."""
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a")
