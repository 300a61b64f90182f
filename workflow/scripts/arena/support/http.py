"""The one HTTP client: calls of judges, endpoints and health checks all go through it.

No redirect is followed, since our key would go along to wherever it leads. No proxy is asked for an
address of this machine, since a cluster's `http_proxy` would get the key of a judge on this node.
"""

import asyncio
import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

CONNECT = 10.0  # s; the judge runs on this node, or at a provider that is near enough
KEEP_ALIVE = 4.0  # s; under uvicorn's 5, or requests meet connections that close


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered. headers: case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReply(Exception):
    """No HTTP answer. kind: `connection` (nothing was asked), `broken` (the answer did not come
    whole) or `timeout`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class HttpClient:
    """Keeps connections open; `close` when done. Made and used within one running event loop."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def call(self, url: str, *, key: str = "", body: Any = None, timeout: float) -> Reply:
        """GET, or POST of `body` as JSON. timeout: s for the whole call. Raises NoReply."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        session = self._session(is_this_machine(url))
        try:
            given: dict[str, Any] = {"data": data, "headers": headers, "allow_redirects": False}
            async with (
                asyncio.timeout(timeout),
                session.request("GET" if data is None else "POST", url, **given) as response,
            ):
                return Reply(response.status, response.headers, await response.read())
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise NoReply("connection", f"no connection within {CONNECT:.0f} s") from None
            raise NoReply("timeout", f"no answer within {timeout:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind = "connection" if isinstance(error, aiohttp.ClientConnectorError) else "broken"
            # Not the exception itself: it would show our headers.
            raise NoReply(kind, f"{type(error).__name__}: {error}") from None

    def _session(self, is_local: bool) -> aiohttp.ClientSession:
        if is_local not in self._sessions:
            self._sessions[is_local] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
                trust_env=not is_local,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._sessions[is_local]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()


def is_this_machine(url: str) -> bool:
    """Whether the URL's host is this machine: a loopback or unspecified address, or its name."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in ("localhost", socket.gethostname(), socket.getfqdn())
    return address.is_loopback or address.is_unspecified
