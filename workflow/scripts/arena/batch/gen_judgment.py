"""Play a batch: start the judge, play all games of its models, make their judgments, clean up.

One process, one loop. A model's judgments are made as that model is complete. The exit status is 1
where another attempt may help: games are open, and attempts are left. On the last attempt it is 0:
each model that is not complete says for itself what it lacks.
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

from arena.batch.answer_files import AnswerFiles
from arena.batch.ends import stop_of
from arena.batch.made import Made
from arena.batch.models import Files, Model, Serving
from arena.batch.resources import requested_gpus
from arena.batch.standing import Standing
from arena.client.budget import Guard, Meter
from arena.client.deadline import Deadline
from arena.client.report import Report, progress_text
from arena.data.layout import Layout
from arena.journals.attempts import Attempt, AttemptLog
from arena.journals.batch_games import BatchGames
from arena.journals.journal import Journal
from arena.journals.records import BatchPlan, ModelStatus, RunStop, Stop, StopKind
from arena.judge.launch import gpu_count
from arena.support.errors import ArenaError, BudgetSpent, DataError, JournalError, JudgeError
from arena.support.humanize import counted
from arena.support.interrupts import Interrupted, Interrupts
from arena.support.jsonl import dump_line, write_atomic

# A reply of max_tokens at 4 tokens/s, which a full server still makes, plus the time in its queue.
SECONDS_PER_TOKEN = 0.25
QUEUE_SECONDS = 120.0
LOCK_POLL = 5.0  # s between looks at locks that others hold; two runs may overlap for hours
LIMITS = "ARENA_JUDGE_LIMITS"  # JSON: fields of arena.judge.server.Limits, for tests
PARENT = os.getppid()


class Batch:
    """One attempt of a batch; everything in it is made anew by a retry, but for what files hold."""

    def __init__(
        self, plan: BatchPlan, report: Report, interrupts: Interrupts, attempt: AttemptLog
    ):
        self.plan, self.report, self.interrupts, self.attempt = plan, report, interrupts, attempt
        self.layout = Layout(Path(plan.root))
        self.deadline = Deadline()
        roots = [self.layout.root, *map(Path, plan.beside)]
        spent = Meter(roots, plan.run, plan.time or time.time())
        self.guard = Guard(plan.budget, spent.read)
        self.standing = Standing(self.layout.status(plan.batch), report)

    def read(self) -> list[Model]:
        """The models that have something to play. One that cannot be read costs itself alone."""
        self.deadline = Deadline.of_this_job()
        kind = AnswerFiles if "writers" in self.plan.params else Files
        self.files: Files | AnswerFiles = kind(self.plan, self.layout)
        models = []
        for name in self.plan.models:
            if self.files.is_made(name):
                self.standing.done.add(name)
                continue
            try:
                model = self.files.model(name)
            except DataError as error:
                told = f"{name}: left out: {error}"
                self.standing.give_up(name, StopKind.DATA, str(error), told=told)
                continue
            questions = len(self.files.questions) if kind is Files else 0
            if questions and (skipped := questions - len({game.uid for game in model.games})):
                text = f"{name}: {skipped} of {questions} questions left out: an answer is missing"
                self.report.tell(text)
            self.standing.games[name] = ModelStatus(len(model.games))
            models.append(model)
        return models

    def play(self, models: list[Model], *, replay: bool = False) -> None:
        """Play all models; those that another process plays are waited for, without a judge.

        replay: ask nothing, only make what the journals hold. Raises an ArenaError.
        """
        first = True
        while models:
            free, held = [], []
            with contextlib.ExitStack() as locks:
                for model in models:
                    if (holder := model.lock.try_acquire(first=first)) is None:
                        locks.push(model.lock)
                        self.standing.stops.pop(model.name, None)
                        free.append(model)
                        continue
                    held.append(model)
                    if first:
                        text = f"{holder} is playing these games"
                        told = f"{model.name}: waiting: {text}"
                        self.standing.give_up(model.name, StopKind.HELD, text, told=told)
                if free:
                    self._play_free(free, replay)
            models, first = held, False
            if held and not free:
                if replay or self.deadline.is_over():
                    why = self.standing.stops[held[0].name].text
                    raise JournalError(
                        f"{held[0].lock.path}: {why}. They are not lost: start again when it has "
                        "ended"
                    )
                self._watch_parent()
                self.standing.write()
                time.sleep(LOCK_POLL)

    def _play_free(self, models: list[Model], replay: bool) -> None:
        with contextlib.ExitStack() as stack:
            journals = {}
            for model in models:
                journal = Journal(
                    self.layout.journal(model.name), {game.digest for game in model.games}
                )
                model.journal = journals[model.name] = stack.enter_context(journal)
                if journal.torn:
                    self.report.tell(f"{model.name}: the journal's last line was torn: dropped")
                self.files.replayed(journal)
            servings = self.files.servings(models)
            for serving in servings:
                try:
                    self._play_served(serving, journals, replay)
                except JudgeError as error:
                    if len(servings) == 1:
                        raise
                    # A checkpoint that cannot be served costs itself alone.
                    for name in serving.models.keys() - self.standing.done:
                        self.standing.give_up(name, StopKind(error.kind), str(error))

    def _play_served(self, serving: Serving, journals: Mapping[str, Journal], replay: bool) -> None:
        models = serving.models.values()
        planned = {model.name: model.games for model in models}
        games = BatchGames(serving.settings, planned, journals)
        try:
            self.report.begin(games.total(), self.standing.count(games))
            for model in models:
                if games.is_whole(model.name):
                    self._make(model)
            self._look(games, serving)
            if not all(map(games.is_dropped, games.prompts)) and not replay:
                self._ask(games, serving)
        finally:
            self.standing.count(games)
        for model in models:
            if model.name not in self.standing.done and not games.left(model.name):
                self._make(model)

    def _look(self, games: BatchGames, serving: Serving) -> None:
        """Say what is odd about first answers; give up models that had better be mended first."""
        for name, doubt, give_up in self.files.doubtful(serving.models.values()):
            if give_up:
                games.drop(name)
                self.standing.give_up(name, StopKind.DATA, f"{name}: given up: {doubt.text}")
            else:
                self.report.tell(f"{name}: {doubt.text}")

    def _ask(self, games: BatchGames, serving: Serving) -> None:
        """Ask what is open; no judge is launched for nothing."""
        if run_stop := RunStop.read(self.layout.run_stop(self.plan.run)):
            text = f"not tried again in this run: {run_stop}"
            if run_stop.stop.kind is StopKind.BUDGET:
                raise BudgetSpent(text)
            raise JudgeError(text, run_stop.stop.kind)
        if reason := self.guard.exceeded():
            left = games.total() - games.played()
            raise BudgetSpent(f"{reason}; {counted(left, 'game')} left")
        asyncio.run(self._ask_loop(games, serving))

    async def _ask_loop(self, games: BatchGames, serving: Serving) -> None:
        # Here: these load what a batch that is wholly in its journals does not need.
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
            )
            addresses = [{"url": local.url, "key": local.key}]
        asker = Asker(addresses, settings, timeout=float(timeout))
        server = local or RunningServer(asker, settings.judge, self.report.tell)
        self.report.secrets = asker.secrets
        makers: list[asyncio.Task] = []
        games.completed = lambda name: makers.append(
            asyncio.create_task(asyncio.to_thread(self._make, models[name]))
        )

        def lost() -> str | None:
            paths = (model.lock.path for model in models.values() if model.lock.lost)
            return next((f"{path}: another process took this lock" for path in paths), None)

        def tick() -> None:
            self._look(games, serving)
            standing = self.standing
            standing.judge = local.state if local else "ready"
            standing.open, standing.remark = client.open, client.remark
            self.report.progress(standing.count(games))
            self._watch_parent()
            standing.write()

        client = Client(
            games,
            asker,
            server,
            deadline=self.deadline,
            parallel=judge.get("parallel"),
            most_without=judge.get("no_verdict_limit") or 0,
            exceeded=self.guard.exceeded,
            lost=lost,
            tell=self.report.tell,
            tick=tick,
        )
        try:
            with self.interrupts.handled_by(client.interrupt):
                await client.run()
        finally:
            self.standing.judge = "ended"
            await asyncio.gather(*makers, return_exceptions=True)
            await asker.close()
            if local:
                await local.end()
            counts, before = client.counts, self.attempt.attempt
            first, last = before.first_game or counts.first, counts.last or before.last_game
            self.attempt.note(first_game=first, last_game=last)
            states, seconds = self.standing.count(games), time.monotonic() - begun
            self.report.tell(_summary(games.total(), states, counts, seconds))

    def _make(self, model: Model) -> None:
        """Write a complete model's judgments; a disk that fails costs no game."""
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
            text += ". Start again when it can: all games are kept"
            self.standing.give_up(name, StopKind.DATA, text)
        else:
            self.standing.done.add(name)

    def _watch_parent(self) -> None:
        """Snakemake was killed: nobody will tell us to stop."""
        if os.getppid() != PARENT:
            gone = "the process that started this batch is gone; finished games are kept"
            self.interrupts.interrupt(gone)

    def finish(self, error: Exception | None) -> Stop | None:
        """Write down how it ended; why games are open, None where none is."""
        stop, standing = None if error is None else stop_of(error, self.deadline), self.standing
        left = [name for name in self.plan.models if name not in standing.done]
        for name in left:
            standing.stops.setdefault(name, stop or Stop(StopKind.OPEN_GAMES, "its games are open"))
        if left and stop is None:
            stop = standing.stops[left[0]]
        if stop and stop.kind.ends_run and isinstance(error, JudgeError | BudgetSpent):
            self._stop_run(stop)
        standing.open = 0
        standing.write(force=True)
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
            with contextlib.suppress(OSError):
                RunStop(why, self.plan.batch, attempt.node, attempt.log).write(path)


def play_batch(
    plan: BatchPlan, asked: Mapping[str, Any], *, tries_left: int, replay: bool = False
) -> int:
    """Play a batch from its plan; the exit status (see the module).

    asked: resources that its job asked for (see `arena.batch.resources.asked_for`).
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
    with Report(plan.batch, log) as report, Interrupts() as interrupts:
        batch = Batch(plan, report, interrupts, attempt)
        try:
            batch.play(batch.read(), replay=replay)
        except ArenaError as caught:
            error = caught
        except Exception as caught:
            batch.finish(caught)
            raise
        stop = batch.finish(error)
    status = _exit_status(stop, error, tries_left=0 if replay else tries_left)
    if stop:
        print(f"{plan.batch}: {stop.text}", flush=True)
    if status == 0 and not replay:
        done = (f"{name}\n" for name in sorted(batch.standing.done))
        write_atomic(layout.played(plan.batch), done)
    return status


def _exit_status(stop: Stop | None, error: Exception | None, *, tries_left: int) -> int:
    if stop is None:
        return 0
    if isinstance(error, Interrupted):
        return 1
    hopeless = stop.kind.ends_run or stop.kind is StopKind.DATA
    return 1 if tries_left > 0 and not hopeless else 0


def _summary(total: int, states: Counter[str], counts: Any, seconds: float) -> str:
    failed = ", ".join(f"{kind} {number}" for kind, number in counts.failed.most_common())
    usage = counts.usage
    return (
        f"{'done' if states.total() == total else 'left'}: {progress_text(total, states)}; "
        f"{counts.calls} calls in {seconds:.1f} s{f' (failed: {failed})' if failed else ''}"
        f"{f', {counts.again} asked again (no verdict)' if counts.again else ''}; tokens: "
        f"{usage['prompt']} prompt ({usage['cached']} cached), {usage['completion']} completion"
    )
