"""Playing the open games of a model: asks the judge, rides out what passes, stops at what does not.

The order is the questions' order, both games of a question in flight at once, so that all clients
of a batch send the same questions at the same time and the server computes what they share once.
"""

import asyncio
import heapq
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

from arena.data.games import Game, GameSettings
from arena.journals.journal import Journal, Record
from arena.client.asker import Asker
from arena.client.breaker import Breaker
from arena.client.deadline import Deadline
from arena.client.finished import record_of
from arena.client.hooks import Counts, Hooks
from arena.client.adaptive_limit import Pace, delay
from arena.client.ready import Server, wait_ready
from arena.client.refusals import Refusals
from arena.client.replies import Failure, Outcome
from arena.support.errors import BudgetSpent, JournalError, JudgeError, OpenGames

TRIES = 6  # failures of one game, about a minute with back-off, before it holds up no one any more
LONGEST_TRIAL = 8.0  # s between trials of a judge that fails: so long a mended one may stand idle
SYNC_EVERY = 30.0  # s of games that the death of a whole node may cost


@dataclass(slots=True)
class _State:
    """What has happened to one game in this run."""

    failures: int = 0  # that may be the game's own fault
    calls: int = 0  # since the last line in the journal
    again: int = 0  # times that it was asked again for want of a verdict


class Client:
    """Plays games into a journal; `run` returns when all have a terminal state, or raises."""

    def __init__(
        self,
        settings: GameSettings,
        journal: Journal,
        asker: Asker,
        server: Server,
        *,
        deadline: Deadline,
        hooks: Hooks,
        counts: Counts | None = None,
        seed: int = 0,
    ):
        self._settings = settings
        self._journal = journal
        self._asker = asker
        self._server = server
        self._priority = False
        self._deadline = deadline
        self._hooks = hooks
        self._chance = random.Random(seed)
        self._pace = Pace(hooks.share())
        self._breaker = Breaker(server.patience)
        self._ready: list[tuple[int, int, Game]] = []
        self._later: list[tuple[float, int, int, Game]] = []
        self._states: dict[tuple[str, int], _State] = {}
        self._unfinished: set[tuple[str, int]] = set()
        replies = (record for record in journal.records.values() if record.attempts)
        answered = any(record.answer is not None for record in replies)
        self._refusals = Refusals(settings, answered=answered)
        self._tasks: set[asyncio.Task] = set()
        self._stop: Exception | None = None
        self._enough: str | None = None
        self._is_waiting = False
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.counts = counts or Counts()

    async def run(self, games: Iterable[Game]) -> None:
        """Play the games.

        Raises OpenGames, JudgeError or JournalError; whatever was finished is in the journal.
        """
        self._ready = [(game.position, game.index, game) for game in games]
        heapq.heapify(self._ready)
        for *_, game in self._ready:
            self._states[game.key] = _State(again=self._journal.times_asked(game.digest))
            if game.digest not in self._journal.records:
                self._unfinished.add(game.key)
        keeper = asyncio.create_task(self._keep())
        keeper.add_done_callback(self._take_error)
        try:
            if await self._wait_for_judge():
                self._hooks.ready()
                self._priority = self._hooks.priority()
                self._pace.set_ceiling(self._hooks.share())
                await self._dispatch()
            else:
                self._enough = (
                    "the job ends before the judge is ready; raise walltime.start_minutes"
                )
        finally:
            keeper.cancel()
            await self._cancel_open()
        if self._stop:
            raise self._stop
        if self.left:
            raise self._left_open()

    @property
    def left(self) -> int:
        """Games without a terminal state; those asked again for a verdict have one."""
        return len(self._unfinished)

    @property
    def open(self) -> int:
        return len(self._tasks)

    def stop(self, why: Exception) -> None:
        """Ask no more and leave; the first cause counts."""
        self._stop = self._stop or why
        self._wake.set()

    def interrupt(self, why: Exception) -> None:
        """As `stop`, over any other cause. Safe to call from a signal handler."""
        self._loop.call_soon_threadsafe(self._interrupt, why)

    def _interrupt(self, why: Exception) -> None:
        self._stop = why
        self._wake.set()

    async def _wait_for_judge(self) -> bool:
        try:
            return await wait_ready(
                self._asker,
                self._server,
                self._deadline,
                stopped=lambda: self._stop is not None or self._is_draining(),
                tell=self._hooks.tell,
            )
        except JudgeError as error:
            self.stop(error)
            return False

    async def _dispatch(self) -> None:
        """Begin games as slots come free, until nothing is left or something says stop."""
        while not self._stop:
            self._ask_control()
            if not (self._ready or self._later or self._tasks):
                return
            if self._is_draining():
                await self._drain()
                return
            if self._breaker.is_open:
                await self._half_open()
                continue
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                heapq.heappush(self._ready, heapq.heappop(self._later)[1:])
            if now >= self._pace.hold_until:
                while self._may_begin():
                    self._begin(heapq.heappop(self._ready)[-1])
            if self._only_hopeless() and not self._hooks.others_play():
                return
            await self._pause(now)

    def _ask_control(self) -> None:
        """Put the control first in line, if it is time for it (see `refusals`)."""
        if control := self._refusals.control(idle=not (self._ready or self._tasks)):
            self._states[control.key] = _State()
            heapq.heappush(self._ready, (control.position, control.index, control))

    def _may_begin(self) -> bool:
        return (
            bool(self._ready)
            and self.open < self._pace.limit
            and (not self._refusals.is_asking or self._refusals.is_control(self._ready[0][-1]))
            and not self._is_draining()
        )

    def _is_draining(self) -> bool:
        """Whether no further game may be begun: the job's end is near, or the budget is used up."""
        self._enough = self._enough or self._hooks.exceeded()
        if self._enough is None and self._deadline.is_draining():
            self._enough = "the job ends soon"
        return self._enough is not None

    def _begin(self, game: Game) -> asyncio.Task:
        task = asyncio.create_task(self._play(game))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        self._wake.set()
        self._take_error(task)

    def _take_error(self, task: asyncio.Task) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stop(error)  # whatever a task does not expect itself ends the run

    async def _pause(self, now: float) -> None:
        """Sleep until a game ends, a delay is over, or the next look at the clock is due."""
        due = 1.0  # s; the deadline and the siblings are looked at so often when nothing moves
        if self._later:
            due = min(due, self._later[0][0] - now)
        if self._pace.hold_until > now:
            due = min(due, self._pace.hold_until - now)
        timer = asyncio.get_running_loop().call_later(max(due, 0.001), self._wake.set)
        await self._wake.wait()
        timer.cancel()
        self._wake.clear()

    async def _play(self, game: Game) -> None:
        state = self._states[game.key]
        body = self._settings.request(game, state.again)
        if self._priority:
            body["priority"] = game.position
        state.calls += 1
        self.counts.calls += 1
        begun = time.monotonic()
        try:
            outcome = await self._asker.ask(body, self._refusals.address(game))
        except Failure as failure:
            if failure.kind != "priority" or "priority" in body:
                self._failed(game, state, failure)
                return
            outcome = Outcome("rejected", reason=failure.message, is_unexplained=True)
        seconds = time.monotonic() - begun
        self._deadline.observe(seconds)
        self._breaker.replied()
        self._pace.replied()
        if self._refusals.is_control(game):
            self._take_control(outcome)
        elif self._refusals.doubts(outcome):
            self._refusals.hold(game, outcome, seconds)
        else:
            self._finish(game, outcome, seconds)
        if not outcome.is_refusal:
            for held in self._refusals.replied(begun, outcome.address):
                self._finish(held.game, held.outcome, held.seconds)

    def _take_control(self, outcome: Outcome) -> None:
        if outcome.is_refusal:
            self.stop(JudgeError(self._refusals.why(outcome)))
        else:
            self._refusals.control_replied()
            self.counts.usage.update(outcome.usage or {})

    def _finish(self, game: Game, outcome: Outcome, seconds: float) -> None:
        """Into the journal; back into the line if it is to be asked again."""
        state = self._states[game.key]
        earlier = self._journal.records.get(game.digest)
        record = record_of(
            game, outcome, earlier, calls=state.calls, again=state.again, seconds=seconds
        )
        if not self._write(record):
            return
        self._unfinished.discard(game.key)
        self.counts.usage.update(record.usage)
        state.calls = 0
        if record.is_repeatable and state.again < self._settings.ask_again.times:
            state.again += 1
            self.counts.again += 1
            heapq.heappush(self._ready, (game.position, game.index, game))

    def _write(self, record: Record) -> bool:
        try:
            if self._hooks.lost():
                raise JournalError(f"{self._journal.path}: another process took its lock")
            self._journal.append(record)
        except JournalError as error:
            self.stop(error)
            return False
        return True

    def _failed(self, game: Game, state: _State, failure: Failure) -> None:
        self.counts.failed[failure.kind] += 1
        wait = 0.0
        if failure.kind == "fatal":
            self.stop(JudgeError(f"the judge stopped us: {failure.message}"))
        elif failure.kind == "priority":
            if self._priority:
                self._hooks.tell(f"asking without priorities: {failure.message}")
            self._priority = False
        if failure.kind in ("starting", "connection"):
            self._breaker.failed(game.key, failure.message)
            self._breaker.trip()
        elif failure.kind == "throttled":
            self._breaker.throttled(failure.message)
            self._pace.throttled(failure.retry_after)
            wait = delay(1, self._chance, failure.retry_after)
        elif failure.kind in ("broken", "timeout"):
            # By priority the questions of siblings behind us go first, for however long it takes
            # them to come up; whether the judge itself is stuck, its supervisor sees.
            queued = failure.kind == "timeout" and self._priority and self._server.supervised
            if not queued:
                self._breaker.failed(game.key, failure.message)
            state.failures += 1
            wait = delay(state.failures, self._chance, failure.retry_after)
        heapq.heappush(self._later, (time.monotonic() + wait, game.position, game.index, game))

    async def _half_open(self) -> None:
        """The circuit is open: wait until the judge looks well, then try a single game."""
        begun = time.monotonic()
        if not await self._wait_for_judge():
            return
        if self._server.supervised:
            self._breaker.excuse(time.monotonic() - begun)
        if cause := self._breaker.cause:
            self.stop(JudgeError(f"the judge at {self._asker.where} looks well, but: {cause}"))
            return
        trial = None
        if queue := self._ready or self._later:
            trial = self._begin(heapq.heappop(queue)[-1])
        while self._breaker.is_open and not self._stop and not self._is_draining():
            if not self._tasks or (trial and trial.done()):
                await asyncio.sleep(min(LONGEST_TRIAL, delay(self._breaker.trials, self._chance)))
                return
            await self._pause(time.monotonic())

    def _only_hopeless(self) -> bool:
        """Nothing is open and what is left has failed too often to be waited for."""
        hopeless = (
            bool(self._later)
            and not self._tasks
            and not self._ready
            and all(self._states[game.key].failures >= TRIES for *_, game in self._later)
        )
        if hopeless != self._is_waiting:
            self._is_waiting = hopeless
            self._hooks.waiting(hopeless)
        return hopeless

    async def _drain(self) -> None:
        """Begin nothing more, take what still comes in."""
        self._hooks.tell(f"{self._enough}: {self.open} open games may finish, no more are asked")
        while self._tasks and not self._stop and not self._deadline.is_over():
            await self._pause(time.monotonic())

    async def _cancel_open(self) -> None:
        """Give up what is still open; a cancelled game writes nothing."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self) -> None:
        """Once a second: share, quota, progress; now and then to disk."""
        synced = time.monotonic()
        while True:
            await asyncio.sleep(1)
            self._pace.set_ceiling(self._hooks.share())
            if (cause := self._breaker.cause) and not self._breaker.is_open:
                self.stop(JudgeError(f"the judge at {self._asker.where}: {cause}"))
            if time.monotonic() - synced > SYNC_EVERY:
                await asyncio.to_thread(self._journal.sync)
                synced = time.monotonic()
            self._hooks.progress()

    def _left_open(self) -> OpenGames:
        failed = ", ".join(f"{number} {kind}" for kind, number in self.counts.failed.most_common())
        last = f" (failures: {failed}; the last: {self._breaker.last})" if failed else ""
        spent = self._hooks.exceeded()
        why = spent or self._enough or "they do not go through"
        text = f"{self.left} games are open: {why}{last}. The next"
        if spent:
            return BudgetSpent(f"{text} run asks only these")
        return OpenGames(f"{text} attempt asks only these")
