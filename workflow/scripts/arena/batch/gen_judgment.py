"""All games of one model, from its answers to its judgment file: the job behind gen_judgment."""

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.data.answers import Answer, read_answers
from arena.data.games import Game, GameSettings, plan_games
from arena.data.questions import Question, read_questions
from arena.journals.journal import Journal
from arena.journals.lock import Lock
from arena.journals.replay import copy_shared, judgment_lines, open_games, reparse, states_of
from arena.client.budget import Guard, SpentMark
from arena.client.deadline import Deadline, job_end
from arena.client.hooks import Counts, Hooks
from arena.client.report import Report, progress_text
from arena.client.share import NO_KEYS, Share, read_server
from arena.client.siblings import Siblings
from arena.support.errors import (
    ArenaError,
    BudgetSpent,
    DataError,
    JournalError,
    JudgeError,
)
from arena.support.interrupts import Interrupted, Interrupts
from arena.support.jsonl import dump_line, write_atomic
from arena.support.humanize import counted

# A reply of max_tokens at 4 tokens/s, which a full server still makes, plus the time in its queue.
SECONDS_PER_TOKEN = 0.25
QUEUE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Job:
    """The files of one model's games; root: `<results_dir>/<bench>/<judge>`."""

    model: str
    answer: Path
    baselines: Sequence[Path]
    questions: Path
    server: Path
    output: Path
    references: Sequence[Path] = ()

    @property
    def root(self) -> Path:
        return self.server.parent.parent

    @property
    def journal(self) -> Path:
        return self.root / "games" / f"{self.model}.jsonl"


def judge_model(job: Job, plain_settings: Mapping[str, Any], log: Path | str | None) -> None:
    """Play what the journal does not hold, then write the judgment file whole.

    Raises an ArenaError where games stay open; its text is the log's last line as well, as is that
    of an error that nobody expected.
    """
    settings = GameSettings.from_dict(plain_settings)
    kept = log and _kept_log(Path(log), job)
    with Report(job.model, kept) as report, Interrupts() as interrupts:
        try:
            batch = _read_json(job.root / "batches" / f"{job.server.stem}.json")
            _Session(job, settings, batch, interrupts, report).judge()
        except ArenaError as error:
            report.tell(f"stopped: {error}")
            raise type(error)(f"{job.model}: {error}") from error
        except Exception as error:
            report.tell(f"stopped: {type(error).__name__}: {error}")
            raise


def plan_of(job: Job, settings: GameSettings, questions: Iterable[Question]) -> list[Game]:
    """The games of a job, from its files."""

    def answers_of(path: Path) -> dict[str, Answer]:
        return read_answers(path).answers

    baselines = {path.name.removesuffix(".jsonl"): answers_of(path) for path in job.baselines}
    reference = answers_of(job.references[0]) if job.references else None
    return plan_games(settings, questions, answers_of(job.answer), baselines, reference)


@dataclass
class _Session:
    """One run of a job. Everything in it is made anew by a retry, but for what files hold."""

    job: Job
    settings: GameSettings
    batch: Mapping[str, Any]
    interrupts: Interrupts
    report: Report
    deadline: Deadline = field(default_factory=lambda: Deadline(job_end()))

    def judge(self) -> None:
        job, name = self.job, self.batch["batch"]
        others = [model for model in self.batch["models"] if model != job.model]
        siblings = Siblings(others, name, job.journal.parent, job.output.parent)
        guard = Guard.from_batch(self.batch, job.root)
        with Lock(job.journal, name) as lock:
            try:
                self._judge(lock, siblings, guard)
            except Exception as error:
                if isinstance(error, BudgetSpent):
                    SpentMark(job.root, self.batch["run"]).write(guard.exceeded())
                self._wait_for(siblings, lock, error)
                raise

    def _judge(self, lock: Lock, siblings: Siblings, guard: Guard) -> None:
        job, report = self.job, self.report
        questions = read_questions(job.questions)
        games = plan_of(job, self.settings, questions)
        if not games:
            raise DataError(f"{job.answer}: no question is answered by the model and its baseline")
        skipped = len(questions) - len(games) // 2
        if skipped:
            report.tell(f"{skipped} of {len(questions)} questions left out: an answer is missing")
        lock.acquire(
            until=self.deadline.leave_at,
            waiting=lambda holder: report.tell(f"waiting: {holder} is playing these games"),
        )
        with Journal(job.journal, {game.digest for game in games}) as journal:
            self._play(games, journal, lock, siblings, guard)
            copy_shared(games, journal)
            journal.sync()
            lines = judgment_lines(self.settings, job.model, questions, games, journal)
            try:
                write_atomic(job.output, map(dump_line, lines))
            except OSError as error:
                raise DataError(
                    f"{job.output}: cannot be written: {error.strerror}. Start again when it can: "
                    "all games are kept"
                ) from error

    def _play(
        self,
        games: list[Game],
        journal: Journal,
        lock: Lock,
        siblings: Siblings,
        guard: Guard,
    ) -> None:
        """Ask what is open, if anything is."""
        report = self.report
        if journal.torn:
            report.tell("the journal's last line was torn and is dropped")
        reparse(journal, self.settings)
        todo = open_games(games, journal, self.settings)
        states = states_of(games, journal)
        report.begin(len(games), states)
        if not todo:
            report.tell(f"done: {progress_text(len(games), states)}, none asked")
            return
        if reason := guard.exceeded():  # no judge is launched for nothing
            raise BudgetSpent(f"{reason}; {counted(len(todo), 'game')} left")
        plain = read_server(self.job.server)
        entries = (plain, *plain.get("endpoints", ()))
        report.secrets = [key for entry in entries if (key := entry.get("key")) not in NO_KEYS]
        batch, job = self.batch, self.job
        share = Share(batch["judge"], job.server, batch["models"], job.model, siblings)
        hooks = Hooks(
            share=share,
            priority=lambda: share.priority,
            ready=share.refresh,
            others_play=siblings.playing,
            waiting=lambda waits: lock.set_state("waiting" if waits else "playing"),
            exceeded=guard.exceeded,
            lost=lambda: lock.lost,
            progress=lambda: report.progress(states_of(games, journal)),
            tell=report.tell,
        )
        begun, counts = time.monotonic(), Counts()
        try:
            asyncio.run(self._ask(todo, journal, plain, hooks, counts))
        finally:
            seconds = time.monotonic() - begun
            report.tell(_summary(len(games), states_of(games, journal), counts, seconds))

    async def _ask(
        self,
        todo: list[Game],
        journal: Journal,
        plain: Mapping[str, Any],
        hooks: Hooks,
        counts: Counts,
    ) -> None:
        # Here: these load openai, a second of CPU that a model wholly in its journal does not need.
        from arena.client.asker import Asker
        from arena.client.client import Client
        from arena.client.ready import Server

        judge = self.batch["judge"]
        usual = QUEUE_SECONDS + SECONDS_PER_TOKEN * self.settings.most_tokens
        asker = Asker(plain, self.settings, timeout=float(judge.get("timeout_s") or usual))
        server = Server(
            plain,
            self.settings.judge,
            supervised=judge.get("server") != "external",
            log=str(self.job.root / "logs" / self.batch["batch"] / "server.log"),
        )
        client = Client(
            self.settings,
            journal,
            asker,
            server,
            deadline=self.deadline,
            hooks=hooks,
            counts=counts,
            seed=os.getpid(),  # back-off of ten clients must not be the same
        )
        try:
            with self.interrupts.handled_by(client.interrupt):
                await client.run(todo)
        finally:
            await asker.close()

    def _wait_for(self, siblings: Siblings, lock: Lock, error: Exception) -> None:
        """Our failure ends the whole batch, so it has to wait until the others are done."""
        if isinstance(error, Interrupted):
            return
        # Without a judge, a budget, or a disk for the games, a sibling that is on its way has
        # nothing to begin.
        seen, told = isinstance(error, JudgeError | JournalError | BudgetSpent), False
        # What cannot be read or told now is a disk's end: two of us would wait for each other.
        with contextlib.suppress(OSError, JournalError):
            lock.set_state("waiting")
            while time.time() < self.deadline.last and (playing := siblings.playing(seen=seen)):
                if not told:
                    names = ", ".join(playing)
                    self.report.tell(f"waiting for {names} before this job fails: {error}")
                    told = True
                time.sleep(1)


def _summary(total: int, states: Counter[str], counts: Counts, seconds: float) -> str:
    failed = ", ".join(f"{kind} {number}" for kind, number in counts.failed.most_common())
    usage = counts.usage
    return (
        f"{'done' if states.total() == total else 'left'}: "
        f"{progress_text(total, states)}; {counts.calls} calls in {seconds:.1f} s"
        f"{f' (failed: {failed})' if failed else ''}"
        f"{f', {counts.again} for want of a verdict' if counts.again else ''}; tokens: "
        f"{usage['prompt']} prompt ({usage['cached']} cached), {usage['completion']} completion"
    )


def _kept_log(log: Path, job: Job) -> Path:
    """A log in the folder of the batch, to which `log` then leads.

    Snakemake removes `log` before each attempt, also while a job of a dead run still writes to it.
    """
    kept = job.root / "logs" / job.server.stem / log.name
    with contextlib.suppress(OSError):  # a read-only folder is the journal's to tell
        for path in (kept, log):
            path.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        log.symlink_to(os.path.relpath(kept, log.parent))
    return kept


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
