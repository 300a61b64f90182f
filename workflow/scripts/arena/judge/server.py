"""A server on this node: launched when it is needed, monitored, restarted, stopped.

Its output goes into server.log, its restarts into the record of the attempt. It never outlives our
process: see `arena.judge.keeper` and docs/judge-server.md.
"""

import asyncio
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from arena.data.layout import JUDGMENTS, Stage
from arena.journals.batches import AttemptLog
from arena.judge.causes import NODE, PASSING, Died, explain
from arena.judge.health import Health, Progress
from arena.judge.process import Process, ServerLog, environment
from arena.setup.judge_command import HOST, parallel_of, script_of, slots_of
from arena.support.errors import JudgeError
from arena.support.http import Failure
from arena.support.processes import adopt_orphans

SHOWN = 15  # lines of the log that an error message repeats
STILL = 10.0  # s that a health check takes beyond its own limits: the job was suspended


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds, and the number of restarts."""

    restarts: int = 3  # of a server that was ready once; max_restarts in the config
    start: float = 1800.0  # a 70B from a busy file system took 20 minutes; ready_minutes
    grace: float = 8.0  # from SIGTERM to SIGKILL; Slurm allows 30 in all
    look: float = 5.0  # between two health checks
    hang: float = 60.0  # without a reply of /health; under load, vLLM was late by seconds
    engine: float = 30.0  # between two checks of the engine
    stuck: float = 300.0  # requests run, but no tokens; a prefill of 100,000 tokens takes seconds
    backoff: float = 5.0  # before the second restart; doubles, at most twelve times as long


class LocalJudge:
    """The server of a batch, of kind vllm or demo, also for answers. Starts nothing until `start`.

    judge: `BatchPlan.judge`. gpus: of this job. log: for its output, without the key. state: "not
    needed", "starting", "ready", "restarting" or "ended". Raises ConfigError for a wrong `command`.
    """

    patience = 120.0  # s without a reply while it looks healthy: the health checks need some time

    def __init__(
        self,
        judge: Mapping[str, Any],
        *,
        gpus: int,
        log: Path,
        attempt: AttemptLog,
        limits: Limits = Limits(),
        stage: Stage = JUDGMENTS,
    ) -> None:
        restarts, minutes = judge.get("max_restarts"), judge.get("ready_minutes")
        self.limits = replace(
            limits,
            restarts=limits.restarts if restarts is None else restarts,
            start=limits.start if minutes is None else 60 * minutes,
        )
        self._hold, port = _free_port()
        self._script = script_of(judge, port, max(1, gpus), block=stage.block)
        self.url = f"http://{HOST}:{port}/v1"
        self.key = secrets.token_urlsafe(32)
        self.state = "not needed"
        self.parallel = parallel_of(slots_of(judge))
        self.gave_up: JudgeError | None = None
        self._judge, self._attempt, self._stage = judge, attempt, stage
        self._name = f"{stage.server} {judge['name']}"
        self._log = ServerLog(log, self.key)
        self._health = Health(self.url, self.key, judge["name"], limits.hang)
        self._process: Process | None = None
        self._serving: asyncio.Task | None = None
        self._changed = asyncio.Event()  # wakes those who wait in `ready`

    def start(self) -> None:
        """Launch, monitor and restart it in the background. To be called once."""
        adopt_orphans()
        self._set("starting")
        self._serving = asyncio.create_task(self._serve())

    async def ready(self) -> None:
        """Start it if needed, and wait until it accepts requests, also during a restart.

        Raises JudgeError once it has failed for good, with the cause and the end of its log. Its
        kind is judge_start, judge_here or judge_died.
        """
        if self.state == "not needed":
            self.start()
        while self.state != "ready":
            if self.gave_up:
                raise JudgeError(str(self.gave_up), self.gave_up.kind)
            await self._changed.wait()

    async def end(self) -> None:
        """Stop it with all its processes, within seconds. May be called at any time, and again."""
        if self._serving:
            self._serving.cancel()
            await asyncio.wait({self._serving})
        if self._process:
            self._log.add("stopping")
            await self._process.end()
            self._process = None
        self._set("ended")
        self._hold.close()
        await self._health.http.close()
        self._log.close()

    def _set(self, state: str) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self) -> None:
        try:
            await self._serve_until_given_up()
        except JudgeError as given_up:
            self.gave_up = given_up
        except Exception as error:  # a bug must not leave the requests waiting
            self.gave_up = JudgeError(f"{self._name} cannot be monitored: {error!r}", "error")
            raise
        finally:
            if self.gave_up:
                self._log.add(f"given up: {str(self.gave_up).splitlines()[0]}")
                self._set("ended")

    async def _serve_until_given_up(self) -> NoReturn:
        self._attempt.launched()
        restarts, first = 0, True
        while True:
            try:
                process = await self._launch()
                if first:
                    self._attempt.note(ready=time.time())
                    if tokens := await self._health.cache_tokens():
                        self.parallel = parallel_of(slots_of(self._judge), tokens)
                        self._log.add(f"cache of {tokens} tokens: {self.parallel} requests open")
                first = False
                self._log.add(f"{self._judge['name']} is ready")
                self._set("ready")
                await self._watch(process)
            except Died as died:
                cause = died
            self._set("starting" if first else "restarting")
            left = await self._process.end() if self._process else []
            message = f"{self._name} {'did not start' if first else 'died'}: {cause.text}"
            if tail := list(self._log.tail)[-SHOWN:]:
                message += "\n  ".join([f"\nEnd of its log, {self._log.path}:", *tail])
            self._log.add(message)
            # A start that failed for a transient cause gets one retry.
            hopeless = restarts > 0 or cause.kind not in PASSING
            last = hopeless if first else restarts >= self.limits.restarts
            if left:
                message += f"\n(not restarted: its processes {left} do not end)"
            elif last and not first:
                message += f"\n(given up after {restarts} restarts)"
            if left or last:
                start = "judge_here" if cause.kind in NODE | PASSING else "judge_start"
                raise JudgeError(message, start if first else "judge_died")
            if restarts:
                await asyncio.sleep(self.limits.backoff * min(2 ** (restarts - 1), 12))
            restarts += 1
            former = self._attempt.attempt.restarts
            self._attempt.note(restarts=(*former, {"cause": cause.text}))
            self._log.add(f"restart {restarts} of at most {self.limits.restarts}")

    async def _launch(self) -> Process:
        """Launch the server and wait until it is ready. Raises Died."""
        self._log.add(f"launching {self._judge['name']}")
        env = environment(self._judge, self.key)
        record, grace = self._attempt.path, self.limits.grace
        self._process = process = await Process.launch(self._script, env, self._log, record, grace)
        deadline = time.monotonic() + self.limits.start
        while True:
            if time.monotonic() > deadline:
                text = f"not ready after {self.limits.start / 60:g} minutes: raise "
                text += f"{self._stage.block}.ready_minutes, or check the log for errors"
                raise Died(text)
            await self._raise_if_ended(process, within=0.1)
            if await self._health.ready():
                return process

    async def _raise_if_ended(self, process: Process, within: float) -> None:
        if (status := await process.ended(within)) is not None:
            raise explain(status, list(self._log.tail), self._stage)

    async def _watch(self, process: Process) -> NoReturn:
        """Check the health; raises Died when the server has died, hangs, or its engine has."""
        engine = asyncio.create_task(self._watch_engine())
        answered, sick = time.monotonic(), 0
        try:
            while True:
                begun = time.monotonic()
                await self._raise_if_ended(process, within=self.limits.look)
                if engine.done():
                    engine.result()
                try:
                    symptom = await self._health.sick()
                    answered, sick = time.monotonic(), sick + 1 if symptom else 0
                    if sick == 3:  # a single 500 may be transient
                        raise Died(f"its engine is dead: {symptom}")
                except Failure as silent:
                    longest = self.limits.look + 2 * self._health.timeout  # of both its calls
                    if time.monotonic() - begun > longest + STILL:
                        answered = time.monotonic()
                    if time.monotonic() - answered > self.limits.hang:
                        raise Died(f"it hangs: no reply for {self.limits.hang:g} s") from silent
        finally:
            engine.cancel()
            await asyncio.wait({engine})

    async def _watch_engine(self) -> NoReturn:
        """As `_watch`, for an engine that is dead or stuck behind an API that looks healthy."""
        known: Progress | None = None  # the last figures; under load not every call gets them
        moved, bad = time.monotonic(), 0
        while True:
            await asyncio.sleep(self.limits.engine if not bad else self.limits.look)
            before, seen = known, await self._health.progress()
            known = seen or before
            if before and seen and seen.tokens > before.tokens:
                moved, bad = time.monotonic(), 0
                continue
            if seen and not seen.running:
                moved = time.monotonic()
            elif seen:
                if time.monotonic() - moved > self.limits.stuck:
                    raise Died(f"its engine is stuck: no token for {self.limits.stuck:g} s")
                continue  # busy: another call would have to wait too
            try:
                symptom = await self._health.one_token()
            except Failure:
                continue
            bad = bad + 1 if symptom else 0
            if bad == 3:
                raise Died(f"its engine is dead: {symptom}")


def _free_port() -> tuple[socket.socket, int]:
    """A socket that reserves a free port of the loopback until it is closed, and the port."""
    hold = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # With these options, the server can bind the port while our socket does not listen.
    hold.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    hold.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    hold.bind((HOST, 0))
    port = hold.getsockname()[1]
    if not sys.platform.startswith("linux"):
        hold.close()  # elsewhere a bound socket would block the server itself
    return hold, port
