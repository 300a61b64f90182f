"""The demo judge as a server: OpenAI's chat completions, with what vLLM adds to the usage."""

import asyncio
import contextlib
import time
from typing import Any

from aiohttp import web

from arena.demo.judge import NAME, PrefixCache, count_tokens, verdict

MAX_BODY = 64 * 1024 * 1024  # bytes; a prompt of 1,000,000 tokens is about 5 MB
MAX_TOKENS = 4096  # of a reply, where the request says nothing


class DemoJudge:
    """Answers to one model name. seconds: of a game; slots: games at the same time, 0 = all."""

    def __init__(self, name: str, key: str | None = None, seconds: float = 0.0, slots: int = 0):
        self.name, self.key, self.seconds = name, key, seconds
        self.slot = asyncio.Semaphore(slots) if slots else contextlib.nullcontext()
        self.cache = PrefixCache()
        self.served = 0

    def app(self) -> web.Application:
        """Its routes; `/health` alone is open to everybody."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/health", self.health)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        return app

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def models(self, request: web.Request) -> web.Response:
        if not self.knows(request):
            return wrong_key()
        return web.json_response({"object": "list", "data": [self.listed()]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Check a call, then play it."""
        if not self.knows(request):
            return wrong_key()
        try:
            asked = await request.json()
            prompt = "\n".join(message["content"] for message in asked["messages"])
        except (ValueError, KeyError, TypeError) as broken:
            return error(400, "invalid_request_error", f"not a chat completion request: {broken!r}")
        if asked.get("model") != self.name:
            return error(404, "not_found", f"the model {asked.get('model')!r} does not exist here")
        if asked.get("stream"):
            return error(400, "invalid_request_error", "the demo judge does not stream")
        return await self.play(request, asked, prompt)

    async def play(self, _: web.Request, asked: dict[str, Any], prompt: str) -> web.StreamResponse:
        """One game, as soon as a slot is free."""
        async with self.slot:
            cached = self.cache.cached_tokens(prompt)
            await asyncio.sleep(self.seconds)
            text = verdict(asked["messages"][-1]["content"])[1]
            return web.json_response(self.completion(prompt, text, limit_of(asked), cached))

    def knows(self, request: web.Request) -> bool:
        return not self.key or request.headers.get("Authorization") == f"Bearer {self.key}"

    def listed(self) -> dict[str, Any]:
        """What `/v1/models` says of the model."""
        return {"id": self.name, "object": "model", "owned_by": NAME}

    def completion(self, prompt: str, text: str, limit: int, cached: int) -> dict[str, Any]:
        """The reply's body. limit: of its tokens; cached: tokens of the prompt."""
        tokens, written = count_tokens(prompt), count_tokens(text)
        cut = written > limit
        if cut:
            text, written = text[: limit * 4], limit
        self.served += 1
        message = {"role": "assistant", "content": text}
        finish = "length" if cut else "stop"
        return {
            "id": f"toy-{self.served}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.name,
            "system_fingerprint": NAME,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": tokens,
                "completion_tokens": written,
                "total_tokens": tokens + written,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }


def limit_of(asked: dict[str, Any]) -> int:
    """Tokens that the reply of this request may have."""
    return int(asked.get("max_completion_tokens") or asked.get("max_tokens") or MAX_TOKENS)


def error(status: int, kind: str, message: str, **more: Any) -> web.Response:
    """A reply in the shape of OpenAI's errors."""
    body = {"error": {"type": kind, "message": message, "code": status} | more}
    return web.json_response(body, status=status)


def wrong_key() -> web.Response:
    return error(401, "invalid_request_error", "the key is not this server's")
