"""What is wrong with a campaign, in words, each with the log or file to look at."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from arena.campaign.jobs import JobRow
from arena.campaign.status import ModelRow, Survey
from arena.data.game_state import STATES
from arena.client.budget import sentence_of
from arena.judge.server_records import GIVEN_UP
from arena.support.humanize import counted, duration, listing, share

# A judge under load finishes a game every few seconds; minutes without one are no chance.
SILENT_S = 300
# Real judges leave some games without a verdict: about 1 in 100 in the published tables.
ODD_SHARE = 0.05
ODD_LEAST = 5  # fewer are chance
# Reasons of squeue for which no waiting helps: somebody has to change the request or the cluster.
STUCK = {
    "BadConstraints": "no node has what the request asks for",
    "DependencyNeverSatisfied": "a job that it depends on has failed",
    "JobHeldAdmin": "an administrator holds it",
    "JobHeldUser": "it is held: scontrol release",
    "launch failed requeued held": "its node could not start it: scontrol release",
    "PartitionNodeLimit": "it asks for more nodes than the partition gives",
    "PartitionTimeLimit": "it asks for more time than the partition gives: "
    "set walltime.max_minutes",
}
# What clears by itself, but not by the queue's moving on alone.
HELD_UP = {
    "AssocGrp": "the account's jobs hold its whole share",
    "PartitionDown": "the partition is down",
    "ReqNodeNotAvail": "the nodes that fit are down or reserved",
}
# Of what an account may hold at a time others give back, a sum of minutes nobody does.
SPENT_MINUTES = re.compile(r"AssocGrp(?!.*RunMinutes).*Minutes")

# A client that gives up makes Snakemake end its server: these causes are never the first one.
SECOND = (
    "the supervisor was killed",
    "the process that started the supervisor is gone",
    GIVEN_UP,
)
ENDS = {"walltime": "its walltime ended; the next attempt, or the next run, plays the rest"}


@dataclass(frozen=True)
class Trouble:
    """grave: it ends or blocks work. where: the log or file that tells more."""

    text: str
    grave: bool
    where: str = ""


def troubles(survey: Survey) -> list[Trouble]:
    """The grave ones first."""
    found = [*_data(survey), *_jobs(survey), *_games(survey)]
    if survey.squeue_problem:
        text = f"Slurm cannot be asked, so waiting jobs are not shown: {survey.squeue_problem}"
        found.append(Trouble(text, grave=False))
    return sorted(found, key=lambda trouble: not trouble.grave)


def _data(survey: Survey) -> Iterator[Trouble]:
    folder = survey.places.answers_dir
    for answers in survey.baselines:
        if answers.mark in ("missing", "partial"):
            text = (
                f"baseline {answers.model}: {answers.answered or 0} of {answers.questions} answers"
            )
            more = (
                "" if answers.mark == "missing" else "; questions without one are left out for all"
            )
            where = str(folder / f"{answers.model}.jsonl") if folder else ""
            yield Trouble(text + more, answers.mark == "missing", where)
    causes = defaultdict(list)
    for row in survey.rows:
        if row.mark != "done" and row.answers.mark == "missing":
            causes[row.answers.reason or "no answers"].append(row.model)
        elif row.answers.state in ("broken", "foreign_judgments"):
            causes[row.answers.reason or row.answers.state].append(row.model)
    for reason, models in causes.items():
        where = survey.places.root / "validation.tsv"
        yield Trouble(f"{listing(models)}: {reason}", False, str(where) if where.exists() else "")
    for batch in survey.batches:
        for path in batch.unreadable:
            yield Trouble(f"batch {batch.name}: its record is no JSON", False, path)


def _jobs(survey: Survey) -> Iterator[Trouble]:
    for job in survey.jobs:
        name, life = f"batch {job.batch.name}", job.life
        at = f" on {job.node}" if job.node else ""
        log = life.log if life and life.log else _log_folder(survey, job)
        if job.state in ("failed", "gone") and _said_why(survey, job):
            pass  # told below, as what the client said
        elif job.state == "failed":
            cause = ENDS.get(life.cause, life.cause)
            yield Trouble(f"{name}{at}: {cause}", _is_open(survey, job), log)
        elif job.state == "gone":
            what = f"its Slurm job {life.job}" if life.job else "its process"
            text = f"{name}{at}: {what} ended without a word (killed, or the node died)"
            yield Trouble(text, _is_open(survey, job), log)
        elif job.state == "ended" and (open_models := _unexplained(survey, job)):
            text = f"{name}{at}: it ended before its games were played: {listing(open_models)}"
            yield Trouble(text, True, _log_folder(survey, job))
        elif job.state == "starting" and life and life.launched:
            waits = survey.time - life.launched
            if waits > SILENT_S:
                text = f"{name}{at}: the judge has been starting for {duration(waits)}"
                yield Trouble(text, False, log)
        elif job.state == "queued":
            yield from _waits(name, job)
        if life and life.restarts:
            times = "once" if len(life.restarts) == 1 else f"{len(life.restarts)} times"
            text = (
                f"{name}{at}: the judge was started again {times}, last because {life.restarts[-1]}"
            )
            yield Trouble(text, False, log)


def _waits(name: str, job: JobRow) -> Iterator[Trouble]:
    """Why a job in the queue waits, where it is not just its turn that it waits for."""
    word = job.reason.split(",")[0].split("(")[0].strip()
    stuck = next((words for key, words in STUCK.items() if word.startswith(key)), None)
    if SPENT_MINUTES.match(word):
        stuck = f"the account has no minutes left ({word})"
    held_up = next((words for key, words in HELD_UP.items() if word.startswith(key)), None)
    if stuck:
        yield Trouble(f"{name}: its job {job.job_id} will not start: {stuck}", True)
    elif held_up:
        yield Trouble(f"{name}: its job {job.job_id} waits: {held_up} ({word})", False)


def _games(survey: Survey) -> Iterator[Trouble]:
    jobs = {job.batch.name: job for job in survey.jobs}
    stopped, quiet = defaultdict(list), defaultdict(list)
    spent: dict[str, str] = {}  # budget -> log of the first who said so
    for row in survey.rows:
        job = jobs.get(row.batch)
        log = _client_log(survey, row.model)
        journal = str(survey.places.root / "games" / f"{row.model}.jsonl")
        if row.unreadable:
            lines = counted(row.unreadable, "line")
            yield Trouble(f"{row.model}: {lines} of its journal cannot be read", False, journal)
        if row.problem:
            yield Trouble(f"{row.model}: its journal cannot be read: {row.problem}", False, journal)
        if row.mark == "done" or job is None:
            continue
        if row.stopped and job.state in ("ended", "gone", "failed"):
            if job.state == "failed" and row.stopped.startswith("the judge"):
                continue  # the batch's own cause is told
            if budget := sentence_of(row.stopped):
                spent.setdefault(budget, log)
            else:
                stopped[row.stopped].append((row.model, log))
        elif job.state == "running" and (silent := _silence(survey, row, job)) > SILENT_S:
            quiet[job.batch.name].append((silent, row.model, row.remark, log))
    for told in quiet.values():  # what troubles a judge troubles all its models
        yield _of_many(told, f"no game has ended for {duration(min(one[0] for one in told))}")
    yield from _failing(survey, [row for row in survey.rows if row.batch in jobs])
    if odd := _beyond_chance(survey.rows, lambda row: row.odd):
        states = sum((Counter(row.states) for row in odd), Counter())
        kinds = ", ".join(f"{states[state]} {state}" for state in STATES[1:] if states[state])
        part = share(sum(row.odd for row in odd), sum(row.played for row in odd))
        text = (
            f"{listing([row.model for row in odd])}: {part} of the games have no verdict ({kinds})"
        )
        yield Trouble(text, False, _client_log(survey, odd[0].model))
    for cause, models in stopped.items():
        names = listing([model for model, _ in models])
        yield Trouble(f"{names}: {cause}", True, models[0][1])
    for budget, log in spent.items():
        yield Trouble(f"{budget}; {_left(survey)} left", True, log)


def _failing(survey: Survey, rows: list[ModelRow]) -> Iterator[Trouble]:
    """Calls that had to be made again, a line a batch."""
    told = defaultdict(list)
    for row in _beyond_chance(rows, lambda row: row.retries):
        log = _client_log(survey, row.model)
        told[row.batch].append((row.retries, row.model, row.remark, log))
    for one in told.values():
        again = counted(sum(retries for retries, *_ in one), "call")
        yield _of_many(one, f"{again} failed and were made again")


def _beyond_chance(rows: Sequence[ModelRow], number: Callable[[ModelRow], int]) -> list[ModelRow]:
    """Rows with more of something than chance gives: by themselves, or with those of their batch,
    for what troubles a judge is little in each of ten models.
    """
    batches = defaultdict(list)
    for row in rows:
        batches[row.batch].append(row)
    whole = {
        name
        for name, batch in batches.items()
        if _is_much(sum(map(number, batch)), sum(row.played for row in batch))
    }
    return [
        row
        for row in rows
        if number(row) and (row.batch in whole or _is_much(number(row), row.played))
    ]


def _is_much(part: int, games: int) -> bool:
    return part >= ODD_LEAST and part > ODD_SHARE * games


def _left(survey: Survey) -> str:
    """Games that the newest run has not played."""
    planned = {model for job in survey.jobs for model in job.batch.models}
    rows = [row for row in survey.rows if row.model in planned and row.mark != "done"]
    games = sum(max(0, (row.games or 0) - row.played) for row in rows)
    return f"{counted(games, 'game')} of {counted(len(rows), 'model')}"


def _client_log(survey: Survey, model: str) -> str:
    return str(survey.places.root / "logs" / "gen_judgment" / f"{model}.log")


def _of_many(told: list[tuple], words: str) -> Trouble:
    """One trouble of several models: (number, model, what its client said, its log)."""
    names = listing([model for _, model, _, _ in told])
    remark = next((f"; last said: {said}" for _, _, said, _ in told if said), "")
    return Trouble(f"{names}: {words}{remark}", False, told[0][3])


def _silence(survey: Survey, row: ModelRow, job: JobRow) -> float:
    """Seconds since its last game, or since the judge was ready."""
    return survey.time - max(row.last or 0, job.life.ready or 0)


def _is_open(survey: Survey, job: JobRow) -> bool:
    """Whether a model of the batch still lacks judgments: else its end has harmed nobody."""
    return any(row.mark != "done" for row in survey.rows if row.model in job.batch.models)


def _said_why(survey: Survey, job: JobRow) -> bool:
    """Whether a client of the batch gave a reason that is not its judge, and no other came first.

    A client that gives up makes Snakemake end its server, with or without a last word.
    """
    if job.state == "failed" and job.life.cause not in SECOND:
        return False
    words = [row.stopped for row in survey.rows if row.model in job.batch.models and row.stopped]
    return any(not text.startswith("the judge") for text in words)


def _unexplained(survey: Survey, job: JobRow) -> list[str]:
    """Models of the batch that still lack judgments and whose client did not say why."""
    rows = [row for row in survey.rows if row.model in job.batch.models]
    return [row.model for row in rows if row.mark != "done" and not row.stopped]


def _log_folder(survey: Survey, job: JobRow) -> str:
    folder: Path = survey.places.root / "logs" / job.batch.name
    return str(folder) if folder.exists() else ""
