"""Who answers on the judge's port while the judge is not there.

A free port of the loopback is taken at once and kept. Until the judge is launched, and again after
it has been given up, every request gets a 503 with the reason as `error.type` (judge_starting,
judge_failed, judge_stopped) and in words. The first request with the job's key is what launches
it.
"""

import asyncio
import hmac
import socket
import sys

from arena.support.web import Reply, Request, error, serve

HOST = "127.0.0.1"


class WaitingRoom:
    """Holds a port; answers on it between `open` and `close`."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.asked = asyncio.Event()  # somebody with the key has come
        self.state = ("judge_starting", "the judge is launched at the first request")
        self._hold = _bound(0)
        self.port: int = self._hold.getsockname()[1]
        self._server: asyncio.Server | None = None
        if not sys.platform.startswith("linux"):
            # Elsewhere a bound socket keeps the judge itself out.
            self._hold.close()

    async def open(self) -> None:
        self._server = await serve(self._answer, HOST, self.port, socket=_bound(self.port))

    async def close(self) -> None:
        """Leave the port to the judge. On Linux nobody else gets it from the system meanwhile."""
        if self._server:
            self._server.close()
            self._server = None

    async def _answer(self, request: Request) -> Reply:
        given = request.bearer or ""
        if not hmac.compare_digest(given.encode(), self.key.encode()):
            return error(401, "invalid_api_key", "this server belongs to another job")
        self.asked.set()
        kind, message = self.state
        reply = error(503, kind, message)
        # Closed, so that the client's next request reaches the judge and not this process.
        return Reply(reply.status, reply.content, {"Connection": "close"})


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # With these a port that is bound but not listened on can be bound by the judge.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound
