"""Where a campaign stands, from its files and from Slurm's queue: shown by `status_view`, its
problems told by `problems`.

Reads only. Every file may be written by others at this moment; what is not there yet is unknown,
and shown as such.
"""

import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.campaign.campaign import Answers, Campaign, count_lines
from arena.campaign.jobs import ALIVE, JobRow, Slurm, job_rows
from arena.data.layout import Layout
from arena.journals.batches import Batch, newest_run, read_batches
from arena.journals.progress import Line, Progress, Tally
from arena.journals.records import ModelStatus, RunStop, Stop
from arena.setup.settings import Settings
from arena.support.names import in_order
from arena.support.times import iso

# Long enough for a slow judge to finish games in it, short enough to show a change of speed.
SPEED_WINDOW_S = 300
STRETCHES_S = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 86400)
MOST_STRETCHES = 120  # points of a curve: more than that no screen shows
# What a model does while its batch's job is in a state.
_AT = {"running": "judging", "idle": "starting", "ended": "stopped", "gone": "stopped"}


@dataclass(frozen=True)
class ModelRow:
    """One model; None means not known."""

    answers: Answers
    judged: int  # questions with both games played
    games: int | None
    states: Counter[str]  # of the games played
    done: bool  # its judgments are complete and current
    at: str  # done, or what it is waiting for
    played: int
    speed: float  # games a second over the last minutes, while it plays
    batch: str | None
    stop: Stop | None  # why its batch gave it up
    tally: Tally  # of its journal
    journal: Progress

    @property
    def model(self) -> str:
        return self.answers.model

    @property
    def mark(self) -> str:
        """Of its judgments."""
        return "done" if self.done else "partial" if self.played else "missing"

    @property
    def no_verdict(self) -> int:
        """Games that ended without a verdict."""
        return self.states.total() - self.states["ok"]

    @property
    def left(self) -> float | None:
        """Seconds until its games are played, at the speed of now."""
        return max(0, self.games - self.played) / self.speed if self.games and self.speed else None


@dataclass(frozen=True)
class CampaignStatus:
    """All that the monitor shows."""

    campaign: Campaign
    time: float
    rows: list[ModelRow]
    jobs: list[JobRow]  # of the newest run, and of older ones what still has a job
    batches: list[Batch]
    baselines: list[Answers]
    squeue_problem: str | None
    run_stop: RunStop | None  # why the newest run submits nothing more
    stage: "CampaignStatus | None" = None  # of the answers, where this campaign makes them

    @property
    def toy(self) -> bool:
        """Whether the judge is the demo judge: by the config, else by the newest batch."""
        if self.campaign.settings is not None:
            return self.campaign.settings.toy
        return bool(self.batches) and self.batches[-1].plan.toy

    @cached_property
    def marks(self) -> dict[str, int]:
        marks = [row.mark for row in self.rows]
        return {mark: marks.count(mark) for mark in ("done", "partial", "missing")}

    @property
    def with_answers(self) -> int | None:
        """Models that have answers; None where nobody knows of any."""
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
        """All games of the models whose number is known."""
        return sum(row.games or 0 for row in self.rows)

    @cached_property
    def speed(self) -> float:
        """Games a second over the last minutes, those of models that are done meanwhile too."""
        if all(job.state != "running" for job in self.jobs):
            return 0.0
        recent = [row.tally.recent(SPEED_WINDOW_S, self.time) for row in self.rows]
        begun = min((first for _, first in recent), default=self.time)
        return sum(games for games, _ in recent) / max(1.0, self.time - begun)

    @property
    def left(self) -> float | None:
        """Seconds until all known games are played, at the speed of now."""
        rest = sum(max(0, (row.games or 0) - row.played) for row in self.rows)
        return rest / self.speed if self.speed else None

    def rows_of(self, job: JobRow) -> list[ModelRow]:
        return [row for row in self.rows if row.model in job.batch.models]


def history(status: CampaignStatus) -> dict[str, Any] | None:
    """Games that ended in each stretch of `seconds` since the newest run's first job began, by
    batch; None before a game has.
    """
    begun = [one.start for job in status.jobs for one in job.batch.attempts if one.start]
    run = {job.batch.name for job in status.jobs}
    start = min(begun, default=status.time)
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
    step = next((one for one in STRETCHES_S if one * MOST_STRETCHES > length), STRETCHES_S[-1])
    whole = max(1, int(length / step))  # without the last stretch, which is not over
    counts: dict[str, list[int]] = {}
    for batch, end in ends:
        of_batch = counts.setdefault(batch, [0] * whole)
        if (place := int((end - start) / step)) < whole:
            of_batch[place] += 1
    return {"seconds": step, "start": iso(start), "batches": counts}


class StatusReader:
    """Looks at a campaign again and again; reads each line of a journal once, asks Slurm rarely."""

    def __init__(self, campaign: Campaign):
        self.campaign = campaign
        self._journals: dict[str, Progress] = {}
        self._slurm = Slurm()
        made = campaign.settings.answers if campaign.settings else None
        self._stage = StatusReader(Campaign(Layout(made.root))) if made else None

    def read(self, now: float | None = None) -> CampaignStatus:
        now = time.time() if now is None else now
        layout, known = self.campaign.layout, self.campaign.settings
        batches = [batch for batch in read_batches(layout.root) if not batch.is_replay]
        checked = self.campaign.validation()
        jobs, problem = job_rows(batches, self._slurm, now)
        models = known.models if known else _names(layout, checked, jobs)
        baselines = known.baseline_models if known else []
        run, answers = newest_run(batches), self.campaign.answers_of
        stage = self._stage.read(now) if self._stage else None
        rows = [
            self._row(answers(m, checked), [j for j in jobs if m in j.batch.models], now)
            for m in models
        ]
        if known:
            jobs = _settled(jobs, {row.model for row in rows if row.done})
            stage = stage and _with_files(stage, known)
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
        """The row of a model whose answers are still being made."""
        mine = next((one for one in stage.rows if one.model == row.model), None)
        known = self.campaign.settings
        if mine is None or known is None or Path(known.answer(row.model)).exists():
            return row
        ended = mine.at in ("stopped", "failed", "no job", "done")
        answers = replace(row.answers, answered=mine.played, questions=mine.games)
        return replace(row, answers=answers, at="no answers" if ended else "answering")

    def _row(self, answers: Answers, jobs: list[JobRow], now: float) -> ModelRow:
        """jobs: those of the model."""
        model, known = answers.model, self.campaign.settings
        path = self.campaign.layout.journal(model)
        journal = self._journals.setdefault(model, Progress(path)).update()
        pilot, asked_so = self.campaign.pilot, _of_these_requests([job.batch for job in jobs])
        tally = Tally(
            journal.lines,
            asked_so if pilot is None else lambda line: line.uid in pilot and asked_so(line),
        )
        job = jobs[-1] if jobs else None
        batch, said = job.batch if job else None, _said(job, model)
        games = 0
        if batch and (not known or batch.plan.params.get("pilot") == known.pilot_params):
            games = int(batch.plan.games.get(model) or 0) or (said.games if said else 0)
        games = games or 2 * (answers.answered or 0)
        played, judged, states = tally.played, tally.questions, tally.states
        if known and not journal.lines and (lines := count_lines(known.judgment(model))):
            judged, played, games = lines, 2 * lines, 2 * lines  # elsewhere, or its journal is away
        done = self.campaign.is_judged(model, batch)
        if done is None:
            done = bool(games) and played >= games
        at = _AT.get(job.state, job.state) if job else "no job"
        if done or answers.mark == "missing":
            at = "done" if done else "no answers"
        if not done and said and job and job.state in ALIVE:
            # Only the batch knows which games of the journal are those of today's answers.
            games, played = said.games or games, said.played
            states = Counter({state: int(number) for state, number in said.states.items()})
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
            stop=said.stop if said else None,
            tally=tally,
            journal=journal,
        )


def _settled(jobs: list[JobRow], done: set[str]) -> list[JobRow]:
    """A job that failed is of no concern where its models have been done since."""
    ended = ("failed", "gone")
    return [
        replace(job, state="ended", stop=None)
        if job.state in ended and done.issuperset(job.batch.models)
        else job
        for job in jobs
    ]


def _with_files(stage: CampaignStatus, known: Settings) -> CampaignStatus:
    """The stage of answers, of which those that have a file are done, whoever wrote it."""
    busy = ("judging", "starting", "queued", "planned")  # asked once more: redo
    rows = [
        replace(row, done=True, at="done")
        if row.at not in busy and Path(known.answer(row.model)).exists()
        else row
        for row in stage.rows
    ]
    done = {row.model for row in rows if row.done}
    return replace(stage, rows=rows, jobs=_settled(stage.jobs, done))


def _said(job: JobRow | None, model: str) -> ModelStatus | None:
    """What a batch's newest attempt says of a model; what a former attempt said is past."""
    status, attempt = (job.batch.status, job.attempt) if job else (None, None)
    if status is None or attempt is None or status.time < (attempt.start or 0):
        return None
    return status.models.get(model)


def _of_these_requests(batches: list[Batch]) -> Callable[[Line], bool]:
    """Tell the games that were asked with the requests of the model's newest batch.

    The requests of a line are those of the batch that began last before it; what came before all
    batches, and what was taken over from elsewhere, is taken to be of these.
    """
    if len({batch.plan.requests for batch in batches}) <= 1:
        return lambda _: True
    newest = batches[-1].plan.requests
    starts = sorted(
        (start, batch.plan.requests)
        for batch in batches
        for start in (batch.plan.time or 0, *(a.start for a in batch.attempts if a.start))
    )
    times = [start for start, _ in starts]

    def is_of_these(line: Line) -> bool:
        position = bisect(times, line.end or 0)
        return not line.attempts or not position or starts[position - 1][1] == newest

    return is_of_these


def _names(layout: Layout, checked: Iterable[str], jobs: Iterable[JobRow]) -> tuple[str, ...]:
    """The models of a results folder alone: validated, planned, or with a journal."""
    planned = [model for job in jobs for model in job.batch.models]
    journals = sorted((path.stem for path in layout.journals()), key=in_order)
    return tuple(dict.fromkeys([*checked, *planned, *journals]))
