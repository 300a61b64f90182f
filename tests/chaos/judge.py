"""The tests' judge for chaos runs: it writes down each call as it comes in, and its process number.

That judge's own log has a line for each call that has ended; a call that was in flight when
the judge was killed is only in ours. Options of ours: `--calls FILE` (time and prompt of each),
`--lives FILE` (time and process number of each start), `--plan FILE` (JSON: prompt -> [kind, value]
of the fault that strikes its first call).
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import judge
from tests.faults import Fault, Faults, message_digest


def option(name: str) -> Path:
    at = sys.argv.index(name)
    value = sys.argv[at + 1]
    del sys.argv[at : at + 2]
    return Path(value)


CALLS, LIVES, PLAN = option("--calls"), option("--lives"), option("--plan")


def write_down(path: Path, what: str) -> None:
    with path.open("a") as file:
        file.write(f"{time.time()} {what}\n")


class Planned(Faults):
    """Strikes the first call of the prompts of a plan, then what the texts' own markers say."""

    plan: dict[str, list] = json.loads(PLAN.read_text())

    def _marked(self, digest: str, text: str) -> Fault | None:
        kind, value = self.plan.get(digest, (None, None))
        if kind and not self._struck[digest, kind]:
            return Fault(kind, value)
        return super()._marked(digest, text)


class Counted(judge.Judge):
    """Logs every call before anything can happen to it."""

    async def play(
        self, request: web.Request, asked: dict[str, Any], prompt: str, user: str
    ) -> web.StreamResponse:
        write_down(CALLS, message_digest(asked["messages"]))
        return await super().play(request, asked, prompt, user)


write_down(LIVES, str(os.getpid()))
judge.main(Counted, Planned)
