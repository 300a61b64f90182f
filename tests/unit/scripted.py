"""A judge that follows a script: a real HTTP server in a thread, each answer chosen by the test."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from arena.client.client import TEST_QUESTION

KEY = "key-of-this-job-5f0c"


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


@dataclass
class Call:
    """One game that was asked. number: from 0, of all; again: earlier calls of this prompt."""

    number: int
    again: int
    body: dict[str, Any]
    send: Callable[[bytes], None] = field(repr=False)  # bytes on the connection itself
    at: float = field(default_factory=time.monotonic)

    @property
    def user(self) -> str:
        return self.body["messages"][-1]["content"]


def completion(content: str | None = "so [[A>B]]", finish: str = "stop", **message: Any) -> Reply:
    """A chat completion of this content."""
    choice = {"index": 0, "message": {"content": content, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return Reply(200, {"choices": [choice], "usage": usage})


class ScriptedJudge:
    """Answers games by `script(call)`: a Reply, an exception-free coroutine of one, or None, which
    closes the connection without a reply."""

    def __init__(self, script: Callable[[Call], Any], names: tuple[str, ...] = ("judge",)):
        self.script = script
        self.names = names
        self.models: Callable[[], Reply | None] = lambda: Reply(
            200, {"data": [{"id": name} for name in self.names]}
        )
        self.control: Callable[[], Reply | None] = completion  # to the game of a few words
        self.controls = 0
        self.calls: list[Call] = []
        self.looks = self.refused = 0
        self.open = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """An HTTP response; where the script gives no reply, the connection is closed."""
        if (reply := await self._reply(request)) is None:
            request.transport.close()
            return web.Response()
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    async def _reply(self, request: web.BaseRequest) -> Reply | None:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if key != KEY:
            self.refused += 1
            return error(401, "invalid_api_key", f"Incorrect API key provided: {key}")
        if request.path == "/v1/models":
            self.looks += 1
            return self.models()
        body = json.loads(await request.read())
        if TEST_QUESTION in body["messages"][-1]["content"]:
            self.controls += 1
            return self.control()
        again = sum(call.body["messages"] == body["messages"] for call in self.calls)
        call = Call(len(self.calls), again, body, request.transport.write)
        self.calls.append(call)
        self.open += 1
        try:
            reply = self.script(call)
            return await reply if asyncio.iscoroutine(reply) else reply
        finally:
            self.open -= 1

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextlib.contextmanager
def judge(script: Callable[[Call], Any], **options: Any) -> Iterator[ScriptedJudge]:
    """Run a scripted judge on a free port until the block ends."""
    scripted = ScriptedJudge(script, **options)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def start() -> None:
        web_server = web.Server(scripted.answer)
        scripted.server = web.ServerRunner(web_server, shutdown_timeout=0.1)
        await scripted.server.setup()
        await web.TCPSite(scripted.server, "127.0.0.1", 0, backlog=1024).start()
        scripted.port = scripted.server.addresses[0][1]
        started.set()

    def run() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    async def stop() -> None:
        await scripted.server.cleanup()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(60)
    try:
        yield scripted
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
