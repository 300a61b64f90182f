"""Where a campaign stands, from its files and from Slurm's queue: shown by `status_view`, its
problems told by `problems`.

Reads only. Every file may be written by others at this moment; what is not there yet is unknown,
and shown as such.
"""

import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from arena.campaign.campaign import Answers, Campaign, answers_of, count_lines, read_validation
from arena.campaign.jobs import ALIVE, JobRow, Slurm, job_rows
from arena.data.layout import Layout
from arena.journals.progress import Line, Progress, Tally
from arena.journals.records import Batch, ModelStatus, RunStop, Stop, newest_run, read_batches
from arena.support.names import in_order

# Long enough for a slow judge to finish games in it, short enough to show a change of speed.
SPEED_WINDOW_S = 300


@dataclass(frozen=True)
class ModelRow:
    """One model; None means not known."""

    answers: Answers
    judged: int  # questions with both games played
    played: int
    games: int | None
    mark: str  # of its judgments: done, partial, missing
    at: str  # done, or what it is waiting for
    states: Mapping[str, int]
    recent: tuple[int, float]  # games of the last minutes, and when the first of them began
    speed: float  # games a second over the last minutes, while it plays
    batch: str | None
    stop: Stop | None  # why its batch gave it up
    tally: Tally  # of its journal
    journal: Progress

    @property
    def odd(self) -> int:
        """Games that ended without a verdict."""
        return sum(games for state, games in self.states.items() if state != "ok")

    @property
    def left(self) -> float | None:
        """Seconds until its games are played, at the speed of now."""
        if not self.games or not self.speed:
            return None
        return max(0, self.games - self.played) / self.speed

    @property
    def model(self) -> str:
        return self.answers.model


@dataclass(frozen=True)
class CampaignStatus:
    """All that the monitor shows. jobs: batches of the newest run, and older ones that still have a
    job. run_stop: why the newest run submits nothing more.
    """

    campaign: Campaign
    time: float
    rows: list[ModelRow]
    jobs: list[JobRow]
    batches: list[Batch] = field(repr=False)
    baselines: list[Answers]
    squeue_problem: str | None
    run_stop: RunStop | None

    @property
    def toy(self) -> bool:
        """Whether the judge is the demo judge: by the config, else by the newest batch."""
        if self.campaign.settings is not None:
            return self.campaign.settings.toy
        return bool(self.batches) and self.batches[-1].plan.toy

    @property
    def states(self) -> Counter[str]:
        return sum((Counter(row.states) for row in self.rows), Counter())

    @property
    def usage(self) -> tuple[int, ...]:
        return tuple(sum(row.tally.usage[i] for row in self.rows) for i in range(3))

    @property
    def played(self) -> int:
        return sum(row.played for row in self.rows)

    @property
    def games(self) -> int:
        """All games of the models whose number is known."""
        return sum(row.games or 0 for row in self.rows)

    @property
    def speed(self) -> float:
        """Games a second over the last minutes, those of models that are done meanwhile too."""
        if all(job.state != "running" for job in self.jobs):
            return 0.0
        begun = min((row.recent[1] for row in self.rows), default=self.time)
        return sum(row.recent[0] for row in self.rows) / max(1.0, self.time - begun)

    @property
    def left(self) -> float | None:
        """Seconds until all known games are played, at the speed of now."""
        rest = sum(max(0, (row.games or 0) - row.played) for row in self.rows)
        return rest / self.speed if self.speed else None


class StatusReader:
    """Looks at a campaign again and again; reads each line of a journal once, asks Slurm rarely."""

    def __init__(self, campaign: Campaign):
        self.campaign = campaign
        self._journals: dict[str, Progress] = {}
        self._slurm = Slurm()

    def read(self, now: float | None = None) -> CampaignStatus:
        now = time.time() if now is None else now
        layout = self.campaign.layout
        batches = [batch for batch in read_batches(layout.root) if not batch.is_replay]
        checked = read_validation(layout)
        jobs, problem = job_rows(batches, self._slurm, now)
        mine: dict[str, list[JobRow]] = {}
        for job in jobs:
            for model in job.batch.models:
                mine.setdefault(model, []).append(job)
        models = self.campaign.models
        if models is None:
            models = _names(layout, checked, mine)
        newest = newest_run(batches)
        return CampaignStatus(
            campaign=self.campaign,
            time=now,
            rows=[self._row(model, checked, mine.get(model, []), now) for model in models],
            jobs=[
                j for j in jobs if j.batch.models and (j.batch.run == newest or j.state in ALIVE)
            ],
            batches=batches,
            baselines=[
                answers_of(name, self.campaign, checked) for name in self.campaign.baselines
            ],
            squeue_problem=problem,
            run_stop=RunStop.read(layout.run_stop(newest)) if newest else None,
        )

    def _row(
        self, model: str, checked: Mapping[str, Mapping], jobs: list[JobRow], now: float
    ) -> ModelRow:
        path = self.campaign.layout.journal(model)
        journal = self._journals.setdefault(model, Progress(path)).update()
        tally = Tally(journal.lines, _of_these_requests([job.batch for job in jobs]))
        answers = answers_of(model, self.campaign, checked)
        job = jobs[-1] if jobs else None
        said = _said(job, model)
        planned = job.batch.plan.games.get(model) if job else None
        games = planned and int(planned)
        games = games or (said and said.games) or 2 * (answers.answered or 0) or None
        played, judged, states = tally.played, tally.questions, tally.states
        folder = self.campaign.judgments_dir
        lines = count_lines(folder / f"{model}.jsonl") if folder and not journal.lines else None
        if lines:  # judged elsewhere, or its journal was put away
            judged, played, games = lines, 2 * lines, 2 * lines
        done = self.campaign.is_judged(model, job.batch if job else None)
        if done is None:
            done = bool(played and games and played >= games)
        at = _at(done, answers, job)
        if not done and said and job and job.batch.status and job.state in ALIVE:
            games = said.games or games
            states = _with_fresh(said, job.batch.status.time, journal.lines)
            played = states.total()
            judged = min(judged, played // 2)
        recent = tally.recent(SPEED_WINDOW_S, now)
        speed = recent[0] / max(1.0, now - recent[1]) if at == "judging" else 0.0
        return ModelRow(
            answers=answers,
            judged=judged,
            played=played,
            games=games,
            mark="done" if done else "partial" if played else "missing",
            at=at,
            states=dict(states),
            recent=recent,
            speed=speed,
            batch=job.batch.name if job else None,
            stop=said.stop if said else None,
            tally=tally,
            journal=journal,
        )


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
    begun = [(batch.plan.time or 0, batch.plan.requests) for batch in batches]
    begun += [
        (a.start, batch.plan.requests) for batch in batches for a in batch.attempts if a.start
    ]
    starts = sorted(begun)
    times = [start for start, _ in starts]

    def is_of_these(line: Line) -> bool:
        position = bisect(times, line.end or 0)
        return not line.attempts or not position or starts[position - 1][1] == newest

    return is_of_these


def _with_fresh(said: ModelStatus, time: float, lines: list[Line]) -> Counter[str]:
    """States of a model's games as its batch counted them, and of those that ended since.

    Only the batch knows which games of the journal are those of today's answers.
    """
    fresh: dict[str, str] = {}  # digest -> state
    first = len(lines)
    while first and (lines[first - 1].end or 0) > time:
        first -= 1
    before = {line.digest for line in lines[:first]} if first < len(lines) else ()
    for line in lines[first:]:
        if line.digest not in before:
            fresh[line.digest] = line.state
    counted = Counter({state: int(games) for state, games in said.states.items()})
    return counted + Counter(fresh.values())


def _names(layout: Layout, *known: Mapping[str, Any]) -> tuple[str, ...]:
    """The models of a results folder alone: validated, planned, or with a journal."""
    journals = sorted((path.stem for path in layout.journals()), key=in_order)
    return tuple(dict.fromkeys([name for names in known for name in names] + journals))


def _at(done: bool, answers: Answers, job: JobRow | None) -> str:
    if done:
        return "done"
    if answers.mark == "missing":
        return "no answers"
    if job is None:
        return "no job"
    words = {"running": "judging", "idle": "starting", "ended": "stopped", "gone": "stopped"}
    return words.get(job.state, job.state)
