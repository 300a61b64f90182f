"""The HTTP client for judges, endpoints and health checks.

It follows no redirects, because they would get our key. It uses no proxy for addresses of this
machine, because a cluster's `http_proxy` would get the key of the judge on this node.
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

CONNECT = 10.0  # s; the judge runs on this node, or at a provider with fast connections
KEEP_ALIVE = 4.0  # s; uvicorn closes idle connections after 5, which would break requests


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a server. headers: case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReply(Exception):
    """No complete HTTP reply. kind: `connection` (nothing was sent), `broken` or `timeout`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class HttpClient:
    """Keeps connections open; call `close` at the end. Use it in one event loop only."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def call(self, url: str, *, key: str = "", body: Any = None, timeout: float) -> Reply:
        """GET, or POST of `body` as JSON. timeout: s for the whole call. Raises NoReply."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = self._session(is_this_machine(url)).request(
            "GET" if data is None else "POST",
            url,
            data=data,
            headers=headers,
            allow_redirects=False,
        )
        try:
            async with asyncio.timeout(timeout), request as response:
                return Reply(response.status, response.headers, await response.read())
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise NoReply("connection", f"no connection within {CONNECT:.0f} s") from None
            raise NoReply("timeout", f"no answer within {timeout:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind = "connection" if isinstance(error, aiohttp.ClientConnectorError) else "broken"
            # The text only: the exception would show our headers.
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
