"""How much of a judge server one client may use: its share of the requests open at a time."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from arena.client.siblings import Siblings
from arena.support.errors import JudgeError

PARALLEL = 64  # requests in all, where neither user nor server says; vLLM runs up to 256 at once
NO_KEYS = (None, "", "EMPTY")  # what stands where a server asks for none
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

    What does not divide goes to the first of them, so that no slot of the judge stands empty for
    it; what siblings leave when they end is shared by those that go on.
    """

    def __init__(
        self,
        judge: Mapping[str, Any],
        server_file: Path,
        models: Sequence[str],
        model: str,
        siblings: Siblings,
    ):
        """models: of the batch, in its order. model: ours."""
        self._judge = judge
        self._file = server_file
        self._models = models
        self._model = model
        self._siblings = siblings
        self._players = list(models)
        self._due = time.monotonic() + LOOK
        self.refresh()

    def refresh(self) -> None:
        """Read what the server can run, which it knows once the judge is ready."""
        self._total, self.priority = capacity(self._judge, read_server(self._file))

    def __call__(self) -> int:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + LOOK
            with suppress(JudgeError):  # its end is noticed where it matters: no reply comes
                self.refresh()  # a client may find the judge ready before the file says its size
            playing = {self._model, *self._siblings.playing()}
            self._players = [model for model in self._models if model in playing]
        each, rest = divmod(self._total, len(self._players))
        return max(1, each + (self._players.index(self._model) < rest))
