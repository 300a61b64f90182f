"""How much of a judge server one client may use: its share of the requests open at a time."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.playing.siblings import Siblings
from arena.support.errors import JudgeError

PARALLEL = 64  # requests in all, where neither user nor server says; vLLM runs up to 256 at once
LOOK = 5.0  # s between two looks at the siblings: ten clients read nine small files each


def read_server(path: Path) -> dict[str, Any]:
    """The server file; JudgeError where it is gone, or emptied, as it is when its server ends."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise JudgeError(
            f"{path}: the judge server of this batch is gone, or was never there"
        ) from None


def capacity(judge: Mapping[str, Any], server: Mapping[str, Any]) -> tuple[int, bool]:
    """Requests open in all, and whether each says its priority: by the user, else by the server.

    judge: of the batch file. server: content of the server file.
    """
    stated = server.get("capacity") or {}
    parallel = judge.get("parallel") or stated.get("parallel") or PARALLEL
    wanted = judge.get("priority")
    return int(parallel), bool(stated.get("priority") if wanted is None else wanted)


class Share:
    """Our part of the capacity: of the models of the batch that still play, at least one request.

    What the siblings leave when they end is shared by those that go on.
    """

    def __init__(
        self, judge: Mapping[str, Any], server: Mapping[str, Any], models: int, siblings: Siblings
    ):
        self._judge = judge
        self._siblings = siblings
        self._players = max(1, models)
        self._total, self.priority = capacity(judge, server)
        self._due = time.monotonic() + LOOK

    def refresh(self, server_file: Path) -> None:
        """The judge is ready: its server file says now what it can really run."""
        self._total, self.priority = capacity(self._judge, read_server(server_file))

    def __call__(self) -> int:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + LOOK
            self._players = 1 + len(self._siblings.playing())
        return max(1, self._total // self._players)
