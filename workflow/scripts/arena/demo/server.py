"""The demo judge, or writer of answers, as a server with OpenAI's chat completions API."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from arena.demo.toys import CHARS_PER_TOKEN, JUDGE_NAME, WRITER_NAME, count_tokens, verdict, write

MAX_BODY = 64 * 1024 * 1024  # bytes; a prompt of 1,000,000 tokens is about 5 MB
BLOCK = 16  # tokens in a block of vLLM's prefix cache
MOST_BLOCKS = 1_000_000  # in ours, about 100 MB


class DemoJudge:
    """seconds: that a request takes. slots: requests at the same time, 0: no limit.

    writes: models whose answers it writes, instead of judging.
    """

    def __init__(
        self,
        name: str,
        key: str | None = None,
        seconds: float = 0.0,
        slots: int = 0,
        writes: Sequence[str] = (),
    ):
        self.name, self.key, self.seconds = name, key, seconds
        self.writes, self.names = bool(writes), tuple(writes) or (name,)
        self.kind = WRITER_NAME if writes else JUDGE_NAME
        self.slot = asyncio.Semaphore(slots) if slots else contextlib.nullcontext()
        self._prefixes: set[int] = set()  # each the hash of a prompt up to the end of a block
        self.served = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._ask_for_key])
        app.router.add_get("/health", self.health)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        return app

    @web.middleware
    async def _ask_for_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        wrong = self.key and request.headers.get("Authorization") != f"Bearer {self.key}"
        if wrong and request.path.startswith("/v1"):
            return error(401, "invalid_request_error", "wrong API key")
        return await handler(request)

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def models(self, _: web.Request) -> web.Response:
        models = [{"id": name, "object": "model", "owned_by": self.kind} for name in self.names]
        return web.json_response({"object": "list", "data": models})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = await request.json()
            texts = [message["content"] for message in asked["messages"]]
            prompt, user = "\n".join(texts), texts[-1]
        except (ValueError, LookupError, TypeError) as broken:
            return error(400, "invalid_request_error", f"not a chat completion request: {broken!r}")
        if asked.get("model") not in self.names:
            return error(404, "not_found", f"the model {asked.get('model')!r} does not exist here")
        if asked.get("stream"):
            return error(400, "invalid_request_error", "the demo server does not stream")
        return await self.play(request, asked, prompt, user)

    def text(self, asked: dict[str, Any], user: str) -> str:
        """The reply to a request, before it is cut at max_tokens."""
        return write(asked["model"], asked["messages"]) if self.writes else verdict(user)[1]

    async def play(
        self, _: web.Request, asked: dict[str, Any], prompt: str, user: str
    ) -> web.StreamResponse:
        """Reply to a valid request, as soon as a slot is free."""
        async with self.slot:
            cached = self.cached_tokens(prompt)
            await asyncio.sleep(self.seconds)
            reply = self.completion(asked, prompt, self.text(asked, user), limit_of(asked), cached)
        return web.json_response(reply)

    def cached_tokens(self, prompt: str) -> int:
        """Tokens of the blocks at its start that earlier prompts have too. Remembers the prompt."""
        size = BLOCK * CHARS_PER_TOKEN
        blocks = (prompt[at : at + size] for at in range(0, len(prompt) - size + 1, size))
        keys = list(accumulate(blocks, lambda key, block: hash((key, block)), initial=0))[1:]
        found = sum(1 for _ in takewhile(self._prefixes.__contains__, keys))
        if len(self._prefixes) > MOST_BLOCKS:
            self._prefixes.clear()
        self._prefixes.update(keys)
        return found * BLOCK

    def completion(
        self, asked: dict[str, Any], prompt: str, text: str, limit: int, cached: int
    ) -> dict[str, Any]:
        """The body of a reply. limit: of its tokens. cached: tokens of the prompt."""
        tokens, written, finish = count_tokens(prompt), count_tokens(text), "stop"
        if written > limit:
            text, written, finish = text[: limit * CHARS_PER_TOKEN], limit, "length"
        message = {"role": "assistant", "content": text}
        self.served += 1
        return {
            "id": f"toy-{self.served - 1}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked["model"],
            "system_fingerprint": self.kind,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": tokens,
                "completion_tokens": written,
                "total_tokens": tokens + written,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }


def limit_of(asked: dict[str, Any]) -> int:
    """The most tokens that the reply may have."""
    return int(asked.get("max_completion_tokens") or asked.get("max_tokens") or 4096)


def error(status: int, kind: str, message: str, **more: Any) -> web.Response:
    """A reply in OpenAI's format of errors."""
    body = {"error": {"type": kind, "message": message, "code": status} | more}
    return web.json_response(body, status=status)
