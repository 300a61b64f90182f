"""The plan of the answers: which are to be generated, and which models share a job and a server.

A model's answers are generated if it has no answer file, or if `answers.redo` selects it; an
existing file is kept, whichever tool made it. Adapters of one base, chat template and sampling
share a server; the full checkpoints of a batch are served one after the other.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from filecmp import cmp
from pathlib import Path
from typing import Any, ClassVar

from arena.batch.made import Made, link
from arena.batch.plan import Plan, make_batches
from arena.data.answers import read_answers
from arena.data.chat_templates import render
from arena.data.games import AnswerSettings, asked_messages
from arena.data.layout import ANSWERS, Layout, Stage
from arena.data.questions import PILOT, Question
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
    only: uids that a model with an answer file is asked, again or after a pilot. redone: models
    that are asked again. left: number of questions that a model's journal lacks. notes: warnings
    for the user.
    """

    stage: ClassVar[Stage] = ANSWERS
    digests: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)
    redone: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        yield from super().lines()
        if self.unfinished:
            yield f"still being written, left for the next run: {listing(self.unfinished)}"

    def describe(self, batch: str, settings: Settings) -> BatchPlan:
        answers, models = settings.answers, self.members(batch)
        assert answers is not None
        runs = servings(self, models, answers) if batch in self.batches else []
        writers = {}
        for model in models:
            digest = self.digests[model].partition(PILOT)[0]
            writers[model] = asdict(answer_settings(model, answers.writers[model], digest))
        return BatchPlan(
            batch=batch,
            models=models,
            root=str(answers.root),
            questions=str(settings.questions),
            answers={model: answers.writers[model].path for model in models},
            params={
                "writers": writers,
                "stop_doubtful": answers.stop_doubtful,
                "redone": {model: uids for model, uids in self.only.items() if model in models},
                "pilot": settings.pilot_params,
            },
            judge=runs[0]["server"] if runs else {},
            servings=tuple(runs),
            games=dict.fromkeys(models, len(settings.asked())),
            budget=settings.budget,
            gpu_hour_cost=settings.gpu_hour_cost,
        )


def make_answer_plan(settings: Settings, questions: Sequence[Question]) -> AnswerPlan:
    """Plan the answers of the selected models, the baselines and the reference."""
    plan, answers = AnswerPlan(), settings.answers
    if answers is None:
        return plan
    layout = Layout(answers.root)
    pilot_mark = settings.pilot.mark if settings.pilot else ""
    names = dict.fromkeys([*settings.selected, *(name for name, _ in settings.opponents())])
    writers = [(name, answers.writers[name]) for name in names if name in answers.writers]
    if answers.newest_first:
        writers.sort(key=lambda one: -_modified(one[1]))
    waiting, complete = defaultdict[tuple, list[str]](list), list[str]()
    warnings = defaultdict[str, list[str]](list)
    longest = max((len(one.prompt) for one in questions), default=0) // CHARACTERS_PER_TOKEN
    for model, writer in writers:
        path = Path(settings.answer(model))
        again: tuple[str, ...] = ()
        only, pilot_digest = again, ""  # only: uids to ask; empty: all
        if path.exists():
            if path.parent != (answers.folder or settings.answers_dir):
                if model in answers.redo:
                    kept = f"answers.redo: {path} is kept: it is not in {answers.folder}"
                    plan.notes.append(kept)
                continue
            only = again = _asked_again(model, path, answers, layout, questions)
            if not again and (pilot := made_for_pilot(layout, model, path)):
                pilot_digest = pilot.settings.partition(PILOT)[0]
                only = _left(layout, answer_settings(model, writer, pilot_digest), questions, path)
            if not only:
                continue
        checkpoint = None
        try:
            if writer.path and writer.server["server"] != "demo":
                checkpoint = read_checkpoint(writer.path, writer.base)
                for warning in checkpoint_warnings(
                    checkpoint, writer.template, writer.sampling, longest, writer.system_prompt
                ):
                    warnings[warning].append(model)
            group = _group(writer, checkpoint)
        except Unfinished:
            plan.unfinished.append(model)
            continue
        except DataError as error:
            plan.problems[model] = str(error)
            continue
        digest = writer.digest(checkpoint.digest if checkpoint else "")
        if again:
            plan.redone.add(model)
            # With the old file's hash: a later file is asked again once more.
            digest += REDONE + hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        elif only and pilot_digest.partition(REDONE)[0] != digest:
            warnings[_PILOT_DIFFERS].append(model)
            continue
        elif only:
            digest = pilot_digest
        if only:
            plan.only[model] = only
        plan.games[model] = len(only or questions)
        plan.digests[model] = digest + pilot_mark
        if checkpoint:
            plan.checkpoints[model] = checkpoint
        records = _records(layout, answer_settings(model, writer, digest), questions)
        plan.left[model] = sum(not record for uid, record in records if not only or uid in only)
        (waiting[group] if plan.left[model] else complete).append(model)
    facts, size = [str(answers.root.absolute())], answers.batch_size
    for members in waiting.values():
        plan.batches.update(make_batches(members, size, facts, digests=plan.digests))
    plan.replays.update(make_batches(complete, size, facts, REPLAY, plan.digests))
    plan.notes.extend(f"{listing(models)}: {warning}" for warning, models in warnings.items())
    same = same_weights(plan.checkpoints)
    plan.notes.extend(f"{', '.join(models)}: the same weights" for models in same)
    for batch in plan.batches.values():
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
    if checkpoint.base:
        template = writer.chat_template or checkpoint.template
        asked_with = json.dumps([writer.sampling, writer.end_think_token], sort_keys=True)
        return ("adapters", str(checkpoint.base), template, asked_with)
    return ("full",)


def _modified(writer: Writer) -> float:
    """When a model's folder was last changed; 0 if it has none."""
    is_folder = writer.path and Path(writer.path).is_dir()
    return Path(writer.path).stat().st_mtime if is_folder else 0.0


def first_prompt(plan: AnswerPlan, answers: Answers, first: Question) -> list[tuple]:
    """A question as the models will see it: models (a list), and the rendered text they share."""
    shown = defaultdict[str, list[str]](list)
    for model, checkpoint in plan.checkpoints.items():
        writer = answers.writers[model]
        asked = asked_messages(first.prompt, writer.system_prompt)
        template = writer.template or checkpoint.template or ""
        shown[render(template, asked, checkpoint.tokens)].append(model)
    return [(models, text) for text, models in shown.items()]


def _asked_again(
    model: str, path: Path, answers: Answers, layout: Layout, questions: Sequence[Question]
) -> tuple[str, ...]:
    """Uids of `questions` that `answers.redo` selects; none once the redo is published."""
    if model not in answers.redo and not answers.redo_states:
        return ()
    made = Made.read(layout.made_record(model))
    file = layout.made(model)
    if made and REDONE in made.settings and file.exists() and cmp(file, path, shallow=False):
        return ()
    asked = {question.uid for question in questions}
    return tuple(
        uid
        for uid, answer in read_answers(path).answers.items()
        if uid in asked
        and (
            model in answers.redo
            or ("empty" in answers.redo_states and answer.is_empty)
            or ("cut" in answers.redo_states and answer.finish_reason == "length")
        )
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
    answered, records = read_answers(path).answers, _records(layout, settings, questions)
    return tuple(
        uid
        for uid, record in records
        if uid not in answered and (record is None or record.answer is not None)
    )


def _records(
    layout: Layout, settings: AnswerSettings, questions: Sequence[Question]
) -> Iterator[tuple[str, Record | None]]:
    """The uid and the journal's record of each question."""
    path = layout.journal(settings.judge)
    known = {record.digest: record for record in (read_records(path) if path.exists() else ())}
    return ((game.uid, known.get(game.digest)) for game in settings.games(questions))


def servings(plan: AnswerPlan, models: Sequence[str], answers: Answers) -> list[dict[str, Any]]:
    """The servers of a batch, in their order: `models` of each, and the `server` to be started."""
    first, checkpoint = answers.writers[models[0]], plan.checkpoints.get(models[0])
    if first.server["server"] == "demo":  # see `_group`: so are all others
        server = first.server | {"name": models[0], "options": ["--writes", *models]}
        return [{"models": list(models), "server": server}]
    found = []
    shared = checkpoint is not None and checkpoint.base is not None
    for group in [list(models)] if shared else [[model] for model in models]:
        writer = answers.writers[group[0]]
        server = writer.server | {"options": []}
        if shared:
            server = _server_of_adapters(group, plan.checkpoints, writer)
        if writer.chat_template:
            server["options"] += ["--chat-template", writer.chat_template]
        if server["options"] and "{options}" not in command_of(server):
            raise ConfigError(
                "config: answers.command: {options} is missing. It is replaced by the server's "
                "options for adapters and chat templates"
            )
        if server["server"] == "vllm":
            script_of(server, port=1, gpus=1, block="answers")
        found.append({"models": group, "server": server})
    return found


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
    options += ["--lora-modules", *modules]
    server = writer.server | {"name": f"{models[0]}-base", "path": str(first.base)}
    if not writer.chat_template:
        server["template"] = first.template  # by default, vLLM uses the template of the base
    return server | {"options": options}
