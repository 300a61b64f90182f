"""The way to the judge: one request in, an outcome or a failure out. No retries here."""

import asyncio
import ipaddress
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import httpx2
import openai

from arena.data.games import GameSettings
from arena.client.replies import Failure, Outcome, read_reply, read_status, shorten
from arena.client.share import NO_KEYS

NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# What openai does not make its own is an answer that is no HTTP: its text would show our headers.
BROKEN = (openai.APIConnectionError, aiohttp.ClientError, httpx2.HTTPError)
CONNECT = 10.0  # s; the judge runs on this node, or at a provider that is near enough
MOST_CONNECTIONS = 4096  # the client's pace is what limits them
REST = 10.0  # s that an address is left out after a failed connection, while there are others
UNLISTED = (403, 404, 405)  # of /v1/models: restricted keys, and gateways that only pass on chats
HEALTH = 10.0  # s for /v1/models; a server that needs longer for a list of names is not well


class Endpoint:
    """One address of the judge. The key is kept by the client object alone.

    name: the judge's name at this address, where it is not the one in our settings.
    """

    def __init__(self, number: int, url: str, key: str, name: str | None):
        self.number = number
        self.url = url.rstrip("/")
        self.name = name
        limits = httpx2.Limits(
            max_connections=MOST_CONNECTIONS,
            keepalive_expiry=4.0,  # s; under uvicorn's 5, or requests meet connections that close
        )
        self.client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=key or "none",
            max_retries=0,  # ours to decide: see client.py
            # On aiohttp: twice the games a second of httpx at 32 open requests, three times at 128,
            # since httpx looks at every connection for every request (benchmarks/client.py).
            http_client=openai.DefaultAioHttpClient(
                limits=limits,
                # A cluster's http_proxy must not be asked for a judge on this very node.
                trust_env=not is_loopback(url),
                # Only connecting has a time-out here. A reply comes in one piece after minutes,
                # or byte by byte: `ask` limits the whole.
                timeout=httpx2.Timeout(None, connect=CONNECT),
            ),
        )
        self.open = 0
        self.rests_until = 0.0  # monotonic


class Asker:
    """All endpoints of one judge; each request goes to the one with the fewest open."""

    def __init__(
        self,
        server: Mapping[str, Any],
        settings: GameSettings,
        *,
        timeout: float,
    ):
        """server: content of the server file. timeout: s for one whole request."""
        endpoints = server.get("endpoints") or [{"url": server["url"], "key": server.get("key")}]
        keys = {entry["key"] for entry in endpoints if entry.get("key") not in NO_KEYS}
        self._keys = sorted(keys, key=len, reverse=True)  # one may be the beginning of another
        self._endpoints = [
            Endpoint(number, entry["url"], entry.get("key") or "", entry.get("model"))
            for number, entry in enumerate(endpoints)
        ]
        self._settings = settings
        self._timeout = timeout

    @property
    def where(self) -> str:
        return ", ".join(endpoint.url for endpoint in self._endpoints)

    async def ask(self, body: Mapping[str, Any], address: int | None = None) -> Outcome:
        """Play one game; raises Failure. An address that nobody listens at is left out a while.

        address: the number of the one to ask, where it matters.
        """
        if address is not None:
            return await self._ask(self._endpoints[address], body)
        now = time.monotonic()
        waking = [endpoint for endpoint in self._endpoints if endpoint.rests_until <= now]
        failure = Failure("connection", "no address of the judge answers")
        for endpoint in sorted(waking or self._endpoints, key=lambda one: one.open):
            try:
                return await self._ask(endpoint, body)
            except Failure as error:
                failure = error
                if error.kind != "connection":
                    break
                endpoint.rests_until = time.monotonic() + REST
        raise failure

    async def _ask(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Outcome:
        if endpoint.name:
            body = {**body, "model": endpoint.name}
        endpoint.open += 1
        try:
            status, headers, content = await self._call(
                endpoint.client.post, "/chat/completions", self._timeout, body=body
            )
        finally:
            endpoint.open -= 1
        if status == 200:
            outcome = read_reply(content, self._settings, self.redact)
        else:
            outcome = read_status(status, headers, content, self.redact)
        return replace(outcome, address=endpoint.number)

    async def models(self) -> list[str]:
        """The names that the judge's first address that answers serves; raises Failure.

        Of kind "unlisted" where it answers, but not with names.
        """
        failure: Failure | None = None
        for endpoint in self._endpoints:
            try:
                names = await self._models(endpoint)
            except Failure as error:
                if error.kind == "unlisted":
                    raise
                failure = failure or error
                continue
            own = {endpoint.name} & set(names)
            return [*names, self._settings.judge] if own else names
        raise failure or Failure("connection", "the judge has no address")

    async def _models(self, endpoint: Endpoint) -> list[str]:
        status, headers, content = await self._call(endpoint.client.get, "/models", HEALTH)
        if status in UNLISTED:
            raise Failure("unlisted", f"/v1/models answers HTTP {status}")
        if status != 200:
            outcome = read_status(status, headers, content, self.redact)
            raise Failure("broken", f"HTTP {status}: {outcome.reason}")
        try:
            return [str(entry["id"]) for entry in json.loads(content)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Failure("broken", "/v1/models is no list of models") from None

    async def _call(self, method, path: str, timeout: float, **options: Any):
        try:
            async with asyncio.timeout(timeout):
                response = await method(path, cast_to=httpx2.Response, **options)
        except openai.APIStatusError as error:
            response = error.response
        except TimeoutError:
            raise Failure("timeout", f"no answer within {timeout:.0f} s") from None
        except BROKEN as error:
            cause = _first_cause(error)
            text = shorten(self.redact(f"{type(cause).__name__}: {cause}"))
            # Connecting failed: nothing was asked. Anything later: the answer did not come whole.
            kind = "connection" if isinstance(cause, NOT_CONNECTED) else "broken"
            raise Failure(kind, text) from None
        return response.status_code, response.headers, response.content

    def redact(self, text: str) -> str:
        """The text without our keys: servers repeat them in "incorrect key provided: ..."."""
        for key in self._keys:
            text = text.replace(key, "***")
        return text

    async def close(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.client.close()


def is_loopback(url: str) -> bool:
    host = httpx2.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _first_cause(error: BaseException) -> BaseException:
    """What aiohttp said: openai's and httpx's names for it are coarser, and partly wrong."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
        if isinstance(error, aiohttp.ClientError):
            break
    return error
