"""The problems of a campaign in words, each with the log or file to look at."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from arena.batch.made import made_otherwise
from arena.campaign.jobs import ALIVE, JobRow
from arena.campaign.status import CampaignStatus, ModelRow
from arena.data.verdict import STATES
from arena.journals.records import StopKind
from arena.support.humanize import counted, duration, listing, share

SILENT_S = 300  # under load, a game finishes every few seconds
# Real judges leave some games without a verdict: about 1 in 100 in the published tables.
UNUSUAL_SHARE = 0.05
UNUSUAL_LEAST = 5  # fewer are chance
MOST_CAUSES = 3  # models that are left out for more causes share one message
# Beginnings of squeue's reasons -> whether the job will never start, because somebody must change
# the request or the cluster; and the reason in words. Other reasons are normal waiting.
WAITS = {
    "BadConstraints|PartitionNodeLimit": (True, "no node or partition satisfies the request"),
    "JobHeld|launch failed requeued held": (True, "it is held: scontrol release"),
    "PartitionTimeLimit": (True, "it exceeds the partition's time limit: set walltime.max_minutes"),
    # Used resources become free again when other jobs end; a budget of minutes does not.
    "AssocGrp(?!.*RunMinutes).*Minutes": (True, "the account has no minutes left"),
    "AssocGrp": (False, "the account has reached its limit of running jobs or resources"),
    "PartitionDown": (False, "the partition is down"),
    "ReqNodeNotAvail": (False, "the nodes that it needs are down or reserved"),
}

# Kinds of stops about which the models' messages say more than their batch's.
_OF_MODELS = (StopKind.OPEN_GAMES, StopKind.HELD, StopKind.DATA, StopKind.JOURNAL)


@dataclass(frozen=True)
class Problem:
    """grave: it ends or blocks work. where: the log or file with details."""

    text: str
    grave: bool = False
    where: str = ""


def problems(status: CampaignStatus) -> list[Problem]:
    found = [*_data(status), *_games(status), *_budget(status)]
    if status.stage:
        found += problems(status.stage)
    for job in status.jobs:
        found += [*_job(status, job), *_games_of(status, job)]
    if why := status.squeue_problem:
        found.append(Problem(f"squeue failed, so waiting jobs are not shown: {why}"))
    return sorted(found, key=lambda problem: not problem.grave)


def _data(status: CampaignStatus) -> Iterator[Problem]:
    settings, layout = status.campaign.settings, status.campaign.layout
    if settings:
        for one in status.baselines:
            if one.state == "answering" or (one.state == "baseline" and not one.answered):
                continue  # its answers are made first
            text = f"baseline {one.model}: answers to {one.answered} of {one.questions} questions"
            is_blocked = one.mark == "missing" or settings.baseline_gaps == "block"
            text += "; the other questions are left out for all models" * (not is_blocked)
            if one.mark in ("missing", "partial"):
                yield Problem(text, is_blocked, settings.answer(one.model))
        for note in made_otherwise(layout, settings.models, settings.digest):
            yield Problem(f"the leaderboard mixes different settings: {note}")
    by_state = defaultdict[str, dict[str, list[str]]](dict)
    for row in status.rows:
        answers, state = row.answers, row.answers.state
        is_made = state in ("to_answer", "answering")  # in this run
        is_lost = answers.is_left_out or (answers.mark == "missing" and not is_made)
        if (is_lost and not row.done) or state in ("broken", "foreign_judgments"):
            state = (state or "no_answers").replace("_", " ")
            by_state[state].setdefault(answers.reason or state, []).append(row.model)
    where = str(layout.validation_table) if layout.validation_table.exists() else ""
    for state, causes in by_state.items():
        if len(causes) > MOST_CAUSES:
            causes = {state: [model for models in causes.values() for model in models]}
        for reason, models in causes.items():
            yield Problem(f"{listing(models)}: {reason}", where=where)
    for batch in status.batches:
        for path in batch.unreadable:
            yield Problem(f"batch {batch.name}: its record is not valid JSON", where=path)


def _job(status: CampaignStatus, job: JobRow) -> Iterator[Problem]:
    rows = status.rows_of(job)
    left = [row for row in rows if not row.done and not row.answers.is_left_out]
    attempt, stop, words = job.attempt, job.stop, status.words
    own_log = _log(status, job.batch.name)
    log = (attempt.log if attempt else None) or own_log
    batch = f"{words.title} {job.batch.name}"
    name = batch + (f" on {job.node}" if job.node else "")
    if stop:
        by_models = any(row.stop and row.stop.kind in _OF_MODELS for row in left)
        walltime = stop.kind is StopKind.WALLTIME
        then = f"; a retry or the next run asks for the other {words.request}s" if walltime else ""
        # A used-up budget is reported once for all batches, by `_budget`.
        if stop.kind is not StopKind.BUDGET and not (stop.kind in _OF_MODELS and by_models):
            yield Problem(f"{name}: {stop.text}{then}", bool(left), log)
    elif job.state == "gone" and attempt:
        what = f"its Slurm job {attempt.job}" if attempt.job else "its process"
        text = f"{name}: {what} vanished without recording an end: killed, or the node failed"
        yield Problem(text, bool(left), log)
    elif job.state == "ended" and status.campaign.same_questions(job.batch):
        complete = [row for row in left if row.at == "publishing"]
        if open_rows := [row for row in left if row.at == "stopped" and not row.stop]:
            text = f"{name}: it ended although {words.request}s are open: {_names(open_rows)}"
            yield Problem(text, True, own_log)
        # Snakemake, which publishes them, learns of the end of a Slurm job a little later.
        if complete and attempt and status.time - (attempt.end or 0) > SILENT_S:
            text = f"{_names(complete)}: {words.unpublished}; the next run writes them"
            yield Problem(f"{text} without starting a server")
    elif job.state == "starting" and attempt and attempt.launched:
        if (waits := status.time - attempt.launched) > SILENT_S:
            text = f"{name}: the {words.host} has been starting for {duration(waits)}"
            yield Problem(text, where=log)
    elif job.state == "queued":
        word = job.reason.split(",")[0].split("(")[0].strip()
        for pattern, (grave, why) in WAITS.items():
            if re.match(pattern, word):
                then = "will not start" if grave else "waits"
                yield Problem(f"{batch}: its job {job.job_id} {then}: {why} ({word})", grave)
                break
    former = [one.stop for one in job.batch.attempts if one.run == job.batch.run and one.stop]
    if left and former and job.state in ALIVE:
        text = f"{name}: {counted(len(former), 'earlier attempt')} of this run failed, the last: "
        yield Problem(text + former[-1].text, where=log)
    if attempt and attempt.restarts:
        times = counted(len(attempt.restarts), "time")
        text = f"{name}: the {words.host} was restarted {times}, most recently: "
        yield Problem(text + attempt.restarts[-1]["cause"], where=log)


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
    if rows := _unusual(status.rows, lambda row: row.no_verdict):
        states = sum((row.states for row in rows), Counter[str]())
        kinds = ", ".join(f"{states[state]} {state}" for state in STATES[1:] if states[state])
        part = share(sum(row.no_verdict for row in rows), sum(row.played for row in rows))
        text = f"{_names(rows)}: {part} of the {status.words.no_verdict} ({kinds})"
        yield Problem(text, where=str(layout.journal(rows[0].model)))


def _games_of(status: CampaignStatus, job: JobRow) -> Iterator[Problem]:
    """Problems with a batch's games: one line for each kind, since a problem of the server affects
    all its models.
    """
    rows = [row for row in status.rows_of(job) if row.batch == job.batch.name]
    log, last, attempt = _log(status, job.batch.name), job.status, job.attempt
    remark = f"; last error: {last.remark}" if last and last.remark else ""
    if job.state == "running" and attempt:
        since = {row.model: max(row.tally.last_end or 0, attempt.ready or 0) for row in rows}
        if len(job.batch.plan.servings) > 1:  # models wait for the server of another one
            since = dict.fromkeys(since, max(since.values(), default=0))
        open_rows = [row for row in rows if row.at in ("judging", "answering") and not row.stop]
        if quiet := [row for row in open_rows if status.time - since[row.model] > SILENT_S]:
            least = duration(status.time - max(since[row.model] for row in quiet))
            text = f"{_names(quiet)}: no {status.words.request} has finished for {least}{remark}"
            yield Problem(text, where=log)
    if failing := _unusual(rows, lambda row: row.tally.retries):
        calls = counted(sum(row.tally.retries for row in failing), "call")
        yield Problem(f"{_names(failing)}: {calls} failed and were retried{remark}", where=log)
    reported = {StopKind.BUDGET} | ({job.stop.kind} - {*_OF_MODELS} if job.stop else set())
    stopped = defaultdict(list)
    for row in rows:
        if row.stop and not row.done and row.stop.kind not in reported:
            stopped[row.stop.text].append(row)
    for cause, models in stopped.items():
        yield Problem(f"{_names(models)}: {cause}", True, log)


def _budget(status: CampaignStatus) -> Iterator[Problem]:
    """Reported once, with the open games of the newest run."""
    run, settings = status.run_stop, status.campaign.settings
    asked = settings.selected if settings else {m for job in status.jobs for m in job.batch.models}
    rows = [row for row in status.rows if row.model in asked and not row.done and row.games]
    if run and run.kind is StopKind.BUDGET and rows:
        games = sum(max(0, (row.games or 0) - row.played) for row in rows)
        left = f"{counted(games, status.words.request)} of {counted(len(rows), 'model')}"
        yield Problem(f"{run.text}; {left} left", True, _log(status, run.batch))


def _unusual(rows: Sequence[ModelRow], number: Callable[[ModelRow], int]) -> list[ModelRow]:
    """Rows with more of something than chance explains, in the model or in its whole batch: a
    problem of the server may be small in each of ten models.
    """

    batches, unusual = defaultdict(list), set[str]()
    for row in rows:
        batches[row.batch].append(row)
    for group in [*batches.values(), *([row] for row in rows)]:
        part = sum(map(number, group))
        if part >= UNUSUAL_LEAST and part > UNUSUAL_SHARE * sum(row.played for row in group):
            unusual |= {row.model for row in group if number(row)}
    return [row for row in rows if row.model in unusual]


def _names(rows: Iterable[ModelRow]) -> str:
    return listing([row.model for row in rows])


def _log(status: CampaignStatus, batch: str) -> str:
    """Log of the batch's program, once there is one."""
    path = status.campaign.layout.log(batch)
    return str(path) if path.exists() else ""
