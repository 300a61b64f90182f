"""The HTTP client for judges, endpoints and health checks.

It follows no redirects, because they would get our key. It uses no proxy for addresses of this
machine, because a cluster's `http_proxy` would get the key of the judge on this node. It reads no
`.netrc`, whose passwords would take the place of our key.
"""

import asyncio
import functools
import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

CONNECT = 10.0  # s; the judge runs on this node, or at a provider with fast connections
KEEP_ALIVE = 4.0  # s; uvicorn closes idle connections after 5, which would break requests


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a server. headers: case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Failure(Exception):
    """No reply, or none that can be used. kind decides what follows:

    throttled  too many requests: send fewer, after `retry_after` seconds
    broken, connection, timeout   unusable reply, nothing listens, no reply in time: back-off
    fatal      all requests would fail: stop, with this message
    """

    kind: str
    message: str
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class HttpClient:
    """Keeps connections open; call `close` at the end. Make and use it in one event loop only."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def call(self, url: str, *, key: str = "", body: Any = None, timeout: float) -> Reply:
        """GET, or POST of `body` as JSON. timeout: s for the whole call. Raises Failure."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        method = "GET" if body is None else "POST"
        options: Any = {"json": body, "headers": headers, "allow_redirects": False}
        try:
            request = self._session.request(method, url, proxy=proxy_of(url), **options)
            async with asyncio.timeout(timeout), request as response:
                return Reply(response.status, response.headers, await response.read())
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise Failure("connection", f"no connection within {CONNECT:.0f} s") from None
            raise Failure("timeout", f"no answer within {timeout:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind = "connection" if isinstance(error, aiohttp.ClientConnectorError) else "broken"
            # The text only: the exception would show our headers.
            raise Failure(kind, f"{type(error).__name__}: {error}") from None

    async def close(self) -> None:
        await self._session.close()


def listed_models(reply: Reply) -> list[str] | None:
    """The models in a reply of `/v1/models`; None if it is not in OpenAI's format."""
    try:
        return [str(model["id"]) for model in json.loads(reply.body)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


@functools.cache  # each look-up of a name may take seconds, in which no other request is sent
def proxy_of(url: str) -> str | None:
    """The proxy that the environment sets for a URL; None for addresses of this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
        is_here = address.is_loopback or address.is_unspecified
    except ValueError:
        is_here = host in ("localhost", socket.gethostname().lower(), socket.getfqdn().lower())
    proxy = None if is_here or proxy_bypass(host) else getproxies().get(parts.scheme)
    # Most proxies of HTTPS that are written as https://... speak plain HTTP.
    return None if proxy and proxy.startswith("https:") else proxy
