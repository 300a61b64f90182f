"""Waits for a server, sends one request, and returns its outcome or raises a failure. No retries.

A judge may have several addresses. Each request goes to the healthy one with the fewest open
requests. An address that fails rests, longer each time, and is then tried with a single request;
one that rejects our key or our account is not used while another one works.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from arena.client.replies import read_reply, read_status
from arena.data.games import Requests
from arena.journals.journal import Outcome
from arena.support.errors import JudgeError
from arena.support.http import Failure, HttpClient, Reply, listed_models
from arena.support.humanize import shorten
from arena.support.names import did_you_mean

NO_KEYS = (None, "", "EMPTY")  # placeholders for servers that need no key
REST = 10.0  # s that an address rests after a failure while there are others, doubled each time ...
LONGEST_REST = 120.0  # ... up to this
UNLISTED = (403, 404, 405)  # of /v1/models: restricted keys, and gateways that only pass on chats
HEALTH = 10.0  # s for /v1/models; a server that needs longer for a list of names is unhealthy
POLL = 0.25  # s between two looks at a server that is not ready, at first ...
SLOWEST_POLL = 5.0  # ... and at last


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
        now, rest = time.monotonic(), failure.retry_after or 0.0
        if now >= self.rests_until:  # requests that were open when it failed count once
            rest = max(rest, min(LONGEST_REST, REST * 2 ** min(self.failures, 9)))
            self.failures += 1
        self.rests_until = max(self.rests_until, now + rest)


class Asker:
    """All addresses of one server."""

    patience = 60.0  # s without a reply while it looks healthy; nobody restarts it
    parallel = None  # it does not say how many requests it can run

    def __init__(
        self,
        endpoints: Sequence[Mapping[str, Any]],
        settings: Requests,
        *,
        timeout: float,
        log: Callable[[str], None],
    ):
        """endpoints: url, key and, where it differs, model of each. timeout: s per request."""
        keys = {entry["key"] for entry in endpoints if entry.get("key") not in NO_KEYS}
        self.secrets = sorted(keys, key=len, reverse=True)  # one may be the beginning of another
        self._endpoints = [
            Endpoint(number, entry["url"].rstrip("/"), entry.get("key") or "", entry.get("model"))
            for number, entry in enumerate(endpoints)
        ]
        self._settings = settings
        self._timeout, self._log = timeout, log
        self._warned = False
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
        failure = Failure("fatal", "no address")
        for endpoint in self._in_order():
            try:
                outcome = await self._ask(endpoint, body)
            except Failure as error:
                endpoint.failed(error)
                if error.kind == "timeout":
                    raise  # the reply may have been paid for: whether to retry is the caller's call
                if failure.kind == "fatal":
                    failure = error  # one address that rejects us does not stop the others
            else:
                endpoint.failures, endpoint.rests_until = 0, 0.0
                return outcome
        if failure.kind == "fatal" and not all(one.rejected for one in self._endpoints):
            return await self.ask(body)  # an address that rested
        raise failure

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

    async def ready(self) -> None:
        """Return once an address lists its models, or replies but does not list any.

        Raises JudgeError if waiting is useless.
        """
        begun, poll = time.monotonic(), POLL
        while failure := await self._look():
            if failure.kind == "throttled":
                self._warn(f"{failure.message}; requests are sent anyway")
                return
            if failure.kind == "fatal":
                raise JudgeError(f"the {self} rejects requests: {failure.message}")
            if (waited := time.monotonic() - begun) > self.patience:
                text = f"the {self} has been unhealthy for {waited:.0f} s: {failure.message}"
                raise JudgeError(text, kind="judge_died")
            self._warn(f"waiting for the {self}: {failure.message}")
            await asyncio.sleep(poll * random.uniform(0.8, 1.2))
            poll = min(SLOWEST_POLL, poll * 1.5)

    async def _look(self) -> Failure | None:
        """Ask for the models until an address replies; the failure to act on if none does."""
        failure: Failure | None = None
        for endpoint in self._endpoints:
            try:
                reply = await self._call(endpoint, "/models", HEALTH)
                if reply.status not in (200, *UNLISTED):
                    outcome = read_status(reply.status, reply.headers, reply.body, self._redact)
                    raise Failure("broken", f"HTTP {reply.status}: {outcome.reason}")
                names = listed_models(reply) if reply.status == 200 else []
                if names is None:
                    raise Failure("broken", "/v1/models is not a list of models")
            except Failure as error:
                if failure is None or failure.kind == "fatal":
                    failure = error  # see `ask`
                continue
            name = self._settings.judge
            if reply.status != 200:
                self._warn(f"/v1/models answers HTTP {reply.status}; requests are sent anyway")
            elif not {name, endpoint.name} & set(names):
                self._warn(
                    f"the server lists {', '.join(names[:5]) or 'nothing'}, not {name!r}"
                    f"{did_you_mean(name, names)}; requests are sent anyway, since some providers "
                    "list only aliases"
                )
            return None
        return failure

    def _warn(self, text: str) -> None:
        """Only the first warning is logged."""
        if not self._warned:
            self._log(f"warning: {text}")
            self._warned = True

    async def _call(self, endpoint: Endpoint, path: str, timeout: float, body: Any = None) -> Reply:
        url = endpoint.url + path
        try:
            return await self._http.call(url, key=endpoint.key, body=body, timeout=timeout)
        except Failure as error:
            raise Failure(error.kind, shorten(self._redact(error.message))) from None

    def _redact(self, text: str) -> str:
        """The text without our keys: servers repeat them in "incorrect key provided: ..."."""
        for key in self.secrets:
            text = text.replace(key, "***")
        return text

    async def close(self) -> None:
        await self._http.close()
