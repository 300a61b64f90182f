"""Where a campaign stands, from its files and from Slurm's queue: one survey, shown by `screen`,
told by `troubles`.

Reads only. Every file may be written by others at this moment; what is not there yet is unknown,
and shown as such.
"""

import time
from bisect import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.campaign.jobs import ALIVE, JobRow, Queue, job_rows
from arena.campaign.records import Batch, newest_run, read_batches
from arena.data.places import Answers, Places, answers_of, count_lines, read_validation
from arena.journals.progress import Line, Progress, Tally
from arena.playing.client_log import last_words
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
    usage: tuple[int, int, int]  # tokens: prompt, of these cached, completion
    retries: int  # calls beyond the first of a game
    speed: float  # games a second over the last minutes
    left: float | None  # seconds, at this speed
    last: float | None  # end of its newest game
    batch: str | None
    unreadable: int  # lines of its journal
    stopped: str | None  # why its client gave up, in its own words
    remark: str | None  # what else its client said last

    @property
    def odd(self) -> int:
        """Games that ended without a verdict."""
        return sum(games for state, games in self.states.items() if state != "ok")

    @property
    def model(self) -> str:
        return self.answers.model


@dataclass(frozen=True)
class Survey:
    """All that the monitor shows. jobs: batches of the newest run, and older ones that still have a
    job.
    """

    places: Places
    time: float
    rows: list[ModelRow]
    jobs: list[JobRow]
    batches: list[Batch] = field(repr=False)
    baselines: list[Answers]
    squeue_problem: str | None

    @property
    def states(self) -> Counter[str]:
        return sum((Counter(row.states) for row in self.rows), Counter())

    @property
    def usage(self) -> tuple[int, ...]:
        return tuple(sum(row.usage[i] for row in self.rows) for i in range(3))

    @property
    def played(self) -> int:
        return sum(row.played for row in self.rows)

    @property
    def games(self) -> int:
        """All games of the models whose number is known."""
        return sum(row.games or 0 for row in self.rows)

    @property
    def speed(self) -> float:
        return sum(row.speed for row in self.rows)

    @property
    def left(self) -> float | None:
        """Seconds until all known games are played, at the speed of now."""
        rest = sum(max(0, (row.games or 0) - row.played) for row in self.rows)
        return rest / self.speed if self.speed else None


class Surveyor:
    """Surveys a campaign again and again; reads each line of a journal once, asks Slurm rarely."""

    def __init__(self, places: Places):
        self.places = places
        self._journals: dict[str, Progress] = {}
        self._queue = Queue()

    def survey(self, now: float | None = None) -> Survey:
        now = time.time() if now is None else now
        places = self.places
        batches = read_batches(places.root)
        checked = read_validation(places.root)
        jobs, problem = job_rows(batches, places.workdir, places.root, self._queue, now)
        mine: dict[str, list[JobRow]] = {}
        for job in jobs:
            for model in job.batch.models:
                mine.setdefault(model, []).append(job)
        models = places.models
        if models is None:
            models = _names(places.root, checked, mine)
        rows = [self._row(model, checked, mine.get(model, []), now) for model in models]
        newest = newest_run(batches)
        return Survey(
            places=places,
            time=now,
            rows=rows,
            jobs=[
                j for j in jobs if j.batch.models and (j.batch.run == newest or j.state in ALIVE)
            ],
            batches=batches,
            baselines=[answers_of(name, places, checked) for name in places.baselines],
            squeue_problem=problem,
        )

    def _row(
        self, model: str, checked: Mapping[str, Mapping], jobs: list[JobRow], now: float
    ) -> ModelRow:
        path = self.places.root / "games" / f"{model}.jsonl"
        journal = self._journals.setdefault(model, Progress(path)).update()
        tally = Tally(_of_these_settings(journal.lines, [job.batch for job in jobs]))
        answers = answers_of(model, self.places, checked)
        job = jobs[-1] if jobs else None
        words = last_words(self.places.root / "logs" / "gen_judgment" / f"{model}.log")
        planned = job.batch.games.get(model) if job else None
        games = planned or words.games or (2 * answers.answered if answers.answered else None)
        played, judged = tally.played, tally.questions
        file = self.places.judgments_dir and self.places.judgments_dir / f"{model}.jsonl"
        made = count_lines(file) if file and not journal.lines else None
        if made:  # judged elsewhere, or its journal was put away
            judged, played, games = made, 2 * made, 2 * made
        done = bool(played and games and played >= games) and (file is None or file.exists())
        done = done or (file is not None and _is_current(file, self.places, model))
        at = _at(done, answers, job)
        speed = tally.speed(SPEED_WINDOW_S, now) if at == "judging" else 0.0
        return ModelRow(
            answers=answers,
            judged=judged,
            played=played,
            games=games,
            mark="done" if done else "partial" if played else "missing",
            at=at,
            states=dict(tally.states),
            usage=tally.usage,
            retries=tally.retries,
            speed=speed,
            left=max(0, games - played) / speed if games and speed else None,
            last=tally.last_end,
            batch=job.batch.name if job else None,
            unreadable=journal.unreadable,
            stopped=words.stopped,
            remark=words.remark,
        )


def _of_these_settings(lines: list[Line], batches: list[Batch]) -> list[Line]:
    """Leave out what was asked under other settings than those of the model's newest batch.

    The settings of a line are those of the batch that was written last before it; what came before
    all batches, and what was taken over from elsewhere, is taken to be of these settings.
    """
    if len({batch.settings for batch in batches}) <= 1:
        return lines
    starts = sorted((batch.written or 0, batch.settings) for batch in batches)
    newest = starts[-1][1]
    times = [start for start, _ in starts]

    def is_of_these(line: Line) -> bool:
        position = bisect(times, line.end or 0)
        return not line.attempts or not position or starts[position - 1][1] == newest

    return [line for line in lines if is_of_these(line)]


def _names(root: Path, *known: Mapping[str, Any]) -> list[str]:
    """The models of a results folder alone: validated, planned, or with a journal."""
    journals = sorted((path.stem for path in root.glob("games/*.jsonl")), key=in_order)
    return list(dict.fromkeys([name for names in known for name in names] + journals))


def _is_current(judgment: Path, places: Places, model: str) -> bool:
    """True for a judgment file that is not older than the answers it is made from."""
    try:
        made = judgment.stat().st_mtime
        return made >= (places.answers_dir / f"{model}.jsonl").stat().st_mtime
    except FileNotFoundError:
        return judgment.exists()


def _at(done: bool, answers: Answers, job: JobRow | None) -> str:
    if done:
        return "done"
    if answers.mark == "missing":
        return "no answers"
    if job is None:
        return "no job"
    words = {"running": "judging", "idle": "starting", "ended": "stopped", "gone": "stopped"}
    return words.get(job.state, job.state)
