"""What is wrong with a campaign, in words, each with the log or file to look at."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from arena.campaign.jobs import JobRow
from arena.campaign.status import CampaignStatus, ModelRow
from arena.data.game_state import STATES
from arena.journals.records import StopKind
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

# Kinds of stops that the models tell better than their batch.
_OF_MODELS = (StopKind.OPEN_GAMES, StopKind.HELD, StopKind.DATA, StopKind.JOURNAL)


@dataclass(frozen=True)
class Problem:
    """grave: it ends or blocks work. where: the log or file that tells more."""

    text: str
    grave: bool
    where: str = ""


def problems(status: CampaignStatus) -> list[Problem]:
    """The grave ones first."""
    found = [*_data(status), *_jobs(status), *_games(status), *_budget(status)]
    if status.squeue_problem:
        text = f"Slurm cannot be asked, so waiting jobs are not shown: {status.squeue_problem}"
        found.append(Problem(text, grave=False))
    return sorted(found, key=lambda problem: not problem.grave)


def _data(status: CampaignStatus) -> Iterator[Problem]:
    folder, table = status.campaign.answers_dir, status.campaign.layout.validation_table
    for answers in status.baselines:
        if answers.mark in ("missing", "partial"):
            text = (
                f"baseline {answers.model}: {answers.answered or 0} of {answers.questions} answers"
            )
            if answers.mark == "partial":
                text += "; questions without one are left out for all"
            where = str(folder / f"{answers.model}.jsonl") if folder else ""
            yield Problem(text, answers.mark == "missing", where)
    causes = defaultdict(list)
    for row in status.rows:
        if row.mark != "done" and row.answers.mark == "missing":
            causes[row.answers.reason or "no answers"].append(row.model)
        elif row.answers.state in ("broken", "foreign_judgments"):
            causes[row.answers.reason or row.answers.state].append(row.model)
    for reason, models in causes.items():
        yield Problem(f"{listing(models)}: {reason}", False, str(table) if table.exists() else "")
    for batch in status.batches:
        for path in batch.unreadable:
            yield Problem(f"batch {batch.name}: its record is no JSON", False, path)


def _jobs(status: CampaignStatus) -> Iterator[Problem]:
    for job in status.jobs:
        rows = _rows_of(status, job)
        open_models = [row.model for row in rows if row.mark != "done"]
        attempt, own_log = job.attempt, _log(status, job.batch.name)
        log = (attempt.log if attempt else None) or own_log
        name = f"batch {job.batch.name}" + (f" on {job.node}" if job.node else "")
        told = any(row.stop and row.stop.kind in _OF_MODELS for row in rows if row.mark != "done")
        if job.stop and job.stop.kind is StopKind.BUDGET:
            pass  # told once for all batches
        elif job.stop and job.stop.kind in _OF_MODELS and told:
            pass  # told of its models
        elif job.stop:
            walltime = job.stop.kind is StopKind.WALLTIME
            then = "; the next attempt, or the next run, plays the rest" if walltime else ""
            yield Problem(f"{name}: {job.stop.text}{then}", bool(open_models), log)
        elif job.state == "gone" and attempt:
            what = f"its Slurm job {attempt.job}" if attempt.job else "its process"
            text = f"{name}: {what} ended without a word (killed, or the node died)"
            yield Problem(text, bool(open_models), log)
        elif job.state == "ended":
            silent = [row.model for row in rows if row.mark != "done" and not row.stop]
            if silent:
                text = f"{name}: it ended before its games were played: {listing(silent)}"
                yield Problem(text, True, own_log)
        elif job.state == "starting" and attempt and attempt.launched:
            waits = status.time - attempt.launched
            if waits > SILENT_S:
                text = f"{name}: the judge has been starting for {duration(waits)}"
                yield Problem(text, False, log)
        elif job.state == "queued":
            yield from _waits(f"batch {job.batch.name}", job)
        if attempt and attempt.restarts:
            times = "once" if len(attempt.restarts) == 1 else f"{len(attempt.restarts)} times"
            last = attempt.restarts[-1]
            text = f"{name}: the judge was started again {times}, last because {last}"
            yield Problem(text, False, log)


def _waits(name: str, job: JobRow) -> Iterator[Problem]:
    """Why a job in the queue waits, where it is not just its turn that it waits for."""
    word = job.reason.split(",")[0].split("(")[0].strip()
    stuck = next((words for key, words in STUCK.items() if word.startswith(key)), None)
    if SPENT_MINUTES.match(word):
        stuck = f"the account has no minutes left ({word})"
    held_up = next((words for key, words in HELD_UP.items() if word.startswith(key)), None)
    if stuck:
        yield Problem(f"{name}: its job {job.job_id} will not start: {stuck}", True)
    elif held_up:
        yield Problem(f"{name}: its job {job.job_id} waits: {held_up} ({word})", False)


def _games(status: CampaignStatus) -> Iterator[Problem]:
    for row in status.rows:
        journal = str(status.campaign.layout.journal(row.model))
        if row.journal.unreadable:
            lines = counted(row.journal.unreadable, "line")
            yield Problem(f"{row.model}: {lines} of its journal cannot be read", False, journal)
        if row.journal.problem:
            yield Problem(
                f"{row.model}: its journal cannot be read: {row.journal.problem}", False, journal
            )
    for job in status.jobs:
        rows = [row for row in _rows_of(status, job) if row.batch == job.batch.name]
        yield from _of_batch(status, job, rows, _log(status, job.batch.name))
    if odd := _beyond_chance(status.rows, lambda row: row.odd):
        states = sum((Counter(row.states) for row in odd), Counter())
        kinds = ", ".join(f"{states[state]} {state}" for state in STATES[1:] if states[state])
        part = share(sum(row.odd for row in odd), sum(row.played for row in odd))
        names = listing([row.model for row in odd])
        journal = str(status.campaign.layout.journal(odd[0].model))
        text = f"{names}: {part} of the games have no verdict ({kinds})"
        yield Problem(text, False, journal)


def _of_batch(
    status: CampaignStatus, job: JobRow, rows: list[ModelRow], log: str
) -> Iterator[Problem]:
    """What is wrong with the games of a batch: a line a kind, for what troubles a judge troubles
    all its models.
    """
    remark = f"; last said: {job.batch.status.remark}" if _remarks(job) else ""
    silent = [
        (row, status.time - max(row.tally.last_end or 0, job.attempt.ready or 0))
        for row in rows
        if job.state == "running" and job.attempt and row.mark != "done" and not row.stop
    ]
    if quiet := [(row, seconds) for row, seconds in silent if seconds > SILENT_S]:
        names, least = _names(row for row, _ in quiet), min(seconds for _, seconds in quiet)
        text = f"{names}: no game has ended for {duration(least)}{remark}"
        yield Problem(text, False, log)
    if failing := _beyond_chance(rows, lambda row: row.tally.retries):
        again = counted(sum(row.tally.retries for row in failing), "call")
        text = f"{_names(failing)}: {again} failed and were made again{remark}"
        yield Problem(text, False, log)
    stopped = defaultdict(list)
    for row in rows:
        stop, first = row.stop, job.stop and job.stop.kind
        told = stop is None or stop.kind is StopKind.BUDGET or row.mark == "done"
        if stop and not told and (stop.kind in _OF_MODELS or stop.kind != first):
            stopped[stop.text].append(row)
    for cause, models in stopped.items():
        yield Problem(f"{_names(models)}: {cause}", True, log)


def _budget(status: CampaignStatus) -> Iterator[Problem]:
    """Told once, with what the newest run has not played."""
    run, known = status.run_stop, status.campaign.settings
    said = [(run.stop, run.batch)] if run else []
    said += [(job.stop, job.batch.name) for job in status.jobs if job.stop]
    said += [(row.stop, row.batch or "") for row in status.rows if row.stop]
    spent = [(stop, batch) for stop, batch in said if stop.kind is StopKind.BUDGET]
    asked = known.selected if known else {m for job in status.jobs for m in job.batch.models}
    rows = [row for row in status.rows if row.model in asked and row.mark != "done" and row.games]
    if spent and rows:
        stop, batch = spent[0]
        games = sum(max(0, (row.games or 0) - row.played) for row in rows)
        left = f"{counted(games, 'game')} of {counted(len(rows), 'model')}"
        yield Problem(f"{stop.text}; {left} left", True, _log(status, batch))


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


def _rows_of(status: CampaignStatus, job: JobRow) -> list[ModelRow]:
    return [row for row in status.rows if row.model in job.batch.models]


def _names(rows: Iterable[ModelRow]) -> str:
    return listing([row.model for row in rows])


def _remarks(job: JobRow) -> bool:
    """Whether the batch's newest attempt has something to say."""
    status, start = job.batch.status, (job.attempt.start or 0) if job.attempt else 0
    return bool(status and status.remark and status.time >= start)


def _log(status: CampaignStatus, batch: str) -> str:
    """Of the batch's program; of a batch of the first version, the folder of its logs."""
    layout = status.campaign.layout
    paths = layout.log(batch), layout.logs(batch)
    return next((str(path) for path in paths if path.exists()), "")
