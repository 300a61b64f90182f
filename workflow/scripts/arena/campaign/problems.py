"""What is wrong with a campaign, in words, each with the log or file to look at."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from arena.batch.made import made_otherwise
from arena.campaign.jobs import ALIVE, JobRow
from arena.campaign.status import CampaignStatus, ModelRow
from arena.data.game_state import STATES
from arena.journals.records import StopKind
from arena.support.humanize import counted, duration, listing, share

# A judge under load finishes a game every few seconds; minutes without one are no chance.
SILENT_S = 300
# Real judges leave some games without a verdict: about 1 in 100 in the published tables.
UNUSUAL_SHARE = 0.05
UNUSUAL_LEAST = 5  # fewer are chance
# Beginnings of squeue's reasons -> whether no waiting helps, for somebody has to change the request
# or the cluster; the others clear by themselves, but not by the queue's moving on alone.
WAITS = {
    "BadConstraints": (True, "no node has what the request asks for"),
    "DependencyNeverSatisfied": (True, "a job that it depends on has failed"),
    "JobHeldAdmin": (True, "an administrator holds it"),
    "JobHeldUser": (True, "it is held: scontrol release"),
    "launch failed requeued held": (True, "its node could not start it: scontrol release"),
    "PartitionNodeLimit": (True, "it asks for more nodes than the partition gives"),
    "PartitionTimeLimit": (
        True,
        "it asks for more time than the partition gives: set walltime.max_minutes",
    ),
    # Of what an account may hold at a time others give back, a sum of minutes nobody does.
    "AssocGrp(?!.*RunMinutes).*Minutes": (True, "the account has no minutes left"),
    "AssocGrp": (False, "the account's jobs hold its whole share"),
    "PartitionDown": (False, "the partition is down"),
    "ReqNodeNotAvail": (False, "the nodes that fit are down or reserved"),
}

# Kinds of stops that the models tell better than their batch.
_OF_MODELS = (StopKind.OPEN_GAMES, StopKind.HELD, StopKind.DATA, StopKind.JOURNAL)


@dataclass(frozen=True)
class Problem:
    """grave: it ends or blocks work. where: the log or file that tells more."""

    text: str
    grave: bool = False
    where: str = ""


def problems(status: CampaignStatus) -> list[Problem]:
    """The grave ones first."""
    found = [*_data(status), *_games(status), *_budget(status)]
    if status.stage:
        found += problems(status.stage)
    for job in status.jobs:
        found += [*_job(status, job), *_games_of(status, job)]
    if why := status.squeue_problem:
        found.append(Problem(f"Slurm cannot be asked, so waiting jobs are not shown: {why}"))
    return sorted(found, key=lambda problem: not problem.grave)


def _data(status: CampaignStatus) -> Iterator[Problem]:
    known, table = status.campaign.settings, status.campaign.layout.validation_table
    if known:
        for one in status.baselines:
            text = f"baseline {one.model}: {one.answered} of {one.questions} answers"
            if one.mark == "partial":
                text += "; questions without one are left out for all"
            if one.mark in ("missing", "partial"):
                yield Problem(text, one.mark == "missing", known.answer(one.model))
        for note in made_otherwise(status.campaign.layout, known.models, known.digest):
            yield Problem(f"one table, several settings: {note}")
    causes = defaultdict(list)
    for row in status.rows:
        answers = row.answers
        if not row.done and answers.mark == "missing":
            causes[answers.reason or "no answers"].append(row.model)
        elif answers.state in ("broken", "foreign_judgments"):
            causes[answers.reason or answers.state].append(row.model)
    for reason, models in causes.items():
        where = str(table) if table.exists() else ""
        yield Problem(f"{listing(models)}: {reason}", where=where)
    for batch in status.batches:
        for path in batch.unreadable:
            yield Problem(f"batch {batch.name}: its record is no JSON", where=path)


def _job(status: CampaignStatus, job: JobRow) -> Iterator[Problem]:
    left = [row for row in status.rows_of(job) if not row.done]
    attempt, stop, own_log = job.attempt, job.stop, _log(status, job.batch.name)
    log = (attempt.log if attempt else None) or own_log
    name = f"batch {job.batch.name}" + (f" on {job.node}" if job.node else "")
    if stop:
        told = any(row.stop and row.stop.kind in _OF_MODELS for row in left)
        walltime = stop.kind is StopKind.WALLTIME
        then = "; the next attempt, or the next run, plays the rest" if walltime else ""
        # A budget is told once for all batches.
        if stop.kind is not StopKind.BUDGET and not (stop.kind in _OF_MODELS and told):
            yield Problem(f"{name}: {stop.text}{then}", bool(left), log)
    elif job.state == "gone" and attempt:
        what = f"its Slurm job {attempt.job}" if attempt.job else "its process"
        text = f"{name}: {what} vanished without recording an end (killed, or the node died)"
        yield Problem(text, bool(left), log)
    elif job.state == "ended" and (silent := [row.model for row in left if not row.stop]):
        whole = [row.model for row in left if row.games and row.played >= row.games]
        if unplayed := [model for model in silent if model not in whole]:
            text = f"{name}: it ended before its games were played: {listing(unplayed)}"
            yield Problem(text, True, own_log)
        if published := [model for model in silent if model in whole]:
            text = "all games are played, judgments are missing or of other settings or inputs: "
            yield Problem(f"{text}{listing(published)}; the next run makes them, without a judge")
    elif job.state == "starting" and attempt and attempt.launched:
        if (waits := status.time - attempt.launched) > SILENT_S:
            text = f"{name}: the judge has been starting for {duration(waits)}"
            yield Problem(text, where=log)
    elif job.state == "queued":
        word = job.reason.split(",")[0].split("(")[0].strip()
        for pattern, (grave, why) in WAITS.items():
            if re.match(pattern, word):
                then = "will not start" if grave else "waits"
                text = f"batch {job.batch.name}: its job {job.job_id} {then}: {why} ({word})"
                yield Problem(text, grave)
                break
    former = [one.stop for one in job.batch.attempts if one.run == job.batch.run and one.stop]
    if left and former and job.state in ALIVE:
        text = f"{name}: {counted(len(former), 'attempt')} of this run ended before, the last: "
        yield Problem(text + former[-1].text, where=log)
    if attempt and attempt.restarts:
        number, last = len(attempt.restarts), attempt.restarts[-1]
        times = "once" if number == 1 else f"{number} times"
        text = f"{name}: the judge was started again {times}, last because {last}"
        yield Problem(text, where=log)


def _games(status: CampaignStatus) -> Iterator[Problem]:
    layout = status.campaign.layout
    for row in status.rows:
        journal, where = row.journal, str(layout.journal(row.model))
        if journal.unreadable:
            lines = counted(journal.unreadable, "line")
            yield Problem(f"{row.model}: {lines} of its journal cannot be read", where=where)
        if journal.problem:
            text = f"{row.model}: its journal cannot be read: {journal.problem}"
            yield Problem(text, where=where)
    if rows := _beyond_chance(status.rows, lambda row: row.no_verdict):
        states = sum((row.states for row in rows), Counter[str]())
        kinds = ", ".join(f"{states[state]} {state}" for state in STATES[1:] if states[state])
        part = share(sum(row.no_verdict for row in rows), sum(row.played for row in rows))
        text = f"{_names(rows)}: {part} of the games have no verdict ({kinds})"
        yield Problem(text, where=str(layout.journal(rows[0].model)))


def _games_of(status: CampaignStatus, job: JobRow) -> Iterator[Problem]:
    """What is wrong with the games of a batch: a line a kind, for what troubles a judge troubles
    all its models.
    """
    rows = [row for row in status.rows_of(job) if row.batch == job.batch.name]
    log, said, attempt = _log(status, job.batch.name), job.batch.status, job.attempt
    begun = (attempt.start if attempt else None) or 0
    remark = f"; last said: {said.remark}" if said and said.remark and said.time >= begun else ""
    if job.state == "running" and attempt:
        since = {row.model: max(row.tally.last_end or 0, attempt.ready or 0) for row in rows}
        open_rows = [row for row in rows if not row.done and not row.stop]
        if quiet := [row for row in open_rows if status.time - since[row.model] > SILENT_S]:
            least = status.time - max(since[row.model] for row in quiet)
            text = f"{_names(quiet)}: no game has ended for {duration(least)}{remark}"
            yield Problem(text, where=log)
    if failing := _beyond_chance(rows, lambda row: row.tally.retries):
        again = counted(sum(row.tally.retries for row in failing), "call")
        text = f"{_names(failing)}: {again} failed and were made again{remark}"
        yield Problem(text, where=log)
    told = {StopKind.BUDGET} | ({job.stop.kind} - {*_OF_MODELS} if job.stop else set())
    stopped = defaultdict(list)
    for row in rows:
        if row.stop and not row.done and row.stop.kind not in told:
            stopped[row.stop.text].append(row)
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
    rows = [row for row in status.rows if row.model in asked and not row.done and row.games]
    if spent and rows:
        stop, batch = spent[0]
        games = sum(max(0, (row.games or 0) - row.played) for row in rows)
        left = f"{counted(games, 'game')} of {counted(len(rows), 'model')}"
        yield Problem(f"{stop.text}; {left} left", True, _log(status, batch))


def _beyond_chance(rows: Sequence[ModelRow], number: Callable[[ModelRow], int]) -> list[ModelRow]:
    """Rows with more of something than chance gives: by themselves, or with those of their batch,
    for what troubles a judge is little in each of ten models.
    """

    def is_much(some: Sequence[ModelRow]) -> bool:
        part = sum(map(number, some))
        return part >= UNUSUAL_LEAST and part > UNUSUAL_SHARE * sum(row.played for row in some)

    batches = defaultdict(list)
    for row in rows:
        batches[row.batch].append(row)
    whole = {name for name, batch in batches.items() if is_much(batch)}
    return [row for row in rows if number(row) and (row.batch in whole or is_much([row]))]


def _names(rows: Iterable[ModelRow]) -> str:
    return listing([row.model for row in rows])


def _log(status: CampaignStatus, batch: str) -> str:
    """Of the batch's program; of a batch of the first version, the folder of its logs."""
    layout = status.campaign.layout
    paths = layout.log(batch), layout.logs(batch)
    return next((str(path) for path in paths if path.exists()), "")
