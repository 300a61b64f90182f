"""Sends one request and returns an outcome or raises a failure. No retries here.

A judge may have several addresses. Each request goes to the healthy one with the fewest open
requests. An address that fails rests, longer each time, and is then tried with a single request;
one that rejects our key or our account is not used while another one works.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from arena.client.replies import Failure, read_reply, read_status, shorten
from arena.data.games import Requests
from arena.journals.journal import Outcome
from arena.support.http import HttpClient, NoReply, Reply

NO_KEYS = (None, "", "EMPTY")  # placeholders for servers that need no key
REST = 10.0  # s that an address rests after a failure while there are others, doubled each time ...
LONGEST_REST = 120.0  # ... up to this
UNLISTED = (403, 404, 405)  # of /v1/models: restricted keys, and gateways that only pass on chats
HEALTH = 10.0  # s for /v1/models; a server that needs longer for a list of names is unhealthy


@dataclass(slots=True)
class Endpoint:
    """One address. name: the model's name there, where it is not the settings'."""

    number: int
    url: str
    key: str = field(repr=False)
    name: str | None
    open: int = 0
    failures: int = 0  # since its last reply
    rests_until: float = 0.0  # monotonic
    rejected: bool = False  # our key or account

    def is_healthy(self, now: float) -> bool:
        return self.rests_until <= now and not (self.failures and self.open)

    def failed(self, failure: Failure) -> None:
        self.rejected = self.rejected or failure.kind == "fatal"
        rest = min(LONGEST_REST, REST * 2 ** min(self.failures, 9))
        self.failures += 1
        self.rests_until = time.monotonic() + max(rest, failure.retry_after or 0.0)


class Asker:
    """All addresses of one server."""

    def __init__(
        self, endpoints: Sequence[Mapping[str, Any]], settings: Requests, *, timeout: float
    ):
        """endpoints: url, key and, where it differs, model of each. timeout: s per request."""
        keys = {entry["key"] for entry in endpoints if entry.get("key") not in NO_KEYS}
        self.secrets = sorted(keys, key=len, reverse=True)  # one may be the beginning of another
        self._endpoints = [
            Endpoint(number, entry["url"].rstrip("/"), entry.get("key") or "", entry.get("model"))
            for number, entry in enumerate(endpoints)
        ]
        self._settings = settings
        self._timeout = timeout
        self._http = HttpClient()

    def __str__(self) -> str:
        """`judge at http://...`, for messages."""
        urls = ", ".join(endpoint.url for endpoint in self._endpoints)
        return f"{self._settings.stage.server} at {urls}"

    async def ask(self, body: Mapping[str, Any], address: int | None = None) -> Outcome:
        """Send one request; raises Failure once no address that may be used gives an outcome.

        address: the number of the only one to use, where it matters.
        """
        if address is not None:
            return await self._ask(self._endpoints[address], body)
        failure: Failure | None = None
        for endpoint in self._in_order():
            try:
                outcome = await self._ask(endpoint, body)
            except Failure as error:
                endpoint.failed(error)
                if error.kind == "timeout":
                    raise  # the reply may have been paid for: whether to retry is the caller's call
                if failure is None or failure.kind == "fatal":
                    failure = error  # one address that rejects us does not stop the others
            else:
                endpoint.failures, endpoint.rests_until = 0, 0.0
                return outcome
        raise failure or Failure("connection", "no address answers")

    def _in_order(self) -> list[Endpoint]:
        """The addresses to try, in order; one that rests only if all do."""
        now = time.monotonic()
        usable = [one for one in self._endpoints if not one.rejected] or self._endpoints
        if healthy := [one for one in usable if one.is_healthy(now)]:
            return sorted(healthy, key=lambda one: one.open)
        return sorted(usable, key=lambda one: one.rests_until)[:1]

    async def _ask(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Outcome:
        if endpoint.name:
            body = {**body, "model": endpoint.name}
        endpoint.open += 1
        try:
            reply = await self._call(endpoint, "/chat/completions", self._timeout, body)
        finally:
            endpoint.open -= 1
        if reply.status == 200:
            outcome = read_reply(reply.body, self._settings, self._redact)
        else:
            outcome = read_status(reply.status, reply.headers, reply.body, self._redact)
        return replace(outcome, address=endpoint.number)

    async def models(self) -> list[str]:
        """The names that the first address with an answer serves; raises Failure.

        Of kind "unlisted" if it answers, but not with names.
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
            return [*names, self._settings.judge] if endpoint.name in names else names
        assert failure, "there is at least one address"
        raise failure

    async def _models(self, endpoint: Endpoint) -> list[str]:
        reply = await self._call(endpoint, "/models", HEALTH)
        if reply.status in UNLISTED:
            raise Failure("unlisted", f"/v1/models answers HTTP {reply.status}")
        if reply.status != 200:
            outcome = read_status(reply.status, reply.headers, reply.body, self._redact)
            raise Failure("broken", f"HTTP {reply.status}: {outcome.reason}")
        try:
            return [str(entry["id"]) for entry in json.loads(reply.body)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Failure("broken", "/v1/models is not a list of models") from None

    async def _call(self, endpoint: Endpoint, path: str, timeout: float, body: Any = None) -> Reply:
        url = endpoint.url + path
        try:
            return await self._http.call(url, key=endpoint.key, body=body, timeout=timeout)
        except NoReply as error:
            raise Failure(error.kind, shorten(self._redact(str(error)))) from None

    def _redact(self, text: str) -> str:
        """The text without our keys: servers repeat them in "incorrect key provided: ..."."""
        for key in self.secrets:
            text = text.replace(key, "***")
        return text

    async def close(self) -> None:
        await self._http.close()
