"""Sends the open requests of a batch: retries what may pass, stops at what does not.

The order is the order of the questions, with all models of the batch together and both games of a
question in flight at once, so that the server computes what these prompts share only once.
"""

import asyncio
import contextlib
import heapq
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from arena.client.adaptive_limit import AdaptiveLimit, delay
from arena.client.asker import Asker
from arena.client.breaker import Breaker
from arena.client.deadline import Deadline
from arena.client.ready import Server
from arena.client.refusals import Refusals
from arena.client.replies import Failure, shorten
from arena.journals.batch_games import BatchGames, Prompt
from arena.journals.journal import NO_TOKENS, Outcome, record_of
from arena.support.errors import BudgetSpent, JobEnds, JournalError, JudgeError, OpenGames

TRIES = 6  # failures of one request, about a minute with back-off; then the batch may end without
LONGEST_TRIAL = 8.0  # s between trials of a failing server: so long it may be idle once it works
SYNC_EVERY = 30.0  # s of replies that may be lost if the whole node dies
POLL = 0.2  # s between checks whether to stop waiting for the server
PARALLEL = 64  # open requests, if neither user nor server says; vLLM runs up to 256 at once


@dataclass(slots=True)
class Counts:
    """Of this attempt, for the summary in the log."""

    calls: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    again: int = 0  # asked again because there was no verdict
    first: float | None = None  # end of the first request, and of the last; s since 1970
    last: float | None = None
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


class Client:
    """Writes replies into journals; `run` returns when every request has ended, or raises."""

    def __init__(
        self,
        games: BatchGames,
        asker: Asker,
        server: Server,
        *,
        deadline: Deadline,
        parallel: int | None = None,
        exceeded: Callable[[], str | None] = lambda: None,
        lost: Callable[[], str | None] = lambda: None,
        log: Callable[[str], None] = lambda _: None,
        tick: Callable[[], None] = lambda: None,
        no_verdict_limit: int = 0,
    ):
        """parallel: requests to keep open; None: as many as the server says it can run.

        exceeded: why no more may be sent (budget), or None. lost: why no more may be written
        (another process took a lock), or None. log: writes a line. tick: called once a second.
        no_verdict_limit: replies without any verdict after which the batch stops; 0: never.
        """
        self._games = games
        self._settings, self._stage = games.settings, games.settings.stage
        self._asker, self._server, self._deadline = asker, server, deadline
        self._parallel, self._no_verdict_limit = parallel, no_verdict_limit
        self._exceeded, self._lost = exceeded, lost
        self._log, self._tick = log, tick
        self._chance = random.Random()  # unseeded: many jobs must not retry at the same moments
        self._limit = AdaptiveLimit(PARALLEL)
        self._breaker = Breaker(server.patience)
        self._prompts = {prompt.game.digest: prompt for prompt in games.prompts}
        self._ready = [prompt.order for prompt in games.prompts]  # in order, so a heap
        self._later: list[tuple[float, int, int, str]] = []  # a heap: not before a time, order
        known = [one for journal in games.journals.values() for one in journal.records.values()]
        answered = any(record.attempts and record.answer is not None for record in known)
        self._refusals = Refusals(self._settings, answered=answered)
        self._probing = not answered  # a first request is sent alone
        self._has_verdict = any(record.label for record in known)
        self._without = 0  # replies, while no reply has had a verdict
        self._tasks: set[asyncio.Task] = set()
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
                self._set_ceiling()
                await self._dispatch()
            elif not self._stop and not self._exceeded():
                late = f"the job ends before the {self._stage.server} is ready"
                self._drain_reason = f"{late}; raise walltime.start_minutes"
        finally:
            ticker.cancel()
            for task in self._tasks:  # requests that are cancelled write nothing
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if not isinstance(self._stop, JournalError):
            self._games.settle_rest()
        if self._stop:
            raise self._stop
        if self._games.played() < self._games.total():
            raise self._left_open()

    @property
    def open(self) -> int:
        """Requests in flight."""
        return len(self._tasks)

    @property
    def remark(self) -> str:
        """The last failure, which explains a lack of progress."""
        return self._breaker.last

    def stop(self, why: Exception) -> None:
        """Send no more and leave; the first cause counts."""
        self._stop = self._stop or why
        self._wake.set()

    def interrupt(self, why: Exception) -> None:
        """As `stop`, but replaces any other cause. Safe to call from a signal handler."""
        self._stop = why
        self._loop.call_soon_threadsafe(self._wake.set)

    def _set_ceiling(self) -> None:
        self._limit.set_ceiling(self._parallel or self._server.parallel or PARALLEL)

    async def _wait_for_server(self) -> bool:
        """Whether it is ready; False once waiting is useless."""
        waiting = asyncio.create_task(self._server.ready())
        try:
            while not waiting.done():
                if self._stop or self._is_draining():
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
            if control := self._refusals.control(idle=not (self._ready or self._tasks)):
                self._prompts[control.digest] = prompt = Prompt(control, [])
                heapq.heappush(self._ready, prompt.order)
            if not (self._ready or self._later or self._tasks):
                return
            if self._is_draining() and not await self._has_more_time():
                await self._drain()
                return
            if self._breaker.is_open:
                await self._half_open()
                continue
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                heapq.heappush(self._ready, heapq.heappop(self._later)[1:])
            if now >= self._limit.hold_until:
                while self._may_send():
                    digest = heapq.heappop(self._ready)[-1]
                    if not self._games.is_dropped(self._prompts[digest]):
                        self._send(digest)
            if self._only_failing_left():
                return
            await self._pause(now)

    def _may_send(self) -> bool:
        most = 1 if self._probing else self._limit.limit
        if not self._ready or self.open >= most or self._is_draining():
            return False
        next_game = self._prompts[self._ready[0][-1]].game
        return self._refusals.asked is None or self._refusals.asked is next_game

    def _is_draining(self) -> bool:
        """Whether no more may be sent: the end of the job is near, or the budget is used up."""
        self._drain_reason = self._drain_reason or self._exceeded()
        return self._drain_reason is not None or self._deadline.is_draining()

    async def _has_more_time(self) -> bool:
        """Whether Slurm has extended the job since its end was read."""
        if self._drain_reason is None and await self._deadline.extended():
            self._log("the job was given more time")
            return True
        self._drain_reason = self._drain_reason or "the job ends soon"
        return False

    def _send(self, digest: str) -> asyncio.Task:
        task = asyncio.create_task(self._play(self._prompts[digest]))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
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
        game = prompt.game
        body = self._settings.request(game, prompt.again)
        prompt.calls += 1
        self.counts.calls += 1
        begun = time.monotonic()
        try:
            outcome = await self._asker.ask(body, self._refusals.address(game))
        except Failure as failure:
            self._failed(prompt, failure)
            return
        self._probing = False
        seconds = time.monotonic() - begun
        self._deadline.observe(seconds)
        self._breaker.replied()
        self._limit.replied()
        if game is self._refusals.asked:
            if outcome.is_refusal:
                self.stop(JudgeError(self._refusals.why(outcome)))
            else:
                self._refusals.asked = None
                self.counts.usage.update(outcome.usage or {})
        elif self._refusals.may_be_our_fault(outcome):
            self._refusals.hold(game, outcome, seconds)
        else:
            self._finish(prompt, outcome, seconds)
        if not outcome.is_refusal:
            for held in self._refusals.replied(begun, outcome.address):
                self._finish(self._prompts[held.game.digest], held.outcome, held.seconds)

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
        self.counts.last = time.time()
        self.counts.first = self.counts.first or self.counts.last
        prompt.calls = 0
        if ask_again:
            prompt.again += 1
            self.counts.again += 1
            heapq.heappush(self._ready, prompt.order)

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
            self._breaker.throttled(failure.message)
            self._limit.throttled(failure.retry_after)
            wait = delay(1, self._chance, failure.retry_after)
        else:
            gone = failure.kind == "connection"
            self._breaker.failed(prompt.game.digest, failure.message, unreachable=gone)
            if not gone:
                prompt.failures += 1
                wait = delay(prompt.failures, self._chance, failure.retry_after)
        heapq.heappush(self._later, (time.monotonic() + wait, *prompt.order))

    async def _half_open(self) -> None:
        """The circuit is open: wait until the server looks healthy, then try a single request."""
        begun = time.monotonic()
        if not await self._wait_for_server():
            return  # stopped, or draining, which the caller sees
        self._breaker.excuse(time.monotonic() - begun)
        if cause := self._breaker.cause:
            self.stop(JudgeError(f"the {self._asker} looks healthy, but: {cause}", "judge_died"))
            return
        queue: list[Any] = self._ready or self._later
        trial = self._send(heapq.heappop(queue)[-1]) if queue else None
        while self._breaker.is_open and not self._stop and not self._is_draining():
            if not self._tasks or (trial and trial.done()):
                await asyncio.sleep(min(LONGEST_TRIAL, delay(self._breaker.trials, self._chance)))
                return
            await self._pause(time.monotonic())

    def _only_failing_left(self) -> bool:
        """Whether nothing is in flight and all that is left has failed too often."""
        return (
            bool(self._later)
            and not self._tasks
            and not self._ready
            and all(self._prompts[digest].failures >= TRIES for *_, digest in self._later)
        )

    async def _drain(self) -> None:
        """Send nothing more, wait for open requests."""
        self._log(f"{self._drain_reason}: no more are sent, {self.open} open requests may finish")
        while self._tasks and not self._stop and not self._deadline.is_over():
            await self._pause(time.monotonic())

    async def _every_second(self) -> None:
        synced = time.monotonic()
        while True:
            await asyncio.sleep(1)
            self._set_ceiling()
            if (cause := self._breaker.cause) and not self._breaker.is_open:
                self.stop(JudgeError(f"the {self._asker}: {cause}", "judge_died"))
            if time.monotonic() - synced > SYNC_EVERY:
                await asyncio.to_thread(self._games.sync)
                synced = time.monotonic()
            self._tick()

    def _left_open(self) -> OpenGames:
        failed = ", ".join(f"{number} {kind}" for kind, number in self.counts.failed.most_common())
        last = f" (failures: {failed}; the last: {self._breaker.last})" if failed else ""
        spent = self._exceeded()
        kind = BudgetSpent if spent else JobEnds if self._drain_reason else OpenGames
        why = spent or self._drain_reason or f"the {self._stage.server} did not reply to them"
        left = self._stage.are_open(self._games.total() - self._games.played())
        return kind(
            f"{left}: {why}{last}. The next {'run' if spent else 'attempt'} asks only these"
        )
