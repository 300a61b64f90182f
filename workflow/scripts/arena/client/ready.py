"""Waiting for the judge, in this order: is there time left, is it alive, is it ready."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Protocol

from arena.client.asker import Asker
from arena.client.replies import Failure
from arena.support.errors import JudgeError
from arena.support.names import did_you_mean

POLL = 0.25  # s between looks at first ...
SLOWEST_POLL = 5.0  # ... and at last


class Server(Protocol):
    """The judge as the client sees it. patience: s without a reply while it looks healthy, until
    the batch is ended. parallel: requests to keep open, None where it is not known.
    """

    patience: float

    @property
    def parallel(self) -> int | None: ...

    async def ready(self) -> None:
        """Return when games can be asked; JudgeError where waiting is of no use."""


class RunningServer:
    """A judge that runs elsewhere: endpoints, an API."""

    patience = 60.0  # s; nobody restarts it
    parallel = None

    def __init__(self, asker: Asker, judge: str, tell: Callable[[str], None]):
        self._asker = asker
        self._judge = judge
        self._tell = tell
        self._warned = False

    async def ready(self) -> None:
        """Once it lists its name, or lists none but answers."""
        since: float | None = None
        poll = POLL
        while True:
            try:
                self._check_name(await self._asker.models())
                return
            except Failure as failure:
                if failure.kind in ("unlisted", "throttled"):
                    self._warn(f"{failure.message}; asking the judge all the same")
                    return
                if failure.kind == "fatal":
                    raise JudgeError(f"the judge cannot be asked: {failure.message}") from failure
                now = time.monotonic()
                since = since or now
                if now - since > self.patience:
                    raise JudgeError(
                        f"the judge at {self._asker.where} has been unhealthy for "
                        f"{now - since:.0f} s: {failure.message}",
                        kind="judge_died",
                    ) from failure
                self._warn(f"waiting for the judge: {failure.message}")
            await asyncio.sleep(poll * random.uniform(0.8, 1.2))
            poll = min(SLOWEST_POLL, poll * 1.5)

    def _check_name(self, listed: list[str]) -> None:
        if self._judge not in listed:
            known = ", ".join(listed[:5]) or "nothing"
            hint = did_you_mean(self._judge, listed)
            self._warn(
                f"the server serves {known}, not the judge {self._judge!r}{hint}; asking it all "
                "the same, since some providers list aliases only"
            )

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._tell(f"warning: {text}")
            self._warned = True
