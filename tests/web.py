"""A small HTTP server whose replies a test writes: `Reply`, or bytes on the connection itself."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Request:
    """One request that came in."""

    path: str
    bearer: str | None
    body: bytes
    send: Callable[[bytes], None] = field(repr=False)  # bytes on the connection itself


@dataclass
class Reply:
    """What is sent back; `head` are extra headers. A str is sent as text, all else as JSON."""

    status: int
    content: Any
    head: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        text = self.content if isinstance(self.content, str) else json.dumps(self.content)
        return text.encode()

    @property
    def headers(self) -> dict[str, str]:
        kind = "text/plain" if isinstance(self.content, str) else "application/json"
        return {"Content-Type": kind} | self.head

    def encode(self) -> bytes:
        """The bytes on the wire, for tests that send only some of them."""
        head = self.headers | {"Content-Length": str(len(self.body))}
        lines = [f"HTTP/1.1 {self.status} Status", *(f"{key}: {head[key]}" for key in head), "", ""]
        return "\r\n".join(lines).encode() + self.body


def error(status: int, kind: str, message: str, **more: Any) -> Reply:
    """A reply in the shape of OpenAI's errors."""
    return Reply(status, {"error": {"type": kind, "message": message, "code": status} | more})


async def serve(handler: Callable[[Request], Awaitable[Reply | None]]) -> tuple[Any, int]:
    """Answer on a free port: what to `cleanup`, and the port. A handler that gives None has dealt
    with the connection itself, which is then closed."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        bearer = key if scheme == "Bearer" else None
        transport = request.transport
        came = Request(request.path, bearer, await request.read(), transport.write)
        reply = await handler(came)
        if reply is None:
            transport.close()
            return web.Response()
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    runner = web.ServerRunner(web.Server(answer, client_max_size=2**30), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    return runner, runner.addresses[0][1]
