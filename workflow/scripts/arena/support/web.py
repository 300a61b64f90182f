"""A small HTTP/1.1 server on asyncio: what the demo judge and the supervisor's waiting room answer
with.

Only what OpenAI's clients send: requests with a Content-Length, connections kept open. A handler
may also write to the connection itself, which is how the demo judge sends broken replies.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

MAX_HEAD = (
    64 * 1024
)  # the usual limit of servers; the longest header of a real client has 200 bytes
MAX_BODY = 64 * 1024 * 1024  # a 1,000,000-token prompt is about 5 MB
PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
PHRASES |= {413: "Content Too Large", 429: "Too Many Requests", 500: "Internal Server Error"}
PHRASES |= {503: "Service Unavailable"}


@dataclass
class Request:
    """One request. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter = field(repr=False)

    @property
    def bearer(self) -> str | None:
        """The key of `Authorization: Bearer KEY`."""
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else None

    def json(self) -> Any:
        """The body; ValueError where it is not JSON."""
        return json.loads(self.body)


@dataclass
class Reply:
    """What is sent back; `head` are extra headers."""

    status: int
    content: Any
    head: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes on the wire; a str is sent as text, all else as JSON."""
        text = self.content if isinstance(self.content, str) else json.dumps(self.content)
        body = text.encode()
        kind = "text/plain; charset=utf-8" if isinstance(self.content, str) else "application/json"
        lines = [f"HTTP/1.1 {self.status} {PHRASES.get(self.status, 'Status')}"]
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.head.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class BadRequest(Exception):
    """The bytes on the connection are not a request that this server reads."""


# A handler returns what to send, or None when it has dealt with the connection itself (which is
# then closed).
Handler = Callable[[Request], Awaitable[Reply | None]]


def error(status: int, kind: str, message: str, **more: Any) -> Reply:
    """A reply in the shape of OpenAI's errors."""
    return Reply(status, {"error": {"type": kind, "message": message, "code": status} | more})


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """The next request of a connection, or None when the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise BadRequest("the connection ended within the head") from end
        return None
    except asyncio.LimitOverrunError as long:
        raise BadRequest(f"the head has more than {MAX_HEAD} bytes") from long
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, path, _ = first.split(" ")
        pairs = (line.split(":", 1) for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        length = int(headers.get("content-length", "0"))
    except ValueError as broken:
        raise BadRequest(f"not a request: {first[:80]!r}") from broken
    if "transfer-encoding" in headers or not 0 <= length <= MAX_BODY:
        raise BadRequest("only bodies with a Content-Length of at most 64 MiB are read")
    return Request(method, path, headers, await reader.readexactly(length), writer)


async def serve(handler: Handler, host: str, port: int, *, socket: Any = None) -> asyncio.Server:
    """Answer with `handler` on `host`:`port` or on a bound socket; the caller closes it."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client may go away at any moment, and so may we, with calls open: that ends the
        # connection and nothing else. (Of one that is cancelled asyncio would print a traceback.)
        gone = (ConnectionError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            try:
                while request := await read_request(reader, writer):
                    reply = await handler(request)
                    if reply is None:
                        break
                    writer.write(reply.encode())
                    await writer.drain()
                    if request.headers.get("connection", "").lower() == "close":
                        break
            except BadRequest as broken:
                writer.write(error(400, "bad_request", str(broken)).encode())
                await writer.drain()
            finally:
                writer.close()

    # Hundreds of clients may connect within one moment.
    if socket is not None:
        return await asyncio.start_server(connection, sock=socket, backlog=1024, limit=MAX_HEAD)
    return await asyncio.start_server(connection, host, port, backlog=1024, limit=MAX_HEAD)
