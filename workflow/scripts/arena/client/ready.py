"""Waiting for the judge, in this order: is there time left, does it live, is it ready."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from arena.client.asker import Asker
from arena.client.breaker import PATIENCE_EXTERNAL, PATIENCE_SUPERVISED
from arena.client.deadline import Deadline
from arena.client.replies import Failure
from arena.support.errors import JudgeError
from arena.support.names import did_you_mean

POLL = 0.25  # s between looks at first, for the demo judge is up in no time ...
SLOWEST_POLL = 1.0  # ... and at last: so long the judge may wait for the last of its clients


@dataclass(frozen=True, slots=True)
class Server:
    """A judge server as its file and its batch describe it.

    supervised: a supervisor starts it, watches it and says so when it gives up.
    """

    plain: Mapping[str, Any]
    judge: str
    supervised: bool
    log: str

    def is_gone(self) -> bool:
        """Whether the supervisor that wrote the server file has ended."""
        pid, host = self.plain.get("pid"), self.plain.get("host")
        if not pid or host not in (None, socket.gethostname()):
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it lives, as somebody else
        return False

    @property
    def patience(self) -> float:
        return PATIENCE_SUPERVISED if self.supervised else PATIENCE_EXTERNAL


async def wait_ready(
    asker: Asker, server: Server, deadline: Deadline, *, stopped: Callable[[], bool], tell: Callable
) -> bool:
    """Return True once the judge lists its name, or lists none and is not ours to start;
    False if `stopped` or the deadline comes first.

    Raises JudgeError where waiting is of no use.
    """
    since = time.monotonic()
    unwell_since: float | None = None
    poll, told = POLL, False
    while not stopped() and not deadline.is_draining():
        if server.is_gone():
            raise JudgeError(f"the judge server of this batch has ended; its log: {server.log}")
        try:
            listed = await asker.models()
        except Failure as failure:
            if failure.kind in ("unlisted", "throttled") and not server.supervised:
                tell(f"warning: {failure.message}; asking the judge all the same")
                return True
            if failure.kind in ("unlisted", "fatal"):
                raise JudgeError(f"the judge cannot be asked: {failure.message}") from failure
            loading = failure.kind == "starting" or (
                server.supervised and failure.kind == "connection"
            )
            now = time.monotonic()
            unwell_since = None if loading else (unwell_since or now)
            if unwell_since and now - unwell_since > server.patience:
                raise JudgeError(
                    f"the judge at {asker.where} is not well for {now - unwell_since:.0f} s: "
                    f"{failure.message}"
                ) from failure
            if not told and now - since > 2 * POLL:
                tell(f"waiting for the judge: {failure.message}")
                told = True
        else:
            _check_name(server, listed, tell)
            return True
        await asyncio.sleep(poll * random.uniform(0.8, 1.2))
        poll = min(SLOWEST_POLL, poll * 1.5)
    return False


def _check_name(server: Server, listed: list[str], tell: Callable) -> None:
    if server.judge in listed:
        return
    known = ", ".join(listed[:5]) or "nothing"
    hint = did_you_mean(server.judge, listed)
    message = f"the server serves {known}, not the judge {server.judge!r}{hint}"
    if server.supervised:
        raise JudgeError(
            f"{message}. Is it another job's server, or is --served-model-name missing?"
        )
    tell(f"warning: {message}; asking it all the same, since some providers list aliases only")
