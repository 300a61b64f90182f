"""The tests' judge for chaos runs: it writes down each call as it comes in, and its process number.

That judge's own log has a line for each call that has ended; a call that was in flight when
the judge was killed is only in ours. Files of ours, in the run's folder: calls (time and prompt of
each), lives (time and process number of each start), faults.json (prompt -> [kind, value] of the
fault that strikes its first call), due.json (calls after which something is killed, whether while
answers are made, and the files that are there when they are).
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import judge
from tests.chaos import known
from tests.faults import Fault, Faults

RUN = Path(os.environ["CHAOS_RUN"])


def write_down(name: str, what: str) -> None:
    with (RUN / name).open("a") as file:
        file.write(f"{time.time()} {what}\n")


class Planned(Faults):
    """Strikes the first call of the prompts of a plan, then what the texts' own markers say."""

    plan: dict[str, list] = json.loads((RUN / "faults.json").read_text())

    def _marked(self, digest: str, text: str) -> Fault | None:
        kind, value = self.plan.get(digest, (None, None))
        if kind and not self._struck[digest, kind]:
            return Fault(kind, value)
        return super()._marked(digest, text)


class Counted(judge.Judge):
    """Logs every call before anything can happen to it, and replies to none while a kill is due:
    else the run may be over before it comes."""

    async def play(
        self, request: web.Request, asked: dict[str, Any], prompt: str, user: str
    ) -> web.StreamResponse:
        write_down("calls", self.digest(asked))
        while asked.get("user") != "supervisor" and self._kill_is_due():
            await asyncio.sleep(0.02)
        return await super().play(request, asked, prompt, user)

    def _kill_is_due(self) -> bool:
        step, early, made = json.loads((RUN / "due.json").read_text())
        answering = not all(Path(path).exists() for path in made)
        return early == answering and (RUN / "calls").read_bytes().count(b"\n") > step

    def text(self, asked: dict[str, Any], user: str) -> str:
        """A writer's answers are known beforehand, and hold what shapes their verdicts."""
        if self.writes and asked["model"] in known.MODELS:
            return known.answer(asked["model"], user)
        return super().text(asked, user)


write_down("lives", str(os.getpid()))
judge.main(Counted, Planned)
