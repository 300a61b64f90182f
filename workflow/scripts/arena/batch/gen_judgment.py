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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.batch.answer_files import AnswerFiles
from arena.batch.made import Made
from arena.batch.models import Files, Model, Serving
from arena.batch.resources import requested_gpus
from arena.batch.status_writer import StatusWriter
from arena.batch.stop_cause import stop_of
from arena.client.budget import Guard, Meter
from arena.client.deadline import Deadline
from arena.client.report import Report
from arena.data.layout import Layout
from arena.data.stage import ANSWERS
from arena.journals.attempts import Attempt, AttemptLog
from arena.journals.batch_games import BatchGames
from arena.journals.journal import Journal
from arena.journals.records import BatchPlan, ModelStatus, RunStop, Stop, StopKind
from arena.judge.launch import gpu_count
from arena.support.errors import ArenaError, BudgetSpent, DataError, JournalError, JudgeError
from arena.support.interrupts import Interrupted, Interrupts
from arena.support.jsonl import dump_line, write_atomic

SECONDS_PER_TOKEN = 0.25  # of a reply; a fully loaded server generates at least 4 tokens/s
QUEUE_SECONDS = 120.0  # that a request may wait in the server's queue
LOCK_POLL = 5.0  # s between two checks of a lock; two runs may overlap for hours
LIMITS = "ARENA_JUDGE_LIMITS"  # JSON: fields of arena.judge.server.Limits, for tests
PARENT = os.getppid()


class Batch:
    """One attempt of a batch. A retry starts with a new object; only files persist."""

    def __init__(
        self, plan: BatchPlan, report: Report, interrupts: Interrupts, attempt: AttemptLog
    ):
        self.plan, self.report, self.interrupts, self.attempt = plan, report, interrupts, attempt
        self.layout, self.stage = Layout(Path(plan.root)), plan.stage
        self.deadline = Deadline()
        roots = [self.layout.root, *map(Path, plan.beside)]
        self.guard = Guard(plan.budget, Meter(roots, plan.run, plan.time or time.time()).read)
        self.status = StatusWriter(self.layout.status(plan.batch), report)

    def read(self) -> list[Model]:
        """The models with games to ask. A model that cannot be read is left out, with a message."""
        self.deadline = Deadline.of_this_job()
        kind = AnswerFiles if self.stage is ANSWERS else Files
        self.files: Files | AnswerFiles = kind(self.plan, self.layout)
        models = []
        for name in self.plan.models:
            if self.files.is_made(name):
                self.status.done.add(name)
                continue
            try:
                model = self.files.model(name)
            except DataError as error:
                text = str(error)
                self.status.stop(name, StopKind.DATA, text, log=f"{name}: left out: {text}")
                continue
            questions = len(self.files.questions) if kind is Files else 0
            if questions and (skipped := questions - len({game.uid for game in model.games})):
                text = f"{name}: {skipped} of {questions} questions left out: an answer is missing"
                self.report.log(text)
            self.status.games[name] = ModelStatus(len(model.games))
            models.append(model)
        return models

    def play(self, models: list[Model], *, replay: bool = False) -> None:
        """Complete all models; wait, without a server, for those that another process has locked.

        replay: send nothing, only write what complete journals give. Raises an ArenaError.
        """
        first = True
        while models:
            free, locked = [], []
            with contextlib.ExitStack() as locks:
                for model in models:
                    if (holder := model.lock.try_acquire(first=first)) is None:
                        locks.push(model.lock)
                        self.status.stops.pop(model.name, None)
                        free.append(model)
                        continue
                    locked.append(model)
                    if first:
                        text = f"{holder} is working on this model"
                        log = f"{model.name}: waiting: {text}"
                        self.status.stop(model.name, StopKind.HELD, text, log=log)
                if free:
                    self._play_free(free, replay)
            models, first = locked, False
            if locked and not free:
                if replay or self.deadline.is_over():
                    why = self.status.stops[locked[0].name].text
                    advice = f"Its {self.stage.request}s are kept: start again when it has ended"
                    raise JournalError(f"{locked[0].lock.path}: {why}. {advice}")
                self._watch_parent()
                self.status.write()
                time.sleep(LOCK_POLL)

    def _play_free(self, models: list[Model], replay: bool) -> None:
        with contextlib.ExitStack() as stack:
            journals = {}
            for model in models:
                digests = {game.digest for game in model.games}
                journal = stack.enter_context(Journal(self.layout.journal(model.name), digests))
                model.journal = journals[model.name] = journal
                if journal.torn:
                    text = "dropped the last line of the journal: it is incomplete"
                    self.report.log(f"{model.name}: {text}")
                self.files.reread(journal)
            servings = self.files.servings(models)
            for serving in servings:
                try:
                    self._play_served(serving, journals, replay)
                except JudgeError as error:
                    if len(servings) == 1:
                        raise
                    # If one checkpoint cannot be served, the others still can.
                    for name in serving.models.keys() - self.status.done:
                        self.status.stop(name, StopKind(error.kind), str(error))

    def _play_served(self, serving: Serving, journals: Mapping[str, Journal], replay: bool) -> None:
        models = serving.models.values()
        planned = {model.name: model.games for model in models}
        games = BatchGames(serving.settings, planned, journals)
        try:
            self.report.begin(games.total(), self.status.count(games))
            for model in models:
                if games.is_whole(model.name):
                    self._write(model)
            self._check_first_answers(games, serving)
            if not all(map(games.is_dropped, games.prompts)) and not replay:
                self._ask(games, serving)
        finally:
            self.status.count(games)
        for model in models:
            if model.name not in self.status.done and not games.left(model.name):
                self._write(model)

    def _check_first_answers(self, games: BatchGames, serving: Serving) -> None:
        """Log warnings about first answers; with `stop_doubtful`, stop models whose are useless."""
        for name, doubt, is_stopped in self.files.warnings(serving.models.values()):
            if is_stopped:
                games.drop(name)
                self.status.stop(name, StopKind.DATA, f"{name}: stopped: {doubt.text}")
            else:
                self.report.log(f"{name}: warning: {doubt.text}")

    def _ask(self, games: BatchGames, serving: Serving) -> None:
        """Ask what is open. No server is started if the run has stopped or its budget is used."""
        if run_stop := RunStop.read(self.layout.run_stop(self.plan.run)):
            text = f"not tried again in this run: {run_stop}"
            if run_stop.stop.kind is StopKind.BUDGET:
                raise BudgetSpent(text)
            raise JudgeError(text, run_stop.stop.kind)
        if reason := self.guard.exceeded():
            left = self.stage.are_open(games.total() - games.played())
            raise BudgetSpent(f"{reason}; {left}")
        asyncio.run(self._ask_loop(games, serving))

    async def _ask_loop(self, games: BatchGames, serving: Serving) -> None:
        # Imported here, because a batch with complete journals does not need these.
        from arena.client.asker import Asker
        from arena.client.client import Client
        from arena.client.ready import RunningServer
        from arena.judge.endpoints import endpoints
        from arena.judge.server import Limits, LocalJudge

        begun, judge, settings = time.monotonic(), serving.judge, serving.settings
        models = serving.models
        timeout = judge.get("timeout_s") or QUEUE_SECONDS + SECONDS_PER_TOKEN * settings.most_tokens
        local: LocalJudge | None = None
        if judge["server"] == "external":
            addresses = endpoints(judge)
            self.attempt.note(launched=time.time(), ready=time.time())
        else:
            local = LocalJudge(
                judge,
                gpus=int(self.attempt.attempt.gpus or 0),
                log=self.layout.server_log(self.plan.batch),
                attempt=self.attempt,
                limits=Limits(**json.loads(os.environ.get(LIMITS, "{}"))),
                stage=self.stage,
            )
            addresses = [{"url": local.url, "key": local.key}]
        asker = Asker(addresses, settings, timeout=float(timeout))
        server = local or RunningServer(asker, settings.judge, self.report.log)
        self.report.secrets = asker.secrets
        writing: list[asyncio.Task] = []
        games.completed = lambda name: writing.append(
            asyncio.create_task(asyncio.to_thread(self._write, models[name]))
        )

        def lost() -> str | None:
            paths = (model.lock.path for model in models.values() if model.lock.lost)
            return next((f"{path}: another process took this lock" for path in paths), None)

        def tick() -> None:
            self._check_first_answers(games, serving)
            status = self.status
            status.judge = local.state if local else "ready"
            status.open, status.remark = client.open, client.remark
            self.report.progress(status.count(games))
            self._watch_parent()
            status.write()

        client = Client(
            games,
            asker,
            server,
            deadline=self.deadline,
            parallel=judge.get("parallel"),
            no_verdict_limit=judge.get("no_verdict_limit") or 0,
            exceeded=self.guard.exceeded,
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
            counts, before = client.counts, self.attempt.attempt
            first, last = before.first_game or counts.first, counts.last or before.last_game
            self.attempt.note(first_game=first, last_game=last)
            states, seconds = self.status.count(games), time.monotonic() - begun
            progress = self.report.progress_text(games.total(), states)
            outcome = "done" if states.total() == games.total() else "incomplete"
            self.report.log(f"{outcome}: {progress}; {counts.text(seconds)}")

    def _write(self, model: Model) -> None:
        """Write a complete model's file. If the disk fails, the journal still has everything."""
        name, journal, files = model.name, model.journal, self.files
        assert journal is not None
        path = self.layout.made(name)
        try:
            journal.sync()
            write_atomic(path, map(dump_line, files.lines(model)))
            made = Made(files.digest(name), model.inputs, path.stat().st_size, self.plan.run)
            made.write(self.layout.made_record(name))
        except (OSError, JournalError) as error:
            text = f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}"
            text += f". Fix this and start again: all {self.stage.request}s are kept"
            self.status.stop(name, StopKind.DATA, text)
        else:
            self.status.done.add(name)

    def _watch_parent(self) -> None:
        """Stop if Snakemake was killed, because then nothing else will stop us."""
        if os.getppid() != PARENT:
            gone = "the process that started this batch has ended; finished "
            self.interrupts.interrupt(f"{gone}{self.stage.request}s are kept")

    def finish(self, error: Exception | None) -> Stop | None:
        """Record how the attempt ended; returns why games are open, None if none is."""
        stop, status = None if error is None else stop_of(error, self.deadline), self.status
        left = [name for name in self.plan.models if name not in status.done]
        for name in left:
            text = f"some of its {self.stage.request}s are open"
            status.stops.setdefault(name, stop or Stop(StopKind.OPEN_GAMES, text))
        if left and stop is None:
            stop = status.stops[left[0]]
        # Other batches of answers have other weights, which may load.
        fatal = BudgetSpent if self.stage is ANSWERS else JudgeError | BudgetSpent
        if stop and stop.kind.ends_run and isinstance(error, fatal):
            self._stop_run(stop)
        status.open = 0
        status.write(force=True)
        self.attempt.ended(stop)
        done = f"done: all {self.stage.product} are written"
        self.report.log(f"stopped: {stop.text}" if stop else done)
        return stop

    def _stop_run(self, stop: Stop) -> None:
        """Stop the whole run: the other batches fail at once, and nothing is retried."""
        path, attempt = self.layout.run_stop(self.plan.run), self.attempt.attempt
        if RunStop.read(path) is None:
            # Without the number of open games, which only this batch has.
            budget = self.guard.exceeded() if stop.kind is StopKind.BUDGET else None
            why = Stop(stop.kind, (budget or stop.text).split("\n")[0])
            with contextlib.suppress(OSError):
                RunStop(why, self.plan.batch, attempt.node, attempt.log).write(path)


def play_batch(
    plan: BatchPlan, asked: Mapping[str, Any], *, tries_left: int, replay: bool = False
) -> int:
    """Run a batch; returns the exit status (see the module).

    asked: resources that its job requested (see `arena.batch.resources.asked_for`).
    """
    layout = Layout(Path(plan.root))
    here = Attempt.here(
        plan.batch,
        plan.run,
        gpus=gpu_count(requested_gpus(asked)),
        log=str(layout.server_log(plan.batch)),
        judge=plan.judge.get("name"),
        server=plan.judge.get("server"),
        asked=asked,
    )
    attempt = AttemptLog(None if replay else layout.attempts(plan.batch), here)
    log = None if replay else layout.log(plan.batch)
    error: Exception | None = None
    with Report(plan.batch, log, plan.stage) as report, Interrupts() as interrupts:
        batch = Batch(plan, report, interrupts, attempt)
        try:
            batch.play(batch.read(), replay=replay)
        except ArenaError as caught:
            error = caught
        except Exception as caught:
            batch.finish(caught)
            raise
        stop = batch.finish(error)
    if stop:
        print(f"{plan.batch}: {stop.text}", flush=True)
        hopeless = stop.kind.ends_run or stop.kind is StopKind.DATA
        if isinstance(error, Interrupted) or (tries_left > 0 and not hopeless and not replay):
            return 1
    if not replay:
        done = (f"{name}\n" for name in sorted(batch.status.done))
        write_atomic(layout.played(plan.batch), done)
    return 0
