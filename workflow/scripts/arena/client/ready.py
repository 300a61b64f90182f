"""Waits until a server is ready."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Protocol

from arena.client.asker import Asker
from arena.client.replies import Failure
from arena.support.errors import JudgeError
from arena.support.names import did_you_mean

POLL = 0.25  # s between two tries at first ...
SLOWEST_POLL = 5.0  # ... and at last


class Server(Protocol):
    """A server as the client sees it. patience: s without a reply, while it looks healthy, after
    which the batch ends. parallel: requests to keep open, None if that is unknown.
    """

    patience: float

    @property
    def parallel(self) -> int | None: ...

    async def ready(self) -> None:
        """Return when requests can be sent; JudgeError if waiting is useless."""


class RunningServer:
    """A server that we did not start: endpoints, an API."""

    patience = 60.0  # s; nobody restarts it
    parallel = None

    def __init__(self, asker: Asker, name: str, log: Callable[[str], None]):
        """name: which the server should list."""
        self._asker, self._name, self._log = asker, name, log
        self._warned = False

    async def ready(self) -> None:
        """Returns once the server lists its models, or answers but does not list any."""
        begun, poll = time.monotonic(), POLL
        while True:
            try:
                self._check_name(await self._asker.models())
                return
            except Failure as failure:
                if failure.kind in ("unlisted", "throttled"):
                    self._warn(f"{failure.message}; requests are sent anyway")
                    return
                where = f"the {self._asker}"
                if failure.kind == "fatal":
                    raise JudgeError(f"{where} rejects requests: {failure.message}") from failure
                waited = time.monotonic() - begun
                if waited > self.patience:
                    text = f"{where} has been unhealthy for {waited:.0f} s: {failure.message}"
                    raise JudgeError(text, kind="judge_died") from failure
                self._warn(f"waiting for {where}: {failure.message}")
            await asyncio.sleep(poll * random.uniform(0.8, 1.2))
            poll = min(SLOWEST_POLL, poll * 1.5)

    def _check_name(self, listed: list[str]) -> None:
        if self._name not in listed:
            known = ", ".join(listed[:5]) or "nothing"
            hint = did_you_mean(self._name, listed)
            self._warn(
                f"the server lists {known}, not {self._name!r}{hint}; requests are sent anyway, "
                "since some providers list only aliases"
            )

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._log(f"warning: {text}")
            self._warned = True
