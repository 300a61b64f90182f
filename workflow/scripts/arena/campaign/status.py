"""Where a campaign stands, from its files and from Slurm's queue: one survey, shown by `screen`,
told by `troubles`.

Reads only. Every file may be written by others at this moment; what is not there yet is unknown,
and shown as such.
"""

import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.campaign.jobs import ALIVE, JobRow, Queue, job_rows
from arena.journals.records import Batch, newest_run, read_batches
from arena.data.layout import Answers, Places, answers_of, count_lines, modified, read_validation
from arena.journals.progress import Line, Progress, Tally
from arena.client.client_log import LastWords, last_words
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
    recent: tuple[int, float]  # games of the last minutes, and when the first of them began
    speed: float  # games a second over the last minutes, while it plays
    left: float | None  # seconds, at this speed
    last: float | None  # end of its newest game
    batch: str | None
    unreadable: int  # lines of its journal
    problem: str | None  # why its journal cannot be read now
    stopped: str | None  # why its client gave up, in its own words
    remark: str | None  # what else its client said last
    current: bool  # its judgments are not older than what they are made from, nor planned anew

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
    def toy(self) -> bool:
        """Whether the judge is the demo judge: by the config, else by the newest batch."""
        return self.places.toy or (bool(self.batches) and self.batches[-1].toy)

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
        tally = Tally(journal.lines, _of_these_settings([job.batch for job in jobs]))
        answers = answers_of(model, self.places, checked)
        job = jobs[-1] if jobs else None
        words = last_words(self.places.root / "logs" / "gen_judgment" / f"{model}.log")
        planned = job.batch.games.get(model) if job else None
        games = planned or words.games or (2 * answers.answered if answers.answered else None)
        played, judged, states = tally.played, tally.questions, tally.states
        file = self.places.judgments_dir and self.places.judgments_dir / f"{model}.jsonl"
        lines = count_lines(file) if file and not journal.lines else None
        if lines:  # judged elsewhere, or its journal was put away
            judged, played, games = lines, 2 * lines, 2 * lines
        made = modified(file) if file else None
        current = made is not None and made >= ((job and job.batch.written) or 0)
        if file is None:
            done = bool(played and games and played >= games)
        else:
            own = self.places.answers_dir and modified(self.places.answers_dir / file.name)
            done = current and made >= (own or 0)
        at = _at(done, answers, job)
        if at == "judging" and words.counted and words.counted >= (job.life.start or 0):
            games, states = words.games, _as_its_client_counts(words, journal.lines)
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
            usage=tally.usage,
            retries=tally.retries,
            recent=recent,
            speed=speed,
            left=max(0, games - played) / speed if games and speed else None,
            last=tally.last_end,
            batch=job.batch.name if job else None,
            unreadable=journal.unreadable,
            problem=journal.problem,
            stopped=words.stopped,
            remark=words.remark,
            current=current and self.places.is_current(model, made),
        )


def _of_these_settings(batches: list[Batch]) -> Callable[[Line], bool]:
    """Tell the games that were asked with the requests of the model's newest batch.

    The requests of a line are those of the batch that was written last before it; what came before
    all batches, and what was taken over from elsewhere, is taken to be of these.
    """
    if len({batch.requests for batch in batches}) <= 1:
        return lambda _: True
    starts = sorted((batch.written or 0, batch.requests or "") for batch in batches)
    newest = starts[-1][1]
    times = [start for start, _ in starts]

    def is_of_these(line: Line) -> bool:
        position = bisect(times, line.end or 0)
        return not line.attempts or not position or starts[position - 1][1] == newest

    return is_of_these


def _as_its_client_counts(words: LastWords, lines: list[Line]) -> Counter[str]:
    """States of a model's games by the client that plays them, and of those that ended since.

    Only the client knows which games of the journal are those of today's answers.
    """
    fresh: dict[str, str] = {}  # digest -> state
    first = len(lines)
    while first and (lines[first - 1].end or 0) > words.counted:
        first -= 1
    before = {line.digest for line in lines[:first]} if first < len(lines) else ()
    for line in lines[first:]:
        if line.digest not in before:
            fresh[line.digest] = line.state
    return Counter(words.states) + Counter(fresh.values())


def _names(root: Path, *known: Mapping[str, Any]) -> list[str]:
    """The models of a results folder alone: validated, planned, or with a journal."""
    journals = sorted((path.stem for path in root.glob("games/*.jsonl")), key=in_order)
    return list(dict.fromkeys([name for names in known for name in names] + journals))


def _at(done: bool, answers: Answers, job: JobRow | None) -> str:
    if done:
        return "done"
    if answers.mark == "missing":
        return "no answers"
    if job is None:
        return "no job"
    words = {"running": "judging", "idle": "starting", "ended": "stopped", "gone": "stopped"}
    return words.get(job.state, job.state)
