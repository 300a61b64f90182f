"""Playing the open games of a batch: asks the judge, rides out what passes, stops at what does not.

The order is the questions' order, all models of the batch together and both games of a question in
flight at once, so that the server computes what these prompts share once.
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

TRIES = 6  # failures of one game, about a minute with back-off, before it holds up no one any more
LONGEST_TRIAL = 8.0  # s between trials of a judge that fails: so long a mended one may stand idle
SYNC_EVERY = 30.0  # s of games that the death of a whole node may cost
LOOK = 0.2  # s between looks whether waiting for the judge has become useless
PARALLEL = 64  # requests open, where neither user nor server says; vLLM runs up to 256 at once


@dataclass(slots=True)
class Counts:
    """Of this run: for the log's summary."""

    calls: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    again: int = 0
    first: float | None = None  # end of the first game, and of the last; s since 1970
    last: float | None = None
    usage: Counter[str] = field(default_factory=lambda: Counter(NO_TOKENS))


class Client:
    """Plays games into journals; `run` returns when all have a terminal state, or raises."""

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
        tell: Callable[[str], None] = lambda _: None,
        tick: Callable[[], None] = lambda: None,
        most_without: int = 0,
    ):
        """parallel: requests to keep open; None: as many as the server says it can run.

        exceeded: why no more may be asked (budget), or None. lost: why no more may be written (a
        lock was taken from us), or None. tell: a line for the log. tick: called once a second.
        most_without: replies without any verdict after which the judge is given up; 0: never.
        """
        self._games = games
        self._settings = games.settings
        self._asker = asker
        self._server = server
        self._deadline = deadline
        self._parallel = parallel
        self._exceeded, self._lost = exceeded, lost
        self._tell, self._tick = tell, tick
        self._chance = random.Random()  # many jobs must not come back at the same moments
        self._limit = AdaptiveLimit(PARALLEL)
        self._breaker = Breaker(server.patience)
        self._prompts = {prompt.game.digest: prompt for prompt in games.prompts}
        self._ready = [prompt.order for prompt in games.prompts]  # in order, so a heap
        self._later: list[tuple[float, int, int, str]] = []  # the same behind a time
        known = [one for journal in games.journals.values() for one in journal.records.values()]
        answered = any(record.attempts and record.answer is not None for record in known)
        self._refusals = Refusals(self._settings, answered=answered)
        self._probing = not answered  # one real game goes ahead of all others
        self._has_verdict = any(record.label for record in known)
        self._without = 0  # replies, while the judge has never given a verdict
        self._most_without = most_without
        self._tasks: set[asyncio.Task] = set()
        self._stop: Exception | None = None
        self._enough: str | None = None
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.counts = Counts()

    async def run(self) -> None:
        """Play all prompts of the batch.

        Raises an ArenaError where games stay open; whatever was finished is in the journals.
        """
        keeper = asyncio.create_task(self._keep())
        keeper.add_done_callback(self._take_error)
        try:
            if await self._wait_for_judge():
                self._set_ceiling()
                await self._dispatch()
            elif not self._stop and not self._exceeded():
                self._enough = "the job ends before the judge is ready"
                self._enough += "; raise walltime.start_minutes"
        finally:
            keeper.cancel()
            for task in self._tasks:  # what is still open is given up and writes nothing
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
        """Requests under way."""
        return len(self._tasks)

    @property
    def remark(self) -> str:
        """Why nothing ends, if nothing does."""
        return self._breaker.last

    def stop(self, why: Exception) -> None:
        """Ask no more and leave; the first cause counts."""
        self._stop = self._stop or why
        self._wake.set()

    def interrupt(self, why: Exception) -> None:
        """As `stop`, over any other cause. Safe to call from a signal handler."""
        self._stop = why
        self._loop.call_soon_threadsafe(self._wake.set)

    def _set_ceiling(self) -> None:
        self._limit.set_ceiling(self._parallel or self._server.parallel or PARALLEL)

    async def _wait_for_judge(self) -> bool:
        """Whether it is ready; False once waiting is of no use."""
        waiting = asyncio.create_task(self._server.ready())
        try:
            while not waiting.done():
                if self._stop or self._is_draining():
                    return False
                await asyncio.wait({waiting}, timeout=LOOK)
            waiting.result()
            return True
        except JudgeError as error:
            self.stop(error)
            return False
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _dispatch(self) -> None:
        """Begin games as slots come free, until nothing is left or something says stop."""
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
                while self._may_begin():
                    digest = heapq.heappop(self._ready)[-1]
                    if not self._games.is_dropped(self._prompts[digest]):
                        self._begin(digest)
            if self._only_hopeless():
                return
            await self._pause(now)

    def _may_begin(self) -> bool:
        most = 1 if self._probing else self._limit.limit
        if not self._ready or self.open >= most or self._is_draining():
            return False
        next_game = self._prompts[self._ready[0][-1]].game
        return self._refusals.asked is None or self._refusals.asked is next_game

    def _is_draining(self) -> bool:
        """Whether no further game may be begun: the job's end is near, or the budget is used up."""
        self._enough = self._enough or self._exceeded()
        return self._enough is not None or self._deadline.is_draining()

    async def _has_more_time(self) -> bool:
        """The end is near by what we know; Slurm may know better."""
        if self._enough is None and await self._deadline.extended():
            self._tell("the job was given more time")
            return True
        self._enough = self._enough or "the job ends soon"
        return False

    def _begin(self, digest: str) -> asyncio.Task:
        task = asyncio.create_task(self._play(self._prompts[digest]))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        self._wake.set()
        self._take_error(task)

    def _take_error(self, task: asyncio.Task) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.stop(error)  # whatever a task does not expect itself ends the run

    async def _pause(self, now: float) -> None:
        """Sleep until a game ends, a delay is over, or the next look at the clock is due."""
        due = now + 1.0  # s; the deadline is looked at so often when nothing moves
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
        elif self._refusals.doubts(outcome):
            self._refusals.hold(game, outcome, seconds)
        else:
            self._finish(prompt, outcome, seconds)
        if not outcome.is_refusal:
            for held in self._refusals.replied(begun, outcome.address):
                self._finish(self._prompts[held.game.digest], held.outcome, held.seconds)

    def _finish(self, prompt: Prompt, outcome: Outcome, seconds: float) -> None:
        """Into the journal; back into the line if it is to be asked again."""
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
        """A judge that never gives a verdict is stopped before its hours are spent."""
        self._has_verdict = self._has_verdict or outcome.label is not None
        if self._has_verdict or not self._most_without or outcome.is_refusal:
            return
        self._without += 1
        if self._without >= self._most_without:
            said = shorten(outcome.answer or "") or "nothing"
            self.stop(
                JudgeError(
                    f"the judge's first {self._without} replies hold no verdict "
                    f"({outcome.reason}). It said: {said} - compare judge.patterns, the prompts "
                    "and judge.max_tokens with it; judge.no_verdict_limit sets this number",
                    "no_verdict",
                )
            )

    def _failed(self, prompt: Prompt, failure: Failure) -> None:
        self.counts.failed[failure.kind] += 1
        wait = 0.0
        if failure.kind == "fatal":
            self.stop(JudgeError(f"the judge stopped us: {failure.message}"))
        elif failure.kind == "throttled":
            self._breaker.throttled(failure.message)
            self._limit.throttled(failure.retry_after)
            wait = delay(1, self._chance, failure.retry_after)
        else:
            dead = failure.kind == "connection"
            self._breaker.failed(prompt.game.digest, failure.message, dead=dead)
            if not dead:
                prompt.failures += 1
                wait = delay(prompt.failures, self._chance, failure.retry_after)
        heapq.heappush(self._later, (time.monotonic() + wait, *prompt.order))

    async def _half_open(self) -> None:
        """The circuit is open: wait until the judge looks healthy, then try a single game."""
        begun = time.monotonic()
        if not await self._wait_for_judge():
            return  # stopped, or draining, which the caller sees
        self._breaker.excuse(time.monotonic() - begun)
        if cause := self._breaker.cause:
            where = self._asker.where
            self.stop(JudgeError(f"the judge at {where} looks healthy, but: {cause}", "judge_died"))
            return
        queue: list[Any] = self._ready or self._later
        trial = self._begin(heapq.heappop(queue)[-1]) if queue else None
        while self._breaker.is_open and not self._stop and not self._is_draining():
            if not self._tasks or (trial and trial.done()):
                await asyncio.sleep(min(LONGEST_TRIAL, delay(self._breaker.trials, self._chance)))
                return
            await self._pause(time.monotonic())

    def _only_hopeless(self) -> bool:
        """Nothing is open and what is left has failed too often to be waited for."""
        return (
            bool(self._later)
            and not self._tasks
            and not self._ready
            and all(self._prompts[digest].failures >= TRIES for *_, digest in self._later)
        )

    async def _drain(self) -> None:
        """Begin nothing more, take what still comes in."""
        self._tell(f"{self._enough}: {self.open} open games may finish, no more are asked")
        while self._tasks and not self._stop and not self._deadline.is_over():
            await self._pause(time.monotonic())

    async def _keep(self) -> None:
        """Once a second: what the server can run, quota, progress; now and then to disk."""
        synced = time.monotonic()
        while True:
            await asyncio.sleep(1)
            self._set_ceiling()
            if (cause := self._breaker.cause) and not self._breaker.is_open:
                self.stop(JudgeError(f"the judge at {self._asker.where}: {cause}", "judge_died"))
            if time.monotonic() - synced > SYNC_EVERY:
                await asyncio.to_thread(self._games.sync)
                synced = time.monotonic()
            self._tick()

    def _left_open(self) -> OpenGames:
        failed = ", ".join(f"{number} {kind}" for kind, number in self.counts.failed.most_common())
        last = f" (failures: {failed}; the last: {self._breaker.last})" if failed else ""
        spent = self._exceeded()
        kind = BudgetSpent if spent else JobEnds if self._enough else OpenGames
        why = spent or self._enough or "the judge does not answer them"
        left = self._games.total() - self._games.played()
        when = "run" if spent else "attempt"
        return kind(f"{left} games are open: {why}{last}. The next {when} asks only these")
