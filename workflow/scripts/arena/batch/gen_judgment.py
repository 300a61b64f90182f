"""Play a batch: start the judge, play all games of its models, make their judgments, clean up.

One process, one loop. What is finished is in the journals at once; a model's judgments are made as
that model is complete. The exit status tells Snakemake whether another attempt may help. With games
open and attempts left it is 1. On the last attempt it is 0: the models that are complete get their
judgments in this run, and each other one says for itself what it lacks.
"""

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.batch.ends import stop_of
from arena.batch.made import Digests, Input, Made, read_input, stat_of
from arena.batch.resources import requested_gpus
from arena.client.budget import Guard, Meter
from arena.client.deadline import Deadline
from arena.client.report import Report, progress_text
from arena.data.answers import Answer, read_answers
from arena.data.games import Game, GameSettings, plan_games
from arena.data.layout import Layout
from arena.data.questions import read_questions
from arena.journals.batch_games import BatchGames
from arena.journals.journal import Journal
from arena.journals.lock import Lock
from arena.journals.records import (
    Attempt,
    AttemptLog,
    BatchPlan,
    ModelStatus,
    RunStop,
    Status,
    Stop,
    StopKind,
)
from arena.journals.replay import judgment_lines, reparse
from arena.judge.launch import gpu_count
from arena.support.errors import ArenaError, BudgetSpent, DataError, JournalError, JudgeError
from arena.support.humanize import counted
from arena.support.interrupts import Interrupted, Interrupts
from arena.support.jsonl import dump_line, write_atomic

# A reply of max_tokens at 4 tokens/s, which a full server still makes, plus the time in its queue.
SECONDS_PER_TOKEN = 0.25
QUEUE_SECONDS = 120.0
LOCK_POLL = 5.0  # s between looks at locks that others hold; two runs may overlap for hours
STATUS_EVERY = 2.0  # s
LIMITS = "ARENA_JUDGE_LIMITS"  # JSON: fields of arena.judge.server.Limits, for tests


@dataclass
class Model:
    """One model of the batch while it is played. inputs: by role, as they were read."""

    name: str
    games: list[Game]
    inputs: dict[str, Input]
    lock: Lock
    journal: Journal | None = None


@dataclass
class Batch:
    """One attempt of a batch; everything in it is made anew by a retry, but for what files hold."""

    plan: BatchPlan
    layout: Layout
    report: Report
    interrupts: Interrupts
    attempt: AttemptLog
    gpus: int
    deadline: Deadline = field(default_factory=Deadline.of_this_job)

    def __post_init__(self) -> None:
        self.settings = GameSettings.from_dict(self.plan.params)
        budget, since = self.plan.budget, self.plan.time or time.time()
        self.guard = Guard(budget, Meter(self.layout.root, self.plan.run, since).read)
        self.stops: dict[str, Stop] = {}
        self.statuses: dict[str, ModelStatus] = {}
        self.done: set[str] = set()
        self._judge_state, self._open, self._remark = "not needed", 0, ""
        self._status_due = 0.0

    # ---- reading ------------------------------------------------------------------------------

    def read(self) -> list[Model]:
        """The models that have something to play. One that cannot be read costs itself alone."""
        plan = self.plan
        self.questions, asked = _read(plan.questions, read_questions)
        opponents: dict[str, dict[str, Answer]] = {}
        shared = {"questions": asked}
        for model, path in plan.opponents.items():
            file, shared[f"opponent {model}"] = _read(path, read_answers)
            opponents[model] = file.answers
        reference = opponents.get(self.settings.reference or "")
        digests, models = Digests(), []
        for name in plan.models:
            roles = plan.roles(name)
            made = Made.read(self.layout.made_record(name))
            if (
                made
                and made.run == plan.run  # by an earlier attempt
                and self.layout.made(name).exists()
                and made.is_of(plan.settings, {role: digests.of(p) for role, p in roles.items()})
            ):
                self.done.add(name)
                continue
            try:
                file, inputs = _read(plan.answers[name], read_answers)
                games = plan_games(
                    self.settings, self.questions, file.answers, opponents, reference
                )
                if not games:
                    raise DataError(
                        f"{file.path}: no question is answered by the model and its baseline"
                    )
            except DataError as error:
                self.stops[name] = Stop(StopKind.DATA, str(error))
                self.report.tell(f"{name}: left out: {error}")
                continue
            skipped = len(self.questions) - len(games) // 2
            if skipped:
                self.report.tell(
                    f"{name}: {skipped} of {len(self.questions)} questions left out: an answer is "
                    "missing"
                )
            lock = Lock(self.layout.journal(name))
            self.statuses[name] = ModelStatus(len(games))
            models.append(Model(name, games, {**shared, "answers": inputs}, lock))
        return models

    # ---- playing ------------------------------------------------------------------------------

    def play(self, models: list[Model], *, replay: bool = False) -> None:
        """Play all models; those that another process plays are waited for, without a judge.

        replay: ask nothing, only make what the journals hold. Raises an ArenaError.
        """
        told = False
        while models:
            free = []
            for model in models:
                holder = model.lock.try_acquire(first=not told)
                if holder is None:
                    free.append(model)
                    continue
                stop = Stop(StopKind.HELD, f"{holder} is playing these games")
                self.stops[model.name] = stop
                if not told:
                    self.report.tell(f"{model.name}: waiting: {stop.text}")
            told = True
            try:
                if free:
                    for model in free:
                        self.stops.pop(model.name, None)
                    self._play_free(free, replay)
            finally:
                for model in free:
                    model.lock.release()
            models = [model for model in models if model not in free]
            if models and not free:
                if replay or self.deadline.is_over():
                    raise JournalError(
                        f"{models[0].lock.path}: {self.stops[models[0].name].text}. They are not "
                        "lost: start again when it has ended"
                    )
                self._watch_parent()
                self._write_status()
                time.sleep(LOCK_POLL)

    def _play_free(self, models: list[Model], replay: bool) -> None:
        with contextlib.ExitStack() as stack:
            for model in models:
                path = self.layout.journal(model.name)
                model.journal = stack.enter_context(
                    Journal(path, {game.digest for game in model.games})
                )
                if model.journal.torn:
                    self.report.tell(f"{model.name}: the journal's last line was torn: dropped")
                reparse(model.journal, self.settings)
            games = BatchGames(
                self.settings,
                {model.name: model.games for model in models},
                {model.name: model.journal for model in models if model.journal},
            )
            try:
                self._count(games)
                self.report.begin(games.total(), self._states(games))
                for model in models:
                    if games.is_whole(model.name):
                        self._make(model)
                if games.prompts and not replay:
                    self._ask(games, {model.name: model for model in models})
            finally:
                self._count(games)
            for model in models:
                if model.name not in self.done and not games.left(model.name):
                    self._make(model)

    def _ask(self, games: BatchGames, models: dict[str, Model]) -> None:
        """Ask what is open; no judge is launched for nothing."""
        if run_stop := RunStop.read(self.layout.run_stop(self.plan.run)):
            raise _remembered(run_stop)
        if reason := self.guard.exceeded():
            left = games.total() - games.played()
            raise BudgetSpent(f"{reason}; {counted(left, 'game')} left")
        counts, begun = Counts(), time.monotonic()
        try:
            asyncio.run(self._ask_loop(games, models, counts))
        finally:
            seconds = time.monotonic() - begun
            self.report.tell(_summary(games.total(), self._states(games), counts.last, seconds))

    async def _ask_loop(
        self, games: BatchGames, models: dict[str, Model], counts: "Counts"
    ) -> None:
        # Here: these load what a batch that is wholly in its journals does not need.
        from arena.client.asker import Asker
        from arena.client.client import Client, Limits
        from arena.client.ready import RunningServer, Server, StartedServer
        from arena.judge.endpoints import endpoints
        from arena.judge.server import LocalJudge

        judge = self.plan.judge
        timeout = judge.get("timeout_s")
        timeout = float(timeout or QUEUE_SECONDS + SECONDS_PER_TOKEN * self.settings.most_tokens)
        local: LocalJudge | None = None
        server: Server
        if judge["server"] == "external":
            asker = Asker(endpoints(judge), self.settings, timeout=timeout)
            server = RunningServer(asker, self.settings.judge, self.report.tell)
            self.attempt.note(launched=time.time(), ready=time.time())
        else:
            local = LocalJudge(
                judge,
                gpus=self.gpus,
                log=self.layout.server_log(self.plan.batch),
                attempt=self.attempt,
                limits=_limits(),
            )
            here = [{"url": local.url, "key": local.key}]
            asker, server = Asker(here, self.settings, timeout=timeout), StartedServer(local)
        self.report.secrets = asker.secrets
        makers: list[asyncio.Task] = []
        games.completed = lambda name: makers.append(
            asyncio.create_task(asyncio.to_thread(self._make, models[name]))
        )

        def tick() -> None:
            self._judge_state = local.state if local else "ready"
            self._open, self._remark = client.open, client.remark
            self._count(games)
            self.report.progress(self._states(games))
            self._watch_parent(client.interrupt)
            self._write_status()

        client = Client(
            games,
            asker,
            server,
            deadline=self.deadline,
            parallel=judge.get("parallel"),
            most_without=judge.get("no_verdict_limit") or 0,
            limits=Limits(self.guard.exceeded, lambda: _lost(models.values())),
            tell=self.report.tell,
            tick=tick,
            seed=os.getpid(),  # back-off of many jobs must not be the same
        )
        counts.last = client.counts
        try:
            with self.interrupts.handled_by(client.interrupt):
                await client.run()
        finally:
            self._judge_state = "ended"
            await asyncio.gather(*makers, return_exceptions=True)
            await asker.close()
            if local:
                await local.end()

    # ---- making and telling -------------------------------------------------------------------

    def _make(self, model: Model) -> None:
        """Write a complete model's judgments; a disk that fails costs no game."""
        name, journal = model.name, model.journal
        assert journal is not None
        lines = judgment_lines(self.settings, name, self.questions, model.games, journal)
        path = self.layout.made(name)
        try:
            journal.sync()
            write_atomic(path, map(dump_line, lines))
            made = Made(self.plan.settings, model.inputs, path.stat().st_size, self.plan.run)
            made.write(self.layout.made_record(name))
        except (OSError, JournalError) as error:
            text = getattr(error, "strerror", None) or error
            self.stops[name] = Stop(
                StopKind.DATA,
                f"{path}: cannot be written: {text}. Start again when it can: all games are kept",
            )
            self.report.tell(self.stops[name].text)
            return
        self.done.add(name)

    def _count(self, games: BatchGames) -> None:
        for name in games.games:
            self.statuses[name] = ModelStatus(len(games.games[name]), dict(games.states(name)))

    def _states(self, games: BatchGames) -> Counter[str]:
        return sum((games.states(name) for name in games.games), Counter())

    def _write_status(self, *, force: bool = False) -> None:
        """For onlookers: a disk that is full is the journals' to tell."""
        if not force and time.monotonic() < self._status_due:
            return
        self._status_due = time.monotonic() + STATUS_EVERY
        models = {
            name: ModelStatus(one.games, one.states, self.stops.get(name))
            for name, one in self.statuses.items()
        }
        status = Status(time.time(), self._judge_state, models, self._open, self._remark)
        with contextlib.suppress(OSError):
            status.write(self.layout.status(self.plan.batch))

    def _watch_parent(self, interrupt: Callable[[Exception], None] | None = None) -> None:
        """Snakemake was killed: nobody will tell us to stop."""
        if os.getppid() == PARENT:
            return
        gone = Interrupted("the process that started this batch is gone; finished games are kept")
        if interrupt is None:
            raise gone
        interrupt(gone)

    def finish(self, error: Exception | None) -> Stop | None:
        """Write down how it ended; why games are open, None where none is."""
        stop = None if error is None else stop_of(error, self.deadline)
        left = [name for name in self.plan.models if name not in self.done]
        for name in left:
            self.stops.setdefault(name, stop or Stop(StopKind.OPEN_GAMES, "its games are open"))
        if left and stop is None:
            stop = self.stops[left[0]]
        if stop and stop.kind.ends_run and isinstance(error, JudgeError | BudgetSpent):
            self._stop_run(stop)
        self._open = 0
        self._write_status(force=True)
        self.attempt.ended(stop)
        self.report.tell(f"stopped: {stop.text}" if stop else "done: all judgments are made")
        return stop

    def _stop_run(self, stop: Stop) -> None:
        """Remember for the whole run: the other batches fail at once, and nothing is retried."""
        path = self.layout.run_stop(self.plan.run)
        if RunStop.read(path) is None:
            # What holds for all batches; how many games are open here is this one's own.
            budget = self.guard.exceeded() if stop.kind is StopKind.BUDGET else None
            why = Stop(stop.kind, (budget or stop.text).split("\n")[0])
            attempt = self.attempt.attempt
            run_stop = RunStop(why, self.plan.batch, attempt.node, attempt.log)
            with contextlib.suppress(OSError):
                run_stop.write(path)


PARENT = os.getppid()


@dataclass
class Counts:
    """Of the client that plays last: it is made inside the loop and asked after its end."""

    last: Any = None


def play_batch(
    plan: BatchPlan, asked: Mapping[str, Any], *, tries_left: int, replay: bool = False
) -> int:
    """Play a batch from its plan; the exit status (see the module).

    asked: resources that its job asked for (see `arena.batch.plan.asked_for`).
    """
    gpus = gpu_count({"gpus": requested_gpus(asked)})
    layout = Layout(Path(plan.root))
    server_log = str(layout.server_log(plan.batch))
    here = Attempt.here(
        plan.batch,
        plan.run,
        gpus=gpus,
        log=server_log,
        judge=plan.judge.get("name"),
        server=plan.judge.get("server"),
        asked=asked,
    )
    attempt = AttemptLog(None if replay else layout.attempts(plan.batch), here)
    log = None if replay else layout.log(plan.batch)
    error: Exception | None = None
    with Report(plan.batch, log) as report, Interrupts() as interrupts:
        try:
            batch = Batch(plan, layout, report, interrupts, attempt, gpus)
        except ArenaError as caught:
            attempt.ended(stop_of(caught, Deadline()))
            raise
        try:
            batch.play(batch.read(), replay=replay)
        except (ArenaError, Interrupted) as caught:
            error = caught
        except Exception as caught:
            batch.finish(caught)
            raise
        stop = batch.finish(error)
    status = _exit_status(stop, error, tries_left=0 if replay else tries_left)
    if stop:
        print(f"{plan.batch}: {stop.text}", flush=True)
    if status == 0 and not replay:
        write_atomic(layout.played(plan.batch), (f"{name}\n" for name in sorted(batch.done)))
    return status


def _exit_status(stop: Stop | None, error: Exception | None, *, tries_left: int) -> int:
    if stop is None:
        return 0
    if isinstance(error, Interrupted):
        return 1
    hopeless = stop.kind.ends_run or stop.kind is StopKind.DATA
    return 1 if tries_left > 0 and not hopeless else 0


def _read(path: str, read: Callable[[str], Any]) -> tuple[Any, Input]:
    """What a file says, and the file as it was when that was read. DataError."""
    try:
        while True:
            found = read_input(path)
            content = read(path)
            if stat_of(path) == found.stat:
                return content, found
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _lost(models: Any) -> str | None:
    for model in models:
        if model.lock.lost:
            return f"{model.lock.path}: another process took this lock"
    return None


def _remembered(run_stop: RunStop) -> ArenaError:
    text = f"not tried again in this run: {run_stop}"
    if run_stop.stop.kind is StopKind.BUDGET:
        return BudgetSpent(text)
    return JudgeError(text, run_stop.stop.kind)


def _limits() -> Any:
    from arena.judge.server import Limits

    return Limits(**json.loads(os.environ.get(LIMITS, "{}")))


def _summary(total: int, states: Counter[str], counts: Any, seconds: float) -> str:
    text = f"{'done' if states.total() == total else 'left'}: {progress_text(total, states)}"
    if counts is None:
        return text
    failed = ", ".join(f"{kind} {number}" for kind, number in counts.failed.most_common())
    usage = counts.usage
    return (
        f"{text}; {counts.calls} calls in {seconds:.1f} s"
        f"{f' (failed: {failed})' if failed else ''}"
        f"{f', {counts.again} asked again (no verdict)' if counts.again else ''}; tokens: "
        f"{usage['prompt']} prompt ({usage['cached']} cached), {usage['completion']} completion"
    )
