"""The plan of the answers: which are to be generated, and which models share a job and a server.

A model's answers are generated if it has no answer file, or if `answers.redo` selects it; an
existing file is kept, whichever tool made it. Adapters of one base and chat template share a
server; the full checkpoints of a batch are served one after the other.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from filecmp import cmp
from pathlib import Path
from typing import Any, ClassVar

from arena.batch.made import Made, link
from arena.batch.plan import Plan, make_batches
from arena.data.answer_requests import AnswerSettings, asked_messages
from arena.data.answers import read_answers
from arena.data.chat_templates import render
from arena.data.games import most_tokens
from arena.data.layout import Layout
from arena.data.questions import PILOT, Question
from arena.data.stage import ANSWERS, Stage
from arena.data.weights import (
    Checkpoint,
    allowed_rank,
    checkpoint_warnings,
    read_checkpoint,
    same_weights,
)
from arena.journals.journal import Record, read_records
from arena.journals.records import REPLAY, BatchPlan
from arena.setup.answers import Answers, Writer
from arena.setup.judge_command import command_of, script_of
from arena.setup.settings import Settings
from arena.support.errors import ConfigError, DataError, Unfinished
from arena.support.humanize import listing

CHARACTERS_PER_TOKEN = 4  # in English, roughly; only for a warning
REDONE = "-redone-"  # in the digest of answers that were asked again
_PILOT_DIFFERS = (
    "weights or settings have changed since the pilot, so the remaining questions are not asked. "
    "To answer all questions with the new ones, delete the answer file"
)


@dataclass(frozen=True)
class AnswerPlan(Plan):
    """As `Plan`, for answers. digests: of everything that determines a model's answers. problems:
    why a model's answers cannot be generated. unfinished: checkpoints that are still being written.
    redone: uids that a model with an answer file is asked again. completed: number of questions
    that a model is asked after a pilot. left: number of questions that a model's journal lacks.
    notes: warnings for the user.
    """

    stage: ClassVar[Stage] = ANSWERS
    digests: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    redone: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    completed: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)

    def asked(self, questions: int) -> dict[str, int]:
        """Number of questions that each model is asked. questions: of the whole bench."""
        fewer = {model: len(uids) for model, uids in self.redone.items()} | dict(self.completed)
        return {model: fewer.get(model, questions) for model in self.digests}

    def lines(self, games: Mapping[str, int], left: Mapping[str, int]) -> Iterator[str]:
        yield from super().lines(games, left)
        if self.unfinished:
            yield f"still being written, left for the next run: {listing(self.unfinished)}"


def make_answer_plan(settings: Settings, questions: Sequence[Question]) -> AnswerPlan:
    """Plan the answers of the selected models, the baselines and the reference."""
    answers = settings.answers
    if answers is None:
        return AnswerPlan()
    layout = Layout(answers.root)
    pilot_mark = settings.pilot.mark if settings.pilot else ""
    names = list(dict.fromkeys([*settings.selected, *(name for name, _ in settings.opponents())]))
    if answers.newest_first:
        names.sort(key=lambda name: -_modified(answers, name))
    problems, unfinished, digests, redone, completed, left = {}, [], {}, {}, {}, {}
    checkpoints: dict[str, Checkpoint] = {}
    waiting, complete = defaultdict[tuple, list[str]](list), list[str]()
    warnings, notes = defaultdict[str, list[str]](list), list[str]()
    longest = max((len(question.prompt) for question in questions), default=0)
    for model in names:
        if (writer := answers.writers.get(model)) is None:
            continue
        path = Path(settings.answer(model))
        again: tuple[str, ...] = ()
        only, pilot_digest = again, ""  # only: uids to ask; empty: all
        if path.exists():
            if path.parent != (answers.folder or settings.answers_dir):
                if model in answers.redo:
                    notes.append(f"answers.redo: {path} is kept: it is not in {answers.folder}")
                continue
            only = again = _asked_again(model, path, answers, layout)
            if not again and (pilot := made_for_pilot(layout, model, path)):
                pilot_digest = pilot.settings.partition(PILOT)[0]
                only = _left(layout, answer_settings(model, writer, pilot_digest), questions, path)
            if not only:
                continue
        checkpoint = None
        try:
            if writer.path and writer.server["server"] != "demo":
                checkpoint = read_checkpoint(writer.path, writer.base)
                tokens = longest // CHARACTERS_PER_TOKEN
                for warning in _warnings(writer, checkpoint, tokens):
                    warnings[warning].append(model)
            group = _group(writer, checkpoint)
        except Unfinished:
            unfinished.append(model)
            continue
        except DataError as error:
            problems[model] = str(error)
            continue
        digest = writer.digest(checkpoint.digest if checkpoint else "")
        if again:
            redone[model] = again
            # With the old file's hash: a later file is asked again once more.
            digest += REDONE + hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        elif only and pilot_digest.partition(REDONE)[0] != digest:
            warnings[_PILOT_DIFFERS].append(model)
            continue
        elif only:
            completed[model], digest = len(only), pilot_digest
        digests[model] = digest + pilot_mark
        if checkpoint:
            checkpoints[model] = checkpoint
        left[model] = _open(layout, answer_settings(model, writer, digest), questions, only)
        if left[model]:
            waiting[group].append(model)
        else:
            complete.append(model)
    batches: dict[str, tuple[str, ...]] = {}
    facts = [str(answers.root.absolute())]
    for members in waiting.values():
        batches |= make_batches(members, answers.batch_size, facts, digests=digests)
    notes += [f"{listing(models)}: {warning}" for warning, models in warnings.items()]
    notes += [f"{', '.join(same)}: the same weights" for same in same_weights(checkpoints)]
    plan = AnswerPlan(
        batches,
        make_batches(complete, answers.batch_size, facts, REPLAY, digests),
        digests=digests,
        problems=problems,
        unfinished=tuple(unfinished),
        redone=redone,
        completed=completed,
        left=left,
        notes=tuple(notes),
        checkpoints=checkpoints,
    )
    for batch in batches.values():
        servings(plan, batch, answers)  # raises for a bad command now, not in its job
    return plan


def answer_settings(model: str, writer: Writer, digest: str) -> AnswerSettings:
    system, end_think = writer.system_prompt, writer.end_think_token
    toy = writer.server["server"] == "demo"
    return AnswerSettings(model, digest, writer.sampling, system, end_think, toy)


def _group(writer: Writer, checkpoint: Checkpoint | None) -> tuple:
    """What models must have in common to share a batch."""
    if checkpoint is None:
        return (writer.server["server"],)
    if checkpoint.kind == "adapter":
        template = writer.chat_template or checkpoint.template
        return ("adapters", str(checkpoint.base), template)
    return ("full",)


def _modified(answers: Answers, model: str) -> float:
    """When a model's folder was last changed; 0 if it has none."""
    writer = answers.writers.get(model)
    path = Path(writer.path) if writer and writer.path else None
    return path.stat().st_mtime if path and path.is_dir() else 0.0


def _warnings(writer: Writer, checkpoint: Checkpoint, longest: int) -> list[str]:
    """What may spoil the answers. Raises DataError if no answer would be possible."""
    most, system = most_tokens(writer.sampling), writer.system_prompt
    return checkpoint_warnings(checkpoint, writer.template, most, longest, system_prompt=system)


def first_prompt(plan: AnswerPlan, answers: Answers, first: Question) -> list[tuple]:
    """A question as the models will see it: models (a list), and the rendered text they share."""
    shown = defaultdict[str, list[str]](list)
    for model, checkpoint in plan.checkpoints.items():
        writer = answers.writers[model]
        asked = asked_messages(first.prompt, writer.system_prompt)
        template = writer.template or checkpoint.template or ""
        shown[render(template, asked, checkpoint.tokens)].append(model)
    return [(models, text) for text, models in shown.items()]


def _asked_again(model: str, path: Path, answers: Answers, layout: Layout) -> tuple[str, ...]:
    """Questions that `answers.redo` selects in an answer file; none once the redo is published."""
    if model not in answers.redo and not answers.redo_states:
        return ()
    made = Made.read(layout.made_record(model))
    file = layout.made(model)
    if made and REDONE in made.settings and file.exists() and cmp(file, path, shallow=False):
        return ()
    return tuple(
        uid
        for uid, answer in read_answers(path).answers.items()
        if model in answers.redo
        or ("empty" in answers.redo_states and answer.is_empty)
        or ("cut" in answers.redo_states and answer.finish_reason == "length")
    )


def made_for_pilot(layout: Layout, model: str, path: Path) -> Made | None:
    """The record of an existing answer file that we made for a pilot."""
    for record in (layout.made_record(model), layout.replaced / f"{model}.json"):
        made = Made.read(record)
        if made and PILOT in made.settings and path.exists() and path.stat().st_size == made.size:
            return made
    return None


def set_aside(layout: Layout, model: str, path: Path) -> None:
    """Back up an answer file that will be replaced. The record of a pilot is kept too, because an
    interrupted run overwrites the record but not the file.
    """
    if pilot := made_for_pilot(layout, model, path):
        pilot.write(layout.replaced / f"{model}.json")
    link(path, layout.replaced / path.name)


def _left(
    layout: Layout, settings: AnswerSettings, questions: Sequence[Question], path: Path
) -> tuple[str, ...]:
    """Questions that an answer file lacks, except those that the server refused."""
    answered = read_answers(path).answers
    records = _records(layout, settings)
    refused = {record.digest for record in records if record.answer is None}
    games = settings.games(questions)
    return tuple(one.uid for one in games if one.uid not in answered and one.digest not in refused)


def _open(
    layout: Layout, settings: AnswerSettings, questions: Sequence[Question], only: Sequence[str]
) -> int:
    """Number of the questions, or of those of `only`, that the journal does not have."""
    wanted = [game.digest for game in settings.games(questions) if not only or game.uid in only]
    recorded = {record.digest for record in _records(layout, settings)}
    return sum(digest not in recorded for digest in wanted)


def _records(layout: Layout, settings: AnswerSettings) -> Iterable[Record]:
    journal = layout.journal(settings.judge)
    return read_records(journal) if journal.exists() else ()


def servings(plan: AnswerPlan, models: Sequence[str], answers: Answers) -> list[dict[str, Any]]:
    """The servers of a batch, in their order: `models` of each, and the `server` to be started."""
    found: list[dict[str, Any]]
    first, checkpoint = answers.writers[models[0]], plan.checkpoints.get(models[0])
    if first.server["server"] == "demo":  # see `_group`: so are all others
        server = first.server | {"name": models[0], "options": ["--writes", *models]}
        return [{"models": list(models), "server": server}]
    if checkpoint and checkpoint.kind == "adapter":
        server = _server_of_adapters(models, plan.checkpoints, first)
        found = [{"models": list(models), "server": server}]
    else:
        writers = {model: answers.writers[model] for model in models}
        found = [
            {"models": [model], "server": writer.server | {"options": _template_option(writer)}}
            for model, writer in writers.items()
        ]
    for one in found:
        launched = one["server"]
        if launched["options"] and "{options}" not in command_of(launched):
            raise ConfigError(
                "config: answers.command: {options} is missing. It is replaced by the server's "
                "options for adapters and chat templates"
            )
        if launched["server"] == "vllm":
            script_of(launched, port=1, gpus=1, block="answers")
    return found


def _template_option(writer: Writer) -> list[str]:
    return ["--chat-template", writer.chat_template] if writer.chat_template else []


def _server_of_adapters(
    models: Sequence[str], checkpoints: Mapping[str, Checkpoint], writer: Writer
) -> dict[str, Any]:
    """The server that adapters share. writer: of one of them."""
    adapters = {model: checkpoints[model] for model in models}
    first = adapters[models[0]]
    options = ["--enable-lora", "--max-loras", str(len(models)), "--max-lora-rank"]
    options.append(str(allowed_rank([one.rank or 1 for one in adapters.values()])))
    # As JSON, because NAME=PATH does not allow a folder such as epoch=1.
    modules = [json.dumps({"name": name, "path": str(one.path)}) for name, one in adapters.items()]
    options += ["--lora-modules", *modules, *_template_option(writer)]
    server = writer.server | {"name": f"{models[0]}-base", "path": str(first.base)}
    if not writer.chat_template:
        server["template"] = first.template  # by default, vLLM uses the template of the base
    return server | {"options": options}


def describe_answers(
    batch: str, models: Sequence[str], plan: AnswerPlan, settings: Settings, **run: Any
) -> BatchPlan:
    """As `arena.batch.plan.describe`, for answers."""
    answers = settings.answers
    assert answers is not None
    runs = servings(plan, models, answers) if batch in plan.batches else []
    writers = {}
    for model in models:
        digest = plan.digests[model].partition(PILOT)[0]
        writers[model] = asdict(answer_settings(model, answers.writers[model], digest))
    return BatchPlan(
        batch=batch,
        models=tuple(models),
        root=str(answers.root),
        questions=str(settings.questions),
        answers={model: answers.writers[model].path for model in models},
        params={
            "writers": writers,
            "stop_doubtful": answers.stop_doubtful,
            "redone": {model: plan.redone[model] for model in models if model in plan.redone},
            "completed": [model for model in models if model in plan.completed],
            "pilot": settings.pilot_params,
        },
        judge=runs[0]["server"] if runs else {},
        servings=tuple(runs),
        games=dict.fromkeys(models, len(settings.asked())),
        budget=settings.budget,
        gpu_hour_cost=settings.gpu_hour_cost,
        **run,
    )
