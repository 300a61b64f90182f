"""The job of a batch: start the server, ask the games of its models, write judgments, clean up.

A batch of answers runs the same code, with answers in place of games and judgments. One process,
one event loop. A model's judgments are written as soon as its games have ended. The exit status is
1 if another attempt may help: games are open, and attempts are left. In the last attempt it is 0;
the publication of each incomplete model reports what is missing.
"""

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.batch.early_stop import stop_of
from arena.batch.made import Made
from arena.batch.models import AnswerFiles, Files, Model
from arena.client.budget import Budget
from arena.client.deadline import Deadline
from arena.client.report import Report
from arena.data.layout import ANSWERS, Layout
from arena.journals.batch_games import BatchGames
from arena.journals.batches import Attempt, AttemptLog
from arena.journals.journal import Journal
from arena.journals.records import BatchPlan, ModelStatus, RunStop, Status, Stop, StopKind
from arena.journals.replay import reparse
from arena.judge.process import gpu_count, requested_gpus
from arena.support.errors import ArenaError, BudgetSpent, DataError, JournalError, JudgeError
from arena.support.interrupts import Interrupted, Interrupts
from arena.support.jsonl import dump_line, write_atomic

SECONDS_PER_TOKEN = 0.25  # of a reply; a fully loaded server generates at least 4 tokens/s
QUEUE_SECONDS = 120.0  # that a request may wait in the server's queue
LOCK_POLL = 5.0  # s between two checks of a lock; two runs may overlap for hours
STATUS_EVERY = 2.0  # s
LIMITS = "ARENA_JUDGE_LIMITS"  # JSON: fields of arena.judge.server.Limits, for tests
# Causes that end the job, and those for which another attempt would stop too.
OF_THE_JOB = {StopKind.BUDGET, StopKind.WALLTIME, StopKind.STOPPED, StopKind.JOURNAL}
HOPELESS = {kind for kind in StopKind if kind.ends_run} | {StopKind.DATA}
PARENT = os.getppid()
Models = Mapping[str, Model]  # by name


class Batch:
    """One attempt of a batch. A retry starts with a new object; only files persist.

    replay: send nothing, only write what complete journals give, without a log.
    """

    def __init__(self, plan: BatchPlan, asked: Mapping[str, Any], *, replay: bool):
        self.plan, self.replay, self.name = plan, replay, plan.batch
        self.layout, self.stage = Layout(Path(plan.root)), plan.stage
        log, record = self.layout.log(self.name), self.layout.attempts(self.name)
        self.report = Report(self.name, None if replay else log, self.stage)
        gpus, server_log = gpu_count(requested_gpus(asked)), self.layout.server_log(self.name)
        here = Attempt.here(self.name, plan.run, gpus=gpus, log=str(server_log), asked=asked)
        self.attempt = AttemptLog(None if replay else record, here)
        self.interrupts, self.deadline = Interrupts(), Deadline()
        roots = [self.layout.root, *map(Path, plan.beside)]
        self.budget = Budget(plan.budget, roots, plan.run, plan.time or time.time())
        self.status, self._status_due = Status(0.0, "not needed"), 0.0
        self.done: set[str] = set()

    def read(self) -> list[Model]:
        """The models with games to ask. A model that cannot be read is left out, with a message."""
        self.deadline = Deadline.of_this_job()
        self.files = (AnswerFiles if self.stage is ANSWERS else Files)(self.plan, self.layout)
        models = []
        for name in self.plan.models:
            if self.files.is_made(name):
                self.done.add(name)
                continue
            try:
                model = self.files.model(name)
            except DataError as error:
                self._stop(name, StopKind.DATA, str(error), log=f"{name}: left out: {error}")
                continue
            questions = 0 if self.stage is ANSWERS else len(self.files.questions)
            if questions and (skipped := questions - len({game.uid for game in model.games})):
                text = f"{name}: {skipped} of {questions} questions left out: an answer is missing"
                self.report.log(text)
            self.status.models[name] = ModelStatus(len(model.games))
            models.append(model)
        return models

    def _stop(self, name: str, kind: StopKind, text: str, *, log: str | None = None) -> None:
        """Record and log why a model is not completed. log: the line for the log, if not `text`."""
        self.status.models.setdefault(name, ModelStatus()).stop = Stop(kind, text)
        self.report.log(log or text)

    def _count(self, games: BatchGames) -> Counter[str]:
        """Update the states of all games; returns their sum over the models."""
        for name in games.games:
            self.status.models[name].states = dict(games.states(name))
        return sum(map(games.states, games.games), Counter())

    def _write_status(self, *, force: bool = False) -> None:
        """For the monitor, at most every few seconds. A full disk is reported by the journals."""
        if force or time.monotonic() >= self._status_due:
            self._status_due = time.monotonic() + STATUS_EVERY
            self.status.time = time.time()
            with contextlib.suppress(OSError):
                self.status.write(self.layout.status(self.name), durable=False)

    def play(self, models: list[Model]) -> None:
        """Complete all models; wait, without a server, for those that another process has locked.
        Raises an ArenaError.
        """
        first = True
        while models:
            free, locked = [], []
            with contextlib.ExitStack() as locks:
                for model in models:
                    if (holder := model.lock.try_acquire(first=first)) is None:
                        locks.push(model.lock)
                        self.status.models[model.name].stop = None
                        free.append(model)
                        continue
                    locked.append(model)
                    if first:
                        text = f"{holder} is working on this model"
                        log = f"{model.name}: waiting: {text}"
                        self._stop(model.name, StopKind.HELD, text, log=log)
                if free:
                    self._play_free(free)
            models, first = locked, False
            if locked and not free:
                if self.replay or self.deadline.is_over():
                    why = self.status.models[locked[0].name].stop
                    advice = f"Its {self.stage.request}s are kept: start again when it has ended"
                    raise JournalError(f"{locked[0].lock.path}: {why and why.text}. {advice}")
                self._watch_parent()
                self._write_status()
                time.sleep(LOCK_POLL)

    def _play_free(self, models: list[Model]) -> None:
        with contextlib.ExitStack() as stack:
            for model in models:
                digests = {game.digest for game in model.games}
                journal = stack.enter_context(Journal(self.layout.journal(model.name), digests))
                model.journal = journal
                if journal.torn:
                    text = "dropped the last line of the journal: it is incomplete"
                    self.report.log(f"{model.name}: {text}")
                reparse(journal, self.files.settings[model.name])
            # Only a batch of answers has several servers, one after the other.
            alone: Mapping[str, Any] = {"models": self.plan.models, "server": self.plan.judge}
            for serving in self.plan.servings or (alone,):
                served = {one.name: one for one in models if one.name in serving["models"]}
                try:
                    if served:
                        self._play_served(served, serving["server"])
                except ArenaError as error:
                    # If one checkpoint cannot be served or finished, the others still can.
                    if len(self.plan.servings) <= 1 or StopKind(error.kind) in OF_THE_JOB:
                        raise
                    for name in served.keys() - self.done:
                        self._stop(name, StopKind(error.kind), str(error))

    def _play_served(self, models: Models, server: Mapping[str, Any]) -> None:
        planned = {name: model.games for name, model in models.items()}
        journals = {name: model.journal for name, model in models.items()}
        games = BatchGames(self.files.settings[next(iter(models))], planned, journals)
        try:
            self.report.begin(games.total(), self._count(games))
            for name, model in models.items():
                if games.is_whole(name):
                    self._write(model)
            self._check_first_answers(games, models)
            if not all(map(games.is_dropped, games.prompts)) and not self.replay:
                self._ask(games, models, server)
                self._check_first_answers(games, models)
        finally:
            self._count(games)
        for name, model in models.items():
            if name not in self.done and not games.left(name):
                self._write(model)

    def _check_first_answers(self, games: BatchGames, models: Models) -> None:
        """Log warnings about first answers; with `stop_doubtful`, stop models whose are useless."""
        for name, model in models.items():
            for doubt in self.files.doubts(model):
                if doubt.is_grave and self.plan.params["stop_doubtful"] and games.left(name):
                    games.drop(name)
                    self._stop(name, StopKind.DATA, f"{name}: stopped: {doubt.text}")
                else:
                    self.report.log(f"{name}: warning: {doubt.text}")

    def _ask(self, games: BatchGames, models: Models, server: Mapping[str, Any]) -> None:
        """Ask what is open. No server is started if the run has stopped or its budget is used."""
        if run_stop := RunStop.read(self.layout.run_stop(self.plan.run)):
            text = f"not tried again in this run: {run_stop}"
            if run_stop.kind is StopKind.BUDGET:
                raise BudgetSpent(text)
            raise JudgeError(text, run_stop.kind)
        if reason := self.budget.exceeded():
            left = self.stage.are_open(games.total() - games.played())
            raise BudgetSpent(f"{reason}; {left}")
        asyncio.run(self._ask_loop(games, models, server))

    async def _ask_loop(self, games: BatchGames, models: Models, judge: Mapping[str, Any]) -> None:
        # Imported here, because a batch with complete journals does not need these.
        from arena.client.asker import Asker
        from arena.client.client import Client
        from arena.judge.server import Limits, LocalJudge
        from arena.setup.upstream import endpoints

        begun, settings = time.monotonic(), games.settings
        timeout = judge.get("timeout_s") or QUEUE_SECONDS + SECONDS_PER_TOKEN * settings.most_tokens
        local: LocalJudge | None = None
        if template := judge.get("template"):
            file = self.layout.logs(self.name) / "chat_template.jinja"  # vLLM needs a file
            write_atomic(file, template)
            judge = {**judge, "options": [*judge["options"], "--chat-template", str(file)]}
        if judge["server"] == "external":
            addresses = endpoints(judge)
            self.attempt.note(launched=time.time(), ready=time.time())
        else:
            local = LocalJudge(
                judge,
                gpus=self.attempt.attempt.gpus,
                log=self.layout.server_log(self.name),
                attempt=self.attempt,
                limits=Limits(**json.loads(os.environ.get(LIMITS, "{}"))),
                stage=self.stage,
            )
            addresses = [{"url": local.url, "key": local.key}]
        asker = Asker(addresses, settings, timeout=float(timeout), log=self.report.log)
        self.report.secrets = asker.secrets
        writing: list[asyncio.Task] = []
        games.completed = lambda name: writing.append(
            asyncio.create_task(asyncio.to_thread(self._write, models[name]))
        )

        def lost() -> str | None:
            locks = [model.lock for model in models.values() if model.lock.lost]
            return f"{locks[0].path}: another process took this lock" if locks else None

        def tick() -> None:
            self._check_first_answers(games, models)
            self.status.judge = local.state if local else "ready"
            self.status.open, self.status.remark = len(client.tasks), client.breaker.last
            self.report.progress(self._count(games))
            self._watch_parent()
            self._write_status()

        client = Client(
            games,
            asker,
            deadline=self.deadline,
            server=local,
            parallel=judge.get("parallel"),
            no_verdict_limit=judge.get("no_verdict_limit") or 0,
            exceeded=self.budget.exceeded,
            lost=lost,
            log=self.report.log,
            tick=tick,
        )
        try:
            with self.interrupts.handled_by(client.interrupt):
                await client.run()
        finally:
            self.status.judge = "ended"
            await asyncio.gather(*writing, return_exceptions=True)
            await asker.close()
            if local:
                await local.end()
            states, seconds = self._count(games), time.monotonic() - begun
            progress = self.report.progress_text(games.total(), states)
            outcome = "done" if states.total() == games.total() else "incomplete"
            self.report.log(f"{outcome}: {progress}; {client.counts.text(seconds)}")

    def _write(self, model: Model) -> None:
        """Write a complete model's file. If the disk fails, the journal still has everything."""
        name, journal, files = model.name, model.journal, self.files
        path = self.layout.made(name)
        try:
            journal.sync()
            write_atomic(path, map(dump_line, files.lines(model)))
            made = Made(files.digest(name), model.inputs, path.stat().st_size, self.plan.run)
            made.write(self.layout.made_record(name))
        except (OSError, JournalError, DataError) as error:
            text = f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}"
            text += f". Fix this and start again: all {self.stage.request}s are kept"
            self._stop(name, StopKind.DATA, text)
        else:
            self.done.add(name)

    def _watch_parent(self) -> None:
        """Stop if Snakemake was killed, because then nothing else will stop us."""
        if os.getppid() != PARENT:
            gone = "the process that started this batch has ended; finished "
            self.interrupts.interrupt(f"{gone}{self.stage.request}s are kept")

    def finish(self, error: Exception | None) -> Stop | None:
        """Record how the attempt ended; returns why games are open, None if none is."""
        stop = None if error is None else stop_of(error, self.deadline)
        stops = []
        for name in self.plan.models:
            if name not in self.done:
                model = self.status.models.setdefault(name, ModelStatus())
                text = f"some of its {self.stage.request}s are open"
                model.stop = model.stop or stop or Stop(StopKind.OPEN_GAMES, text)
                stops.append(model.stop)
        # Of several causes, one that another attempt may remove: the exit status depends on it.
        stop = stop or min(stops, key=lambda one: one.kind in HOPELESS, default=None)
        # Other batches of answers have other weights, which may load.
        fatal = BudgetSpent if self.stage is ANSWERS else JudgeError | BudgetSpent
        if stop and stop.kind.ends_run and isinstance(error, fatal):
            self._stop_run(stop)
        self.status.open = 0
        self._write_status(force=True)
        self.attempt.ended(stop)
        done = f"done: all {self.stage.product} are written"
        self.report.log(f"stopped: {stop.text}" if stop else done)
        return stop

    def _stop_run(self, stop: Stop) -> None:
        """Stop the whole run: the other batches fail at once, and nothing is retried."""
        path, attempt = self.layout.run_stop(self.plan.run), self.attempt.attempt
        if RunStop.read(path) is None:
            # Without the number of open games, which only this batch has.
            budget = self.budget.exceeded() if stop.kind is StopKind.BUDGET else None
            text = (budget or stop.text).split("\n")[0]
            with contextlib.suppress(OSError):
                RunStop(stop.kind, text, self.name, attempt.node, attempt.log).write(path)


def play_batch(
    plan: BatchPlan, asked: Mapping[str, Any], *, tries_left: int, replay: bool = False
) -> int:
    """Run a batch; returns the exit status (see the module).

    asked: resources that its job requested (see `arena.batch.plan.asked_for`).
    """
    batch, error = Batch(plan, asked, replay=replay), None
    with batch.interrupts:
        try:
            batch.play(batch.read())
        except ArenaError as caught:
            error = caught
        except Exception as caught:
            batch.finish(caught)
            raise
        stop = batch.finish(error)
    if stop:
        print(f"{plan.batch}: {stop.text}", flush=True)
        may_help = tries_left > 0 and not replay and stop.kind not in HOPELESS
        if may_help or isinstance(error, Interrupted):
            return 1
    if not replay:
        done = (f"{name}\n" for name in sorted(batch.done))
        write_atomic(batch.layout.played(plan.batch), done)
    return 0
