"""The supervisor of a judge server: launches it when it is needed, restarts it, ends it, says why.

Its life: take a port, write the server file, wait for the first request, launch, wait until ready,
watch. What ends it is SIGTERM, or the end of the process that started it. See
docs/judge-server.md.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.playing.deadline import job_end
from arena.serving.causes import Cause, explain
from arena.serving.health_check import REPLY_SECONDS, Judge, Progress
from arena.serving.judge_process import Process, say, stop_asked
from arena.serving.server_records import (
    BatchRecord,
    FailedStart,
    is_gone,
    now,
    retire,
    why_stopped,
)
from arena.serving.waiting_room import HOST, WaitingRoom
from arena.support.errors import JudgeError
from arena.support.processes import adopt_orphans

SHOWN = 15  # of these, lines that an error message repeats


@dataclass(frozen=True)
class Limits:
    """How patient the supervisor is. Seconds, but for the first."""

    restarts: int = 3  # of a judge that has been ready once
    start: float = 1800.0  # a 70B from a busy parallel file system took up to 20 minutes
    grace: float = 8.0  # from SIGTERM to SIGKILL; Slurm allows 30 in all
    look: float = 5.0  # between two looks at its health
    hang: float = (
        60.0  # without an answer from /health; vLLM under load was late by seconds, not more
    )
    engine: float = 30.0  # between two looks at the engine
    stuck: float = 300.0  # games run and no token moves; a prefill of 100,000 tokens takes seconds
    backoff: float = 5.0  # before the second restart; doubles
    parent: float = 2.0  # between two looks whether our own parent is there


class Died(Exception):
    """The judge is not there any more, or not alive. The cause stands in `cause`."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.text)
        self.cause = cause


class Supervisor:
    """One judge server for one batch.

    Parameters
    ----------
    judge
        `judge` of the batch file.
    script
        Port -> the lines that bash runs.
    env
        Environment of the judge, with the key.
    """

    def __init__(
        self,
        judge: Mapping[str, Any],
        key: str,
        script: Callable[[int], str],
        env: Mapping[str, str],
        server_file: Path,
        record: BatchRecord,
        failed: FailedStart,
        priority: bool = False,
        limits: Limits = Limits(),
    ) -> None:
        self.name, self.key = judge["name"], key
        self.script, self.env = script, env
        self.server_file, self.record, self.failed = server_file, record, failed
        self.limits, self.priority = limits, priority
        self.room = WaitingRoom(key)
        self.judge = Judge(
            f"http://{HOST}:{self.room.port}/v1", key, self.name, min(REPLY_SECONDS, limits.hang)
        )
        self.process: Process | None = None
        self.gave_up: str | None = None
        self._announced = False

    async def run(self, announce: Callable[[str, int | None], None]) -> int:
        """Live until told to stop; the exit status.

        `announce` writes the server file, given the judge's URL and, once it is known, how many
        tokens its cache holds.
        """
        adopt_orphans()
        stop = asyncio.create_task(stop_asked(self.limits.parent, self._given_up))
        serve = asyncio.create_task(self._serve(announce))
        end = asyncio.create_task(asyncio.to_thread(job_end))  # a busy Slurm takes its time
        try:
            await asyncio.wait({stop, serve}, return_when=asyncio.FIRST_COMPLETED)
            if serve.done():
                serve.result()  # it only ends by an error
            known = end.result() if end.done() else None
            cause = stop.result() or await asyncio.to_thread(why_stopped, known)
            say(f"stopping: {cause or 'all is done'}")
            self.record.ended(cause)
        except Exception as error:
            self.record.ended(f"error of the supervisor: {error}")
            raise
        finally:
            retire(self.server_file)
            stop.cancel()
            serve.cancel()
            await asyncio.wait({serve})
            await self.room.close()
            if self.process:
                await self.process.end()
        return 1 if self.gave_up else 0

    async def _serve(self, announce: Callable[[str, int | None], None]) -> None:
        await self.room.open()
        announce(self.judge.url, None)
        self._announced = True
        if remembered := self.failed.read():
            await self._give_up(f"not tried again in this run: {remembered}")
        await self.room.asked.wait()
        self.record.note(launched=now())
        restarts, first, sized = 0, True, False
        while True:
            try:
                await self.room.close()
                await self._start()
                self.record.note(ready=self.record.entry["ready"] or now())
                if not sized and (tokens := await self.judge.cache_tokens()):
                    announce(self.judge.url, tokens)
                    sized = True
                say(f"{self.name} is ready")
                first = False
                await self._watch()
            except Died as died:
                cause = died.cause
            first = first and self.judge.well_since is None  # one that was well has started
            left = await self.process.end()
            message = self._message(cause, first)
            say(message)
            if first and (restarts or not cause.passes):  # what passes is tried once more
                if not cause.local:
                    self.failed.write(cause.text, self.record)
                await self._give_up(message)
            if left:
                await self._give_up(f"{message}\n(not restarted: its processes {left} do not end)")
            if restarts == self.limits.restarts:
                await self._give_up(f"{message}\n(given up after {restarts} restarts)")
            if restarts:
                await asyncio.sleep(self.limits.backoff * 2 ** (restarts - 1))
            restarts += 1
            self.record.restarted(cause.text)
            say(f"restart {restarts} of at most {self.limits.restarts}")

    def _given_up(self) -> bool:
        return self._announced and is_gone(self.server_file)

    async def _start(self) -> None:
        """Launch the judge and wait until it is ready; Died if it will not be."""
        say(f"launching {self.name}")
        self.judge.well_since = None
        self.process = await Process.launch(
            self.script(self.room.port),
            self.env,
            self.key,
            self.record.path,
            self.server_file,
            self.limits.grace,
        )
        deadline = time.monotonic() + self.limits.start
        while True:
            if time.monotonic() > deadline:
                waited = f"{self.limits.start / 60:g} minutes"
                raise Died(
                    Cause(f"not ready after {waited}: raise judge.ready_minutes, or see the log")
                )
            # Clients find it ready as soon as we do, so a game may kill it before we know: look
            # often. A refused connection costs 0.2 ms.
            if (status := await self.process.ended(within=0.1)) is not None:
                raise Died(explain(status, self.process.tail))
            well = self.judge.well_since
            if well and time.monotonic() - well > self.limits.hang:
                raise Died(Cause(f"it hangs: no answer for {self.limits.hang:g} s"))
            try:
                if await self.judge.ready():
                    return
            except JudgeError as wrong:
                raise Died(Cause(str(wrong))) from wrong

    async def _watch(self) -> None:
        """Returns never; raises Died when the judge has died, hangs, or has lost its engine."""
        engine = asyncio.create_task(self._watch_engine())
        answered, sick = time.monotonic(), 0
        try:
            while True:
                if (status := await self.process.ended(within=self.limits.look)) is not None:
                    raise Died(explain(status, self.process.tail))
                if engine.done():
                    engine.result()
                try:
                    symptom = await self.judge.sick()
                    answered, sick = time.monotonic(), sick + 1 if symptom else 0
                    if sick == 3:  # one 500 may be a hiccup
                        raise Died(Cause(f"its engine is dead: {symptom}"))
                except OSError as silent:
                    if time.monotonic() - answered > self.limits.hang:
                        cause = f"it hangs: no answer for {self.limits.hang:g} s"
                        raise Died(Cause(cause)) from silent
        finally:
            engine.cancel()
            await asyncio.wait({engine})

    async def _watch_engine(self) -> None:
        """As `_watch`, for an engine that is dead or stuck behind an API that looks well."""
        before, moved, bad = None, time.monotonic(), 0
        while True:
            await asyncio.sleep(self.limits.engine if not bad else self.limits.look)
            seen = await self.judge.progress()
            if advanced(before, seen):
                before, moved, bad = seen, time.monotonic(), 0
                continue
            before = seen
            if seen and not seen.running:
                moved = time.monotonic()
            elif seen:
                if time.monotonic() - moved > self.limits.stuck:
                    raise Died(Cause(f"its engine is stuck: no token for {self.limits.stuck:g} s"))
                continue  # busy: a call more would wait like the others
            try:
                symptom = await self.judge.one_token(first=self.priority)
            except OSError:
                continue
            bad = bad + 1 if symptom else 0
            if bad == 3:
                raise Died(Cause(f"its engine is dead: {symptom}"))

    def _message(self, cause: Cause, first: bool) -> str:
        what = "did not start" if first else "died"
        lines = [f"judge {self.name} {what}: {cause.text}"]
        if tail := self.process.tail[-SHOWN:]:
            lines += [
                f"End of its log, {self.record.entry['server_log']}:",
                *("  " + t for t in tail),
            ]
        return "\n".join(lines)

    async def _give_up(self, message: str) -> None:
        """Answer every request with the cause, until we are stopped."""
        self.gave_up = message
        self.record.ended(message.split("\n")[0])
        self.room.state = ("judge_failed", message)
        await self.room.open()
        say(f"given up: {message.splitlines()[0]}")
        await asyncio.Event().wait()


def advanced(before: Progress | None, seen: Progress | None) -> bool:
    """Whether tokens have moved between two looks."""
    return bool(before and seen and seen.tokens > before.tokens)
