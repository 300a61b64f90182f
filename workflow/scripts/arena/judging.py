"""All games of one model, from its answers to its judgment file: the job behind gen_judgment."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.answers import Answer, read_answers
from arena.asker import NO_KEYS, Asker
from arena.budget import Guard
from arena.client import Client, Hooks, Interrupted
from arena.deadline import Deadline, job_end
from arena.errors import ArenaError, DataError, OpenGames
from arena.games import Game, GameSettings, plan_games
from arena.journal import Journal
from arena.jsonl import dump_line, write_atomic
from arena.lock import Lock
from arena.questions import Question, read_questions
from arena.ready import Server
from arena.replay import copy_shared, judgment_lines, open_games, reparse, states_of
from arena.report import Report, progress_text
from arena.share import Share, read_server
from arena.siblings import Siblings

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

    Raises an ArenaError where games stay open; its text is the log's last line as well.
    """
    settings = GameSettings.from_dict(plain_settings)
    with Report(job.model, log) as report:
        try:
            _judge(job, settings, report)
        except ArenaError as error:
            report.tell(f"stopped: {error}")
            raise type(error)(f"{job.model}: {error}") from error


def _judge(job: Job, settings: GameSettings, report: Report) -> None:
    batch = _read_json(job.root / "batches" / f"{job.server.stem}.json")
    if report.path is not None:
        _link(report.path, job.root / "logs" / batch["batch"])
    deadline = Deadline(job_end())
    questions = read_questions(job.questions)
    games = plan_of(job, settings, questions)
    if not games:
        raise DataError(f"{job.answer}: no question has an answer of the model and of its baseline")
    skipped = len(questions) - len(games) // 2
    if skipped:
        report.tell(f"{skipped} of {len(questions)} questions left out: an answer is missing")
    lock = Lock(job.journal, batch["batch"])
    lock.acquire(
        until=deadline.leave_at,
        waiting=lambda holder: report.tell(f"waiting: {holder} is playing these games"),
    )
    others = [model for model in batch["models"] if model != job.model]
    siblings = Siblings(others, batch["batch"], job.journal.parent, job.output.parent)
    with lock, Journal(job.journal, {game.digest for game in games}) as journal:
        if journal.torn:
            report.tell("the journal's last line was torn and is dropped")
        reparse(journal, settings)
        try:
            _play_open(job, settings, games, journal, lock, batch, siblings, deadline, report)
        except ArenaError as error:
            _wait_for_siblings(error, lock, siblings, deadline, report)
            raise
        copy_shared(games, journal)
        journal.sync()
        lines = judgment_lines(settings, job.model, questions, games, journal)
        write_atomic(job.output, map(dump_line, lines))


def plan_of(job: Job, settings: GameSettings, questions: Iterable[Question]) -> list[Game]:
    """The games of a job, from its files."""

    def answers_of(path: Path) -> dict[str, Answer]:
        return read_answers(path).answers

    baselines = {path.name.removesuffix(".jsonl"): answers_of(path) for path in job.baselines}
    reference = answers_of(job.references[0]) if job.references else None
    return plan_games(settings, questions, answers_of(job.answer), baselines, reference)


def _play_open(
    job: Job,
    settings: GameSettings,
    games: list[Game],
    journal: Journal,
    lock: Lock,
    batch: Mapping[str, Any],
    siblings: Siblings,
    deadline: Deadline,
    report: Report,
) -> None:
    todo = open_games(games, journal, settings)
    report.begin(len(games), states_of(games, journal))
    if not todo:
        report.tell(f"done: {progress_text(len(games), states_of(games, journal))}, none asked")
        return
    guard = Guard.from_batch(batch, job.root)
    if reason := guard.exceeded():  # before the first question: no judge is launched for nothing
        raise OpenGames(f"{reason}; {len(todo)} games are left")
    plain = read_server(job.server)
    judge = batch["judge"]
    keys = [entry.get("key") for entry in (plain, *plain.get("endpoints", ()))]
    report.secrets = [key for key in keys if key not in NO_KEYS]
    share = Share(judge, plain, len(batch["models"]), siblings)
    server = Server(
        plain,
        settings.judge,
        supervised=judge.get("server") != "external",
        log=str(job.root / "logs" / batch["batch"] / "server.log"),
    )
    usual = QUEUE_SECONDS + SECONDS_PER_TOKEN * settings.most_tokens
    timeout = float(judge.get("timeout_s") or usual)
    hooks = Hooks(
        share=share,
        priority=lambda: share.priority,
        ready=lambda: share.refresh(job.server),
        others_play=siblings.playing,
        waiting=lambda waits: lock.set_state("waiting" if waits else "playing"),
        exceeded=guard.exceeded,
        lost=lambda: lock.lost,
        progress=lambda _: report.progress(states_of(games, journal)),
        tell=report.tell,
    )
    begun = time.monotonic()
    client: Client | None = None

    async def play() -> Client:
        asker = Asker(plain, settings, timeout=timeout)
        nonlocal client
        client = Client(
            settings,
            journal,
            asker,
            server,
            deadline=deadline,
            hooks=hooks,
            seed=os.getpid(),
        )
        try:
            await client.run(todo, answered=bool(journal.records))
        finally:
            await asker.close()
        return client

    try:
        asyncio.run(play())
    finally:
        if client is not None:
            _summary(client, games, journal, time.monotonic() - begun, report)


def _summary(client: Client, games: list[Game], journal: Journal, seconds: float, report: Report):
    counts, states = client.counts, states_of(games, journal)
    failed = ", ".join(f"{kind} {number}" for kind, number in counts.failed.most_common())
    usage = counts.usage
    report.tell(
        f"{'done' if states.total() == len(games) else 'left'}: "
        f"{progress_text(len(games), states)}; {counts.calls} calls in {seconds:.1f} s"
        f"{f' (failed: {failed})' if failed else ''}"
        f"{f', {counts.again} for want of a verdict' if counts.again else ''}; tokens: "
        f"{usage['prompt']} prompt ({usage['cached']} cached), {usage['completion']} completion"
    )


def _wait_for_siblings(
    error: ArenaError, lock: Lock, siblings: Siblings, deadline: Deadline, report: Report
) -> None:
    """Our failure ends the whole batch, so it has to wait for the others, within reason."""
    if isinstance(error, Interrupted):
        return
    lock.set_state("waiting")
    told = False
    while time.time() < deadline.last and (playing := siblings.playing()):
        if not told:
            report.tell(f"{error}; waiting for {', '.join(playing)} before this job fails")
            told = True
        time.sleep(1)


def _link(log: Path, folder: Path) -> None:
    """Show a client's log in the folder of its batch as well."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / log.name
    with contextlib.suppress(FileExistsError):  # a retry of the same batch
        link.symlink_to(os.path.relpath(log, folder))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
