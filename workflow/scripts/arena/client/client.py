"""Sends the open requests of a batch: retries what may pass, stops at what does not.

The order is the order of the questions, with all models of the batch together and both games of a
question in flight at once, so that the server computes what these prompts share only once.
"""

import asyncio
import contextlib
import heapq
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from arena.client.asker import Asker
from arena.client.deadline import Deadline
from arena.client.pace import AdaptiveLimit, Breaker, delay
from arena.data.games import Game
from arena.journals.batch_games import BatchGames, Prompt
from arena.journals.journal import NO_TOKENS, Outcome, record_of
from arena.support.errors import BudgetSpent, JobEnds, JournalError, JudgeError, OpenGames
from arena.support.http import Failure
from arena.support.humanize import shorten

TRIES = 6  # failures of one request, about a minute with back-off; then the batch may end without
LONGEST_TRIAL = 8.0  # s between trials of a failing server: so long it may be idle once it works
SYNC_EVERY = 30.0  # s of replies that may be lost if the whole node dies
POLL = 0.2  # s between checks whether to stop waiting for the server
TEST_QUESTION = "What is 1 + 1?"  # see `Client._test`
PARALLEL = 64  # open requests, if neither user nor server says; vLLM runs up to 256 at once


@dataclass(slots=True)
class Counts:
    """Of this attempt, for the summary in the log."""

    calls: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    again: int = 0  # asked again because there was no verdict
    usage: Counter[str] = field(default_factory=lambda: Counter(NO_TOKENS))

    def text(self, seconds: float) -> str:
        """`10 calls in 2.5 s (failed: timeout 1); tokens: 70 prompt (0 cached), 30 completion`."""
        failed = ", ".join(f"{kind} {number}" for kind, number in self.failed.most_common())
        return (
            f"{self.calls} calls in {seconds:.1f} s{f' (failed: {failed})' if failed else ''}"
            f"{f', {self.again} asked again (no verdict)' if self.again else ''}; tokens: "
            f"{self.usage['prompt']} prompt ({self.usage['cached']} cached), "
            f"{self.usage['completion']} completion"
        )


class Server(Protocol):
    """A server as the client sees it. patience: s without a reply, while it looks healthy, after
    which the batch ends. parallel: requests to keep open, None if that is unknown.
    """

    patience: float

    @property
    def parallel(self) -> int | None: ...

    async def ready(self) -> None:
        """Return when requests can be sent; JudgeError if waiting is useless."""


class Client:
    """Writes replies into journals; `run` returns when every request has ended, or raises."""

    def __init__(
        self,
        games: BatchGames,
        asker: Asker,
        *,
        deadline: Deadline,
        server: Server | None = None,
        parallel: int | None = None,
        exceeded: Callable[[], str | None] = lambda: None,
        lost: Callable[[], str | None] = lambda: None,
        log: Callable[[str], None] = lambda _: None,
        tick: Callable[[], None] = lambda: None,
        no_verdict_limit: int = 0,
    ):
        """server: the one behind the asker, if this batch starts it. parallel: requests to keep
        open; None: as many as the server says it can run.

        exceeded: why no more may be sent (budget), or None. lost: why no more may be written
        (another process took a lock), or None. log: writes a line. tick: called once a second.
        no_verdict_limit: replies without any verdict after which the batch stops; 0: never.
        """
        self._games = games
        self._settings, self._stage = games.settings, games.settings.stage
        self._asker, self._deadline = asker, deadline
        self._server: Server = server or asker
        self._no_verdict_limit = no_verdict_limit
        self._exceeded, self._lost = exceeded, lost
        self._log, self._tick = log, tick
        self._limit = AdaptiveLimit(lambda: parallel or self._server.parallel or PARALLEL)
        self.breaker = Breaker(self._server.patience)
        self._trial: asyncio.Task | None = None  # the last request that the open circuit let pass
        self._ready = [(prompt.order, prompt) for prompt in games.prompts]  # in order, so a heap
        self._later: list[tuple[float, tuple, Prompt]] = []  # a heap: not before a time, order
        known = [one for journal in games.journals.values() for one in journal.records.values()]
        answered = any(record.attempts and record.answer is not None for record in known)
        self._answered = answered  # the server has replied under these settings
        self._probing = not answered  # a first request is sent alone
        self._accepted: dict[int, float] = {}  # by address: when its last good request was sent
        self._testing = asyncio.Lock()
        self._has_verdict = any(record.label for record in known)
        self._without = 0  # replies, while no reply has had a verdict
        self.tasks: set[asyncio.Task] = set()  # requests in flight
        self._stop: Exception | None = None
        self._drain_reason: str | None = None
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.counts = Counts()

    async def run(self) -> None:
        """Send all prompts of the batch.

        Raises an ArenaError if requests stay open; all replies so far are in the journals.
        """
        ticker = asyncio.create_task(self._every_second())
        ticker.add_done_callback(self._ended)
        try:
            if await self._wait_for_server():
                await self._dispatch()
            elif not self._stop and not self._exceeded():
                late = f"the job ends before the {self._stage.server} is ready"
                self._drain_reason = f"{late}; raise walltime.start_minutes"
        finally:
            ticker.cancel()
            for task in self.tasks:  # requests that are cancelled write nothing
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
        if not isinstance(self._stop, JournalError):
            self._games.settle_rest()
        if self._stop:
            raise self._stop
        if self._games.played() < self._games.total():
            raise self._left_open()

    def stop(self, why: Exception) -> None:
        """Send no more and leave; the first cause counts."""
        self._stop = self._stop or why
        self._wake.set()

    def interrupt(self, why: Exception) -> None:
        """As `stop`, but replaces any other cause. Safe to call from a signal handler."""
        self._stop = why
        self._loop.call_soon_threadsafe(self._wake.set)

    async def _wait_for_server(self) -> bool:
        """Whether it is ready; False once waiting is useless."""
        waiting = asyncio.create_task(self._server.ready())
        try:
            while not waiting.done():
                if self._stop or await self._must_drain():
                    return False
                await asyncio.wait({waiting}, timeout=POLL)
            waiting.result()
            return True
        except JudgeError as error:
            self.stop(error)
            return False
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _dispatch(self) -> None:
        """Send requests as slots become free, until nothing is left or a cause to stop."""
        while not self._stop:
            if not (self._ready or self._later or self.tasks):
                return
            if await self._must_drain():
                sent = f"no more are sent, {len(self.tasks)} open requests may finish"
                self._log(f"{self._drain_reason}: {sent}")
                while self.tasks and not self._stop and not self._deadline.is_over():
                    await self._pause(time.monotonic())
                return
            now, is_open = time.monotonic(), self.breaker.is_open
            # A circuit that is open is tried with fresh requests, and with failed ones at last.
            while self._later and (not self._ready if is_open else self._later[0][0] <= now):
                heapq.heappush(self._ready, heapq.heappop(self._later)[1:])
            if now >= self._limit.hold_until and self._may_send():
                if is_open and not await self._is_healthy():
                    continue  # stopped, or draining
                while self._may_send():
                    self._send(heapq.heappop(self._ready)[1])
            idle = self._later and not self.tasks and not self._ready
            if idle and all(prompt.failures >= TRIES for *_, prompt in self._later):
                return
            await self._pause(now)

    def _may_send(self) -> bool:
        if not self._ready or self._is_draining():
            return False
        if self.breaker.is_open:
            return self._trial is None or self._trial.done()
        return len(self.tasks) < (1 if self._probing else self._limit.limit)

    def _is_draining(self) -> bool:
        """Whether no more may be sent: the end of the job is near, or the budget is used up."""
        self._drain_reason = self._drain_reason or self._exceeded()
        return self._drain_reason is not None or self._deadline.is_draining()

    async def _must_drain(self) -> bool:
        """As `_is_draining`, but near the end of the job Slurm is asked again before, once."""
        if self._is_draining() and self._drain_reason is None:
            if await self._deadline.extended():
                self._log("the job was given more time")
            else:
                self._drain_reason = "the job ends soon"
        return self._drain_reason is not None

    def _send(self, prompt: Prompt) -> None:
        if self._games.is_dropped(prompt):
            return
        task = asyncio.create_task(self._play(prompt))
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        self._trial = task if self.breaker.is_open else None

    def _ended(self, task: asyncio.Task) -> None:
        self.tasks.discard(task)
        self._wake.set()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.stop(error)  # an error that the task does not handle ends the batch

    async def _pause(self, now: float) -> None:
        """Sleep until a request ends or a delay is over, at most a second."""
        due = now + 1.0  # s; how often the deadline is checked when nothing happens
        if self._later:
            due = min(due, self._later[0][0])
        if self._limit.hold_until > now:
            due = min(due, self._limit.hold_until)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), max(due - now, 0.001))
        self._wake.clear()

    async def _play(self, prompt: Prompt) -> None:
        prompt.calls += 1
        self.counts.calls += 1
        begun = time.monotonic()
        try:
            outcome = await self._asker.ask(self._settings.request(prompt.game, prompt.again))
            seconds = time.monotonic() - begun
            self._deadline.observe(seconds)
            self.breaker.replied()
            self._limit.replied()
            if outcome.is_refusal:
                await self._test(prompt.game, outcome)
            else:
                self._answered, self._accepted[outcome.address] = True, begun
        except Failure as failure:
            self._failed(prompt, failure)
            return
        self._probing = False
        self._finish(prompt, outcome, seconds)

    async def _test(self, game: Game, refused: Outcome) -> None:
        """Raise JudgeError if the server refuses everything, not only this game.

        A refusal (HTTP 400 and the like) ends a game for good. So if settings or an account without
        credit may be the cause, a test request of a few words has to be accepted first, by the same
        address, which may have a key and an account of its own. A refusal with a reason is the
        game's own once the server has replied; credit can run out at any time.
        """
        at, body = time.monotonic(), self._settings.request(game)
        test = [*body["messages"][:-1], {"role": "user", "content": TEST_QUESTION}]
        async with self._testing:  # so that one test serves all games that were refused before it
            proven = self._answered and not refused.is_unexplained
            if proven or self._accepted.get(refused.address, 0.0) > at:
                return
            begun = time.monotonic()
            outcome = await self._asker.ask({**body, "messages": test}, refused.address)
        if not outcome.is_refusal:
            self.counts.usage.update(outcome.usage or {})
            self._answered, self._accepted[refused.address] = True, begun
            return
        stage = self._stage
        raise JudgeError(
            f"the {stage.server} refused a request and then a test request of a few words: "
            f"{outcome.reason}. So the {stage.request}s are not the cause, and none is recorded. "
            f"Check {stage.block}.sampling, {stage.block}.max_tokens, the server's settings and "
            "the account"
        )

    def _finish(self, prompt: Prompt, outcome: Outcome, seconds: float) -> None:
        """Write it into the journal; queue it again if it is to be asked again."""
        self._look_for_verdicts(outcome)
        earlier, calls = self._games.record_of(prompt), prompt.calls
        record = record_of(
            prompt.game, outcome, earlier, calls=calls, again=prompt.again, seconds=seconds
        )
        ask_again = record.is_repeatable and prompt.again < self._settings.ask_again.times
        try:
            if lost := self._lost():
                raise JournalError(lost)
            self._games.finish(prompt, record, is_final=not ask_again)
        except JournalError as error:
            self.stop(error)
            return
        self.counts.usage.update(record.usage)
        prompt.calls = 0
        if ask_again:
            prompt.again += 1
            self.counts.again += 1
            heapq.heappush(self._ready, (prompt.order, prompt))

    def _look_for_verdicts(self, outcome: Outcome) -> None:
        """Stop a judge that never gives a verdict before it has used hours."""
        self._has_verdict = self._has_verdict or outcome.label is not None
        if self._has_verdict or not self._no_verdict_limit or outcome.is_refusal:
            return
        self._without += 1
        if self._without >= self._no_verdict_limit:
            text = (
                f"the judge's first {self._without} replies contain no verdict ({outcome.reason}). "
                f"Last reply: {shorten(outcome.answer or '') or 'empty'}. Check judge.patterns, "
                "the prompts and judge.max_tokens; judge.no_verdict_limit sets this number"
            )
            self.stop(JudgeError(text, "no_verdict"))

    def _failed(self, prompt: Prompt, failure: Failure) -> None:
        self.counts.failed[failure.kind] += 1
        wait = 0.0
        if failure.kind == "fatal":
            self.stop(JudgeError(f"the {self._stage.server} rejects requests: {failure.message}"))
        elif failure.kind == "throttled":
            self.breaker.throttled(failure.message)
            self._limit.throttled(failure.retry_after)
            wait = delay(1, failure.retry_after)
        else:
            gone = failure.kind == "connection"
            self.breaker.failed(prompt.game.digest, failure.message, unreachable=gone)
            if not gone:
                prompt.failures += 1
                wait = delay(prompt.failures, failure.retry_after)
            if self.breaker.is_open:
                self._limit.hold(min(LONGEST_TRIAL, delay(self.breaker.trials)))
        heapq.heappush(self._later, (time.monotonic() + wait, prompt.order, prompt))

    async def _is_healthy(self) -> bool:
        """The circuit is open: wait until the server looks healthy; then one request is sent."""
        begun = time.monotonic()
        if not await self._wait_for_server():
            return False
        self.breaker.excuse(time.monotonic() - begun)
        if cause := self.breaker.cause:
            self.stop(JudgeError(f"the {self._asker} looks healthy, but: {cause}", "judge_died"))
        return not cause

    async def _every_second(self) -> None:
        synced = time.monotonic()
        while True:
            await asyncio.sleep(1)
            if (cause := self.breaker.cause) and not self.breaker.is_open:
                self.stop(JudgeError(f"the {self._asker}: {cause}", "judge_died"))
            if time.monotonic() - synced > SYNC_EVERY:
                await asyncio.to_thread(self._games.sync)
                synced = time.monotonic()
            self._tick()

    def _left_open(self) -> OpenGames:
        failed = ", ".join(f"{number} {kind}" for kind, number in self.counts.failed.most_common())
        last = f" (failures: {failed}; the last: {self.breaker.last})" if failed else ""
        spent = self._exceeded()
        kind = BudgetSpent if spent else JobEnds if self._drain_reason else OpenGames
        why = spent or self._drain_reason or f"the {self._stage.server} did not reply to them"
        left = self._stage.are_open(self._games.total() - self._games.played())
        return kind(
            f"{left}: {why}{last}. The next {'run' if spent else 'attempt'} asks only these"
        )
