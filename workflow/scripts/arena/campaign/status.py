"""The state of a campaign, from its files and from Slurm's queue.

Reads only. Any of the files may be missing or may be written at this moment; what is missing is
unknown and shown so.
"""

import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.batch.made import Digests, complete_record
from arena.campaign.jobs import ALIVE, JobReader, JobRow
from arena.data.layout import ANSWERS, Layout, Stage
from arena.data.verdict import STATES
from arena.journals.batches import Batch, newest_run, read_batches
from arena.journals.progress import Line, Progress, Tally
from arena.journals.records import RunStop, Stop, read_json
from arena.setup.settings import Settings
from arena.support.coerce import count_of, dict_of, list_of, text_of
from arena.support.errors import DataError
from arena.support.humanize import listing
from arena.support.jsonl import raw_lines
from arena.support.names import in_order


@dataclass(frozen=True)
class Answers:
    """The answers of one model. answered, questions: None if unknown. state, reason: as in
    validation.json; the state is "answering" while the answers stage makes them.
    """

    model: str
    answered: int | None
    questions: int | None
    state: str = ""
    reason: str = ""

    @property
    def is_left_out(self) -> bool:
        return self.state in ("no_answers", "broken")

    @property
    def mark(self) -> str:
        if not self.answered:
            return "unknown" if self.answered is None else "missing"
        return "partial" if self.questions and self.answered < self.questions else "done"


@dataclass(frozen=True)
class Campaign:
    """settings: None if only a results folder was given."""

    layout: Layout
    settings: Settings | None = None

    @classmethod
    def of_results(cls, folder: Path) -> "Campaign":
        """Without a config. Raises DataError if this is not a results folder; the message suggests
        one nearby.
        """
        if not folder.is_dir():
            raise DataError(f"--results {folder}: no such folder")
        if is_results(folder):  # its name is the judge's
            return cls(Layout(folder if folder.name not in ("", "..") else folder.resolve()))
        depths = ("*", "*/*", "*/*/*")
        near = [path.parent for depth in depths for path in folder.glob(f"{depth}/batches")]
        near += [parent for parent in folder.absolute().parents[:2] if is_results(parent)]
        hint = f"; did you mean {listing(list(map(str, near)))}?" if near else ""
        text = f"--results {folder}: not a results folder <results_dir>/<bench>/<judge>"
        raise DataError(text + hint)

    @cached_property
    def _digests(self) -> Digests:
        return Digests(self.layout.digests)

    def is_judged(self, model: str) -> bool | None:
        """Whether the model's judgments are complete and match the current settings and inputs;
        None without settings.
        """
        if (settings := self.settings) is None:
            return None
        made = complete_record(self.layout, model, settings.judgment(model), settings.digest)
        return made is not None and made.is_of(settings.roles(model), self._digests)

    @cached_property
    def pilot(self) -> frozenset[str] | None:
        """The questions of a pilot; None if all questions are asked."""
        with suppress(DataError):
            if self.settings and self.settings.pilot:
                return frozenset(question.uid for question in self.settings.asked())
        return None

    def same_questions(self, batch: Batch) -> bool:
        """Whether a batch asks the questions of the settings: the same pilot, or all."""
        return not self.settings or batch.plan.params.get("pilot") == self.settings.pilot_params

    def answers_of(self, model: str, checked: Mapping[str, Mapping], asked: int | None) -> Answers:
        """checked: see `validation`. The lines of the answer file are counted if the model is not
        in it or its row is outdated.
        """
        row, settings = checked.get(model), self.settings
        if row and not self._is_outdated(row, model):
            state, reason = text_of(row.get("state")) or "", text_of(row.get("reason")) or ""
            questions = count_of(row.get("questions")) or None
            return Answers(model, count_of(row.get("answers")), questions, state, reason)
        lines = count_lines(settings.answer(model)) or 0 if settings else None
        return Answers(model, min(lines, asked) if lines and asked else lines, asked)

    def asked(self) -> int | None:
        """Number of questions; None if unknown."""
        if self.pilot is not None:
            return len(self.pilot)
        return count_lines(self.settings.questions) if self.settings else None

    def validation(self, asked: int | None) -> dict[str, Mapping[str, Any]]:
        """Rows of validation.json by model; {} if it does not exist or has another number of
        questions.
        """
        plain = read_json(self.layout.validation)
        if asked and plain.get("questions", asked) != asked:
            return {}
        rows = map(dict_of, list_of(plain.get("models")))
        return {model: row for row in rows if (model := text_of(row.get("model")))}

    def _is_outdated(self, row: Mapping, model: str) -> bool:
        """Whether answers were added, removed or changed since this row of the validation was
        written, or a judgment file of another tool was moved away.
        """
        if (settings := self.settings) is None:
            return False
        answers, judgment = Path(settings.answer(model)), Path(settings.judgment(model))
        if row.get("state") == "foreign_judgments":
            return not judgment.exists() or self.layout.made_record(model).exists()
        changed = _time(answers, "st_ctime")  # `cp -p` and `rsync -t` set the mtime
        checked = _time(self.layout.validation, "st_ctime")
        return changed > checked if changed else bool(row.get("answers"))

    def beside(self) -> list[Path]:
        """Other results folders (other judges, benches, rehearsals), newest first.

        Without settings, only those of the same bench and rehearsals.
        """
        root = self.layout.root.absolute()
        results = root.parent.parent
        real = results.parent if results.name == "rehearsal" else results
        patterns = [f"{root.parent.name or '.'}/*/batches", "rehearsal/*/*/batches"]
        patterns += ["*/*/batches"] * (self.settings is not None)
        folders = {path.parent for pattern in patterns for path in real.glob(pattern)} - {root}
        others = (folder for folder in folders if Layout(folder).stage is not ANSWERS)
        return sorted(others, key=lambda folder: -_time(folder / "batches"))


def is_results(folder: Path) -> bool:
    """Whether this is the results folder of a campaign, `<results_dir>/<bench>/<judge>`."""
    return any((folder / name).is_dir() for name in ("batches", "games", "logs"))


def count_lines(path: str | Path) -> int | None:
    """Number of lines that are not blank; None if the file cannot be read."""
    with suppress(DataError):
        return sum(1 for _, raw in raw_lines(path) if raw.strip())
    return None


def _time(path: Path, kind: str = "st_mtime") -> float:
    """When a file was changed, s since 1970; 0 if it cannot be read."""
    with suppress(OSError):
        return float(getattr(path.stat(), kind))
    return 0


# Long enough for a slow judge to finish games in it, short enough to show a change of speed.
SPEED_WINDOW_S = 300
MARKS = ("done", "partial", "missing")
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
        return self.played - self.states["ok"]

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
    batches: list[Batch]  # without replays
    has_run: bool  # also if it had only replays
    baselines: list[Answers]
    squeue_problem: str | None
    run_stop: RunStop | None  # why the newest run submits no more jobs
    stage: "CampaignStatus | None" = None  # of the answers stage

    @property
    def is_answering(self) -> bool:
        return self.words is ANSWERS

    @property
    def words(self) -> Stage:
        return self.campaign.layout.stage

    @property
    def title(self) -> str:
        root = self.campaign.layout.root
        return f"{root.parent.name}, {'answers' if self.is_answering else f'judge {root.name}'}"

    @property
    def toy(self) -> bool:
        settings = self.campaign.settings
        return settings.toy if settings else any(one.plan.toy for one in self.batches[-1:])

    @cached_property
    def totals(self) -> dict[str, Any]:
        """Sums over the models, by their keys in the monitor's JSON; unknown numbers of games are
        left out. The speed is that of all jobs, including models that are done by now.
        """
        rows, marks = self.rows, [row.mark for row in self.rows]
        known = [row.answers.answered for row in rows if row.answers.answered is not None]
        recent = [row.tally.recent(SPEED_WINDOW_S, self.time) for row in rows]
        started, speed = min((first for _, first in recent), default=self.time), 0.0
        if any(job.state == "running" for job in self.jobs):
            speed = sum(games for games, _ in recent) / max(1.0, self.time - started)
        rest = sum(max(0, (row.games or 0) - row.played) for row in rows)
        prompt, cached, completion = (sum(row.tally.usage[i] for row in rows) for i in range(3))
        return {
            "models": len(rows),
            "with_answers": sum(map(bool, known)) if known else None,
            **{mark: marks.count(mark) for mark in MARKS},
            "played": sum(row.played for row in rows),
            "games": sum(row.games or 0 for row in rows),
            "states": {state: sum(row.states[state] for row in rows) for state in STATES},
            **pace(speed, rest / speed if speed else None),
            "retries": sum(row.tally.retries for row in rows),
            **{"prompt_tokens": prompt, "cached_tokens": cached, "completion_tokens": completion},
        }

    def rows_of(self, job: JobRow) -> list[ModelRow]:
        return [row for row in self.rows if row.model in job.batch.models]


def pace(speed: float, left: float | None) -> dict[str, float | None]:
    """Speed and time left, by their keys in the monitor's JSON."""
    seconds = None if left is None else round(left)
    return {"games_per_second": round(speed, 3), "seconds_left": seconds}


class StatusReader:
    """Reads a campaign repeatedly: each line of a journal once; Slurm is asked rarely.

    answer: model -> path of its answer file, in the answers stage: models that have one are done.
    """

    def __init__(self, campaign: Campaign, answer: Callable[[str], str] | None = None):
        self.campaign, self._answer = campaign, answer
        self._journals: dict[str, Progress] = {}
        self._jobs, self._stage = JobReader(), None
        if (settings := campaign.settings) and settings.answers:
            stage = Campaign(Layout(settings.answers.root))
            self._stage = StatusReader(stage, settings.answer)

    def read(self, now: float | None = None) -> CampaignStatus:
        now = time.time() if now is None else now
        layout, settings = self.campaign.layout, self.campaign.settings
        known = read_batches(layout.root)
        batches = [batch for batch in known if not batch.is_replay]
        asked = self.campaign.asked()
        checked = self.campaign.validation(asked)
        jobs, problem = self._jobs.read(batches, now)
        models = settings.models if settings else _names(layout, checked, jobs)
        baselines = settings.baseline_models if settings else []
        run = newest_run(batches)
        stage = self._stage.read(now) if self._stage else None
        making = {row.model: row for row in stage.rows} if stage else {}

        def answers(model: str) -> Answers:
            """In its file; until there is one, those that the answers stage has made so far."""
            known, made = self.campaign.answers_of(model, checked, asked), making.get(model)
            if not settings or not made or Path(settings.answer(model)).exists():
                return known
            if made.at in ("stopped", "failed", "no job"):  # nothing writes the file any more
                return replace(known, answered=0, questions=made.games, state="no_answers")
            return replace(known, answered=made.played, questions=made.games, state="answering")

        rows = [self._row(answers(model), jobs, now) for model in models]
        done = {row.model for row in rows if row.done}
        for job in jobs if settings or self._answer else ():
            if job.state in ("failed", "gone") and done.issuperset(job.batch.models):
                job.state, job.stop = "ended", None  # a later run or `adopt` has done its work
        return CampaignStatus(
            campaign=self.campaign,
            time=now,
            rows=rows,
            jobs=[j for j in jobs if j.batch.models and (j.batch.run == run or j.state in ALIVE)],
            batches=batches,
            has_run=bool(known),
            baselines=[answers(name) for name in baselines],
            squeue_problem=problem,
            run_stop=RunStop.read(layout.run_stop(run)) if run else None,
            stage=stage,
        )

    def _row(self, answers: Answers, jobs: list[JobRow], now: float) -> ModelRow:
        model = answers.model
        jobs = [job for job in jobs if model in job.batch.models]
        path = self.campaign.layout.journal(model)
        journal = self._journals.setdefault(model, Progress(path)).update()
        tally = Tally(journal.lines, _filter([job.batch for job in jobs], self.campaign.pilot))
        job = jobs[-1] if jobs else None
        batch = job.batch if job else None
        reported = job.status.models.get(model) if job and job.status else None
        games = 0
        if batch and self.campaign.same_questions(batch):
            games = batch.plan.games.get(model) or (reported.games if reported else 0)
        games = games or 2 * (answers.answered or 0)
        played, judged, states = tally.played, tally.questions, tally.states
        done = self.campaign.is_judged(model)
        is_alive = job is not None and job.state in ALIVE
        if done is None:
            done = bool(games and played >= games)
            if self._answer and not is_alive and not (job and job.state == "planned"):
                done = Path(self._answer(model)).exists()
        elif done:  # it has no games of questions that its baseline has not answered
            games = played or games
        if not done and reported and is_alive:
            # Only the batch knows which games of the journal belong to the current answers.
            games, played = reported.games or games, reported.played
            states = Counter(reported.states)
            judged = min(judged, played // 2)
        at = _AT.get(job.state, job.state) if job else "no job"
        if at == "judging" and self.campaign.layout.stage is ANSWERS:
            at = "answering"
        if answers.state == "answering":
            at = "answering"
        elif done or answers.mark == "missing":
            at = "done" if done else "no answers"
        elif answers.is_left_out and not is_alive:
            at, games = "left out", played
        elif at in ("judging", "stopped", "failed") and games and played >= games:
            at = at if reported and reported.stop else "publishing"
        games_now, first = tally.recent(SPEED_WINDOW_S, now)
        return ModelRow(
            answers=answers,
            judged=judged,
            games=games or None,
            states=states,
            done=done,
            at=at,
            played=played,
            speed=games_now / max(1.0, now - first) if at in ("judging", "answering") else 0.0,
            batch=batch.name if batch else None,
            stop=reported.stop if reported else None,
            tally=tally,
            journal=journal,
        )


def _filter(batches: list[Batch], pilot: Container[str] | None) -> Callable[[Line], bool]:
    """Whether a game counts: it is of the pilot and has the requests of the model's newest batch.

    A game has the requests of the attempt that started last before the game ended. Games from
    before all attempts, and adopted ones, count.
    """
    newest = batches[-1].plan.requests if batches else ""
    is_mixed = any(batch.plan.requests != newest for batch in batches)
    starts = sorted(
        (start, batch.plan.requests)
        for batch in batches
        for start in (batch.plan.time or 0, *(a.start for a in batch.attempts if a.start))
    )
    times = [start for start, _ in starts]

    def is_current(line: Line) -> bool:
        if pilot is not None and line.uid not in pilot:
            return False
        position = bisect(times, line.end or 0) if is_mixed and line.attempts else 0
        return not position or starts[position - 1][1] == newest

    return is_current


def _names(layout: Layout, checked: Iterable[str], jobs: Iterable[JobRow]) -> tuple[str, ...]:
    """The models of a results folder without a config: validated, planned, or with a journal."""
    planned = [model for job in jobs for model in job.batch.models]
    journals = sorted((path.stem for path in layout.journals()), key=in_order)
    return tuple(dict.fromkeys([*checked, *planned, *journals]))
