"""The state of a campaign, from its files and from Slurm's queue.

Reads only. Any of the files may be missing or may be written at this moment; what is missing is
unknown and shown so.
"""

import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.campaign.campaign import Answers, Campaign, count_lines
from arena.campaign.jobs import ALIVE, JobRow, SlurmCache, job_rows
from arena.data.layout import Layout
from arena.data.stage import ANSWERS, Stage
from arena.journals.batches import Batch, newest_run, read_batches
from arena.journals.progress import Line, Progress, Tally
from arena.journals.records import ModelStatus, RunStop, Stop
from arena.setup.settings import Settings
from arena.support.names import in_order
from arena.support.times import iso

# Long enough for a slow judge to finish games in it, short enough to show a change of speed.
SPEED_WINDOW_S = 300
STEPS_S = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 86400)
MOST_STEPS = 120  # points of a curve: more do not fit on a screen
# State of a batch's job -> state of its models.
_AT = {"running": "judging", "idle": "starting", "ended": "stopped", "gone": "stopped"}


@dataclass(frozen=True)
class ModelRow:
    """One model; None means unknown."""

    answers: Answers
    judged: int  # questions with both games played
    games: int | None
    states: Counter[str]  # of the games played
    done: bool  # its judgments are complete and up to date
    at: str  # done, or what it is doing or waiting for
    played: int
    speed: float  # games a second over the last minutes; 0 if it is not being judged
    batch: str | None
    stop: Stop | None  # why its batch stopped asking its games
    tally: Tally  # of its journal
    journal: Progress

    @property
    def model(self) -> str:
        return self.answers.model

    @property
    def mark(self) -> str:
        return "done" if self.done else "partial" if self.played else "missing"

    @property
    def no_verdict(self) -> int:
        return self.states.total() - self.states["ok"]

    @property
    def left(self) -> float | None:
        """Seconds until its games are finished, at the current speed."""
        return max(0, self.games - self.played) / self.speed if self.games and self.speed else None


@dataclass(frozen=True)
class CampaignStatus:
    campaign: Campaign
    time: float
    rows: list[ModelRow]
    jobs: list[JobRow]  # of the newest run, and older ones that still have a job
    batches: list[Batch]
    baselines: list[Answers]
    squeue_problem: str | None
    run_stop: RunStop | None  # why the newest run submits no more jobs
    stage: "CampaignStatus | None" = None  # of the answers stage

    @property
    def is_answering(self) -> bool:
        """Whether this is the answers stage."""
        return self.words is ANSWERS

    @property
    def words(self) -> Stage:
        return self.campaign.layout.stage

    @property
    def toy(self) -> bool:
        if self.campaign.settings is not None:
            return self.campaign.settings.toy
        return bool(self.batches) and self.batches[-1].plan.toy

    @cached_property
    def marks(self) -> dict[str, int]:
        marks = [row.mark for row in self.rows]
        return {mark: marks.count(mark) for mark in ("done", "partial", "missing")}

    @property
    def with_answers(self) -> int | None:
        """Number of models that have answers; None if unknown for all."""
        known = [row.answers.answered for row in self.rows if row.answers.answered is not None]
        return sum(map(bool, known)) if known else None

    @cached_property
    def states(self) -> Counter[str]:
        return sum((row.states for row in self.rows), Counter[str]())

    @property
    def usage(self) -> tuple[int, ...]:
        """Tokens: prompt, of these cached, completion."""
        return tuple(sum(row.tally.usage[i] for row in self.rows) for i in range(3))

    @property
    def retries(self) -> int:
        return sum(row.tally.retries for row in self.rows)

    @property
    def played(self) -> int:
        return sum(row.played for row in self.rows)

    @property
    def games(self) -> int:
        """Of the models whose number of games is known."""
        return sum(row.games or 0 for row in self.rows)

    @cached_property
    def speed(self) -> float:
        """Games a second over the last minutes, including models that are done by now."""
        if all(job.state != "running" for job in self.jobs):
            return 0.0
        recent = [row.tally.recent(SPEED_WINDOW_S, self.time) for row in self.rows]
        started = min((first for _, first in recent), default=self.time)
        return sum(games for games, _ in recent) / max(1.0, self.time - started)

    @property
    def left(self) -> float | None:
        """Seconds until all known games are finished, at the current speed."""
        rest = sum(max(0, (row.games or 0) - row.played) for row in self.rows)
        return rest / self.speed if self.speed else None

    def rows_of(self, job: JobRow) -> list[ModelRow]:
        return [row for row in self.rows if row.model in job.batch.models]


def history(status: CampaignStatus) -> dict[str, Any] | None:
    """Games finished in each step of `seconds` since the newest run's first job started, by batch;
    None if no game has finished.
    """
    run = {job.batch.name for job in status.jobs}
    starts = [one.start for job in status.jobs for one in job.batch.attempts if one.start]
    start = min(starts, default=status.time)
    ends = [
        (row.batch, end)
        for row in status.rows
        if row.batch in run
        for line in row.journal.lines
        if line.attempts and (end := line.end) and start <= end <= status.time
    ]
    if not ends:
        return None
    alive = any(job.state in ALIVE for job in status.jobs)
    length = (status.time if alive else max(end for _, end in ends)) - start
    step = next((one for one in STEPS_S if one * MOST_STEPS > length), STEPS_S[-1])
    whole = max(1, int(length / step))  # without the last step, which is not over
    counts: dict[str, list[int]] = {}
    for batch, end in ends:
        of_batch = counts.setdefault(batch, [0] * whole)
        if (place := int((end - start) / step)) < whole:
            of_batch[place] += 1
    return {"seconds": step, "start": iso(start), "batches": counts}


class StatusReader:
    """Reads a campaign repeatedly: each line of a journal once; Slurm is asked rarely."""

    def __init__(self, campaign: Campaign):
        self.campaign = campaign
        self._journals: dict[str, Progress] = {}
        self._slurm = SlurmCache()
        answers = campaign.settings.answers if campaign.settings else None
        self._stage = StatusReader(Campaign(Layout(answers.root))) if answers else None

    def read(self, now: float | None = None) -> CampaignStatus:
        now = time.time() if now is None else now
        layout, settings = self.campaign.layout, self.campaign.settings
        batches = [batch for batch in read_batches(layout.root) if not batch.is_replay]
        checked = self.campaign.validation()
        jobs, problem = job_rows(batches, self._slurm, now)
        models = settings.models if settings else _names(layout, checked, jobs)
        baselines = settings.baseline_models if settings else []
        run, answers = newest_run(batches), self.campaign.answers_of
        stage = self._stage.read(now) if self._stage else None
        rows = [
            self._row(answers(m, checked), [j for j in jobs if m in j.batch.models], now)
            for m in models
        ]
        if settings:
            jobs = _settled(jobs, {row.model for row in rows if row.done})
            stage = stage and _with_files(stage, settings)
        return CampaignStatus(
            campaign=self.campaign,
            time=now,
            rows=[self._answering(row, stage) for row in rows] if stage else rows,
            jobs=[j for j in jobs if j.batch.models and (j.batch.run == run or j.state in ALIVE)],
            batches=batches,
            baselines=[answers(name, checked) for name in baselines],
            squeue_problem=problem,
            run_stop=RunStop.read(layout.run_stop(run)) if run else None,
            stage=stage,
        )

    def _answering(self, row: ModelRow, stage: CampaignStatus) -> ModelRow:
        """The row, with the progress of the answers stage while the model has no answer file."""
        mine = next((one for one in stage.rows if one.model == row.model), None)
        settings = self.campaign.settings
        if mine is None or settings is None or Path(settings.answer(row.model)).exists():
            return row
        ended = mine.at in ("stopped", "failed", "no job", "done")
        answers = replace(row.answers, answered=mine.played, questions=mine.games)
        return replace(row, answers=answers, at="no answers" if ended else "answering")

    def _row(self, answers: Answers, jobs: list[JobRow], now: float) -> ModelRow:
        model, settings = answers.model, self.campaign.settings
        path = self.campaign.layout.journal(model)
        journal = self._journals.setdefault(model, Progress(path)).update()
        tally = Tally(journal.lines, _filter([job.batch for job in jobs], self.campaign.pilot))
        job = jobs[-1] if jobs else None
        batch, reported = job.batch if job else None, _reported(job, model)
        games = 0
        if batch and self.campaign.same_questions(batch):
            games = int(batch.plan.games.get(model) or 0) or (reported.games if reported else 0)
        games = games or 2 * (answers.answered or 0)
        played, judged, states = tally.played, tally.questions, tally.states
        if settings and not journal.lines and (lines := count_lines(settings.judgment(model))):
            judged, played, games = lines, 2 * lines, 2 * lines  # its journal is not here
        done = self.campaign.is_judged(model, batch)
        if done is None:
            done = bool(games) and played >= games
        at = _AT.get(job.state, job.state) if job else "no job"
        if done or answers.mark == "missing":
            at = "done" if done else "no answers"
        elif answers.is_left_out and not (job and job.state in ALIVE):
            at, games = "left out", played
        elif at == "stopped" and games and played >= games:
            at = "publishing"
        if not done and reported and job and job.state in ALIVE:
            # Only the batch knows which games of the journal belong to the current answers.
            games, played = reported.games or games, reported.played
            states = Counter({state: int(number) for state, number in reported.states.items()})
            judged = min(judged, played // 2)
        games_now, first = tally.recent(SPEED_WINDOW_S, now)
        return ModelRow(
            answers=answers,
            judged=judged,
            games=games or None,
            states=states,
            done=done,
            at=at,
            played=played,
            speed=games_now / max(1.0, now - first) if at == "judging" else 0.0,
            batch=batch.name if batch else None,
            stop=reported.stop if reported else None,
            tally=tally,
            journal=journal,
        )


def _settled(jobs: list[JobRow], done: set[str]) -> list[JobRow]:
    """A failed job counts as ended once its models are done, by a later run or `adopt`."""
    return [
        replace(job, state="ended", stop=None)
        if job.state in ("failed", "gone") and done.issuperset(job.batch.models)
        else job
        for job in jobs
    ]


def _with_files(stage: CampaignStatus, settings: Settings) -> CampaignStatus:
    """The answers stage, in which models with an answer file are done."""
    busy = ("judging", "starting", "queued", "planned")  # answers.redo: asked again
    rows = [
        replace(row, done=True, at="done")
        if row.at not in busy and Path(settings.answer(row.model)).exists()
        else row
        for row in stage.rows
    ]
    done = {row.model for row in rows if row.done}
    return replace(stage, rows=rows, jobs=_settled(stage.jobs, done))


def _reported(job: JobRow | None, model: str) -> ModelStatus | None:
    """The model's status in the batch's newest attempt; that of earlier attempts is outdated."""
    status = job.batch.status if job else None
    if status and job and job.attempt and status.time >= (job.attempt.start or 0):
        return status.models.get(model)
    return None


def _filter(batches: list[Batch], pilot: Container[str] | None) -> Callable[[Line], bool]:
    """Whether a game counts: it is of the pilot and has the requests of the model's newest batch.

    A game has the requests of the attempt that started last before the game ended. Games from
    before all attempts, and adopted ones, count.
    """
    if len({batch.plan.requests for batch in batches}) <= 1:
        return lambda line: pilot is None or line.uid in pilot
    newest = batches[-1].plan.requests
    starts = sorted(
        (start, batch.plan.requests)
        for batch in batches
        for start in (batch.plan.time or 0, *(a.start for a in batch.attempts if a.start))
    )
    times = [start for start, _ in starts]

    def is_current(line: Line) -> bool:
        if pilot is not None and line.uid not in pilot:
            return False
        position = bisect(times, line.end or 0)
        return not line.attempts or not position or starts[position - 1][1] == newest

    return is_current


def _names(layout: Layout, checked: Iterable[str], jobs: Iterable[JobRow]) -> tuple[str, ...]:
    """The models of a results folder without a config: validated, planned, or with a journal."""
    planned = [model for job in jobs for model in job.batch.models]
    journals = sorted((path.stem for path in layout.journals()), key=in_order)
    return tuple(dict.fromkeys([*checked, *planned, *journals]))
