"""Which answers are to be made, and which models share a job and a server.

A model's answers are made where there is no answer file, or where `answers.redo` names it: what is
there is kept, whoever made it. Adapters of one base and chat template share a server; full
checkpoints of a batch are served one after the other.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from filecmp import cmp
from pathlib import Path
from typing import Any

from arena.batch.made import Made, link
from arena.batch.plan import Plan, named
from arena.data.answer_requests import AnswerSettings, asked_messages
from arena.data.answers import read_answers
from arena.data.chat_templates import render
from arena.data.games import most_tokens
from arena.data.layout import Layout
from arena.data.questions import PILOT, Question
from arena.data.weights import (
    Checkpoint,
    allowed_rank,
    checkpoint_warnings,
    read_checkpoint,
    same_weights,
)
from arena.journals.journal import read_records
from arena.journals.records import REPLAY, BatchPlan
from arena.setup.answers import Answers, Writer
from arena.setup.judge_command import command_of, script_of
from arena.setup.settings import Settings
from arena.support.errors import ConfigError, DataError, Unfinished
from arena.support.humanize import counted, listing

CHARACTERS = 4  # of a token of English, about; for a warning only
REDONE = "-redone-"  # in the digest of answers that were asked once more
_OTHERWISE = (
    "answered a pilot with other weights or settings than today's, so the other questions are not "
    "asked: delete the answer file to have all of them answered"
)


@dataclass(frozen=True)
class AnswerPlan(Plan):
    """As `Plan`, of answers. digests: of all that determines a planned model's answers.

    problems: model -> why its answers cannot be made. unfinished: checkpoints that are still being
    written, left for the next run. redone: model with an answer file -> questions asked once more.
    completed: model whose answers were made for a pilot -> how many questions are left.
    """

    digests: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    redone: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    completed: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)

    def asked(self, questions: int) -> dict[str, int]:
        """Questions that each is asked, of so many."""
        fewer = {model: len(uids) for model, uids in self.redone.items()} | dict(self.completed)
        return {model: fewer.get(model, questions) for model in self.digests}

    def lines(self, games: Mapping[str, int]) -> Iterator[str]:
        """A line a batch, for the terminal. games: questions of each model."""
        for name, models in self.batches.items():
            asked = counted(sum(games.get(model, 0) for model in models), "answer")
            yield f"answers {name}: {counted(len(models), 'model')}, {asked}: {', '.join(models)}"
        if complete := sum(map(len, self.replays.values())):
            done = f"{counted(complete, 'model')} with all answers in the journals"
            yield f"{done}: no server is needed"
        if self.unfinished:
            yield f"still being written, left for the next run: {listing(self.unfinished)}"


def make_answer_plan(settings: Settings, questions: Sequence[Question]) -> AnswerPlan:
    """Plan the answers of the selected models, the baselines and the reference."""
    answers = settings.answers
    if answers is None:
        return AnswerPlan()
    layout = Layout(answers.root)
    mark = settings.pilot.mark if settings.pilot else ""
    names = dict.fromkeys([*settings.selected, *(name for name, _ in settings.opponents())])
    problems, unfinished, digests, redone, completed = {}, [], {}, {}, {}
    checkpoints: dict[str, Checkpoint] = {}
    waiting: dict[tuple, list[str]] = defaultdict(list)
    doubts: dict[str, list[str]] = defaultdict(list)
    longest = max((len(question.prompt) for question in questions), default=0) // CHARACTERS
    complete: list[str] = []
    notes: list[str] = []
    if answers.newest_first:
        names = dict.fromkeys(sorted(names, key=lambda name: -_modified(answers, name)))
    for model in names:
        if (writer := answers.writers.get(model)) is None:
            continue
        path = Path(settings.answer(model))
        again: tuple[str, ...] = ()
        only, before = again, ""
        if path.exists():
            if path.parent != (answers.folder or settings.answers_dir):
                if model in answers.redo:
                    notes.append(f"answers.redo: {path} is kept: it is not in {answers.folder}")
                continue
            only = again = _asked_again(model, path, answers, layout)
            if not again and (pilot := made_for_pilot(layout, model, path)):
                before = pilot.settings.partition(PILOT)[0]
                only = _left(layout, answer_settings(model, writer, before), questions, path)
        if path.exists() and not only:
            continue
        try:
            found = None
            if writer.path and writer.server["server"] != "demo":
                found = read_checkpoint(writer.path, writer.base)
                for doubt in _doubts(writer, found, longest):
                    doubts[doubt].append(model)
            group = _group(writer, found)
        except Unfinished:
            unfinished.append(model)
            continue
        except DataError as error:
            problems[model] = str(error)
            continue
        digest = writer.digest(found.digest if found else "")
        if again:
            redone[model] = again
            old = hashlib.sha256(path.read_bytes()).hexdigest()
            digest += REDONE + old[:8]  # once an old file: a third one is asked again
        elif only and before.partition(REDONE)[0] != digest:
            doubts[_OTHERWISE].append(model)
            continue
        elif only:
            completed[model], digest = len(only), before
        digests[model] = digest + mark
        if found:
            checkpoints[model] = found
        if _holds(layout, answer_settings(model, writer, digest), questions, only):
            complete.append(model)
        else:
            waiting[group].append(model)
    batches: dict[str, tuple[str, ...]] = {}
    root = str(answers.root.absolute())
    for members in waiting.values():
        batches |= named(members, answers.batch_size, [root], digests=digests)
    notes += [f"{listing(models)}: {doubt}" for doubt, models in doubts.items()]
    notes += [
        f"{', '.join(same)}: the same weights under several names"
        for same in same_weights(checkpoints)
    ]
    plan = AnswerPlan(
        batches,
        named(complete, answers.batch_size, [root], REPLAY, digests),
        digests=digests,
        problems=problems,
        unfinished=tuple(unfinished),
        redone=redone,
        completed=completed,
        notes=tuple(notes),
        checkpoints=checkpoints,
    )
    for batch in batches.values():
        servings(plan, batch, answers)  # refuses a bad command now, not in its job
    return plan


def answer_settings(model: str, writer: Writer, digest: str) -> AnswerSettings:
    return AnswerSettings(
        model,
        digest,
        writer.sampling,
        writer.system_prompt,
        writer.end_think_token,
        toy=writer.server["server"] == "demo",
    )


def _group(writer: Writer, found: Checkpoint | None) -> tuple:
    """What models must have in common to share a batch. Raises DataError where none can be."""
    if found is None:
        return (writer.server["server"],)
    if found.kind == "adapter":
        return ("adapters", str(found.base), writer.chat_template or found.template)
    return ("full",)


def _modified(answers: Answers, model: str) -> float:
    """When a model's folder was changed last; 0 where there is none."""
    writer = answers.writers.get(model)
    path = Path(writer.path) if writer and writer.path else None
    return path.stat().st_mtime if path and path.is_dir() else 0.0


def _doubts(writer: Writer, found: Checkpoint, longest: int) -> list[str]:
    """What may spoil the answers. Raises DataError where none could be given."""
    most, system = most_tokens(writer.sampling), writer.system_prompt
    return checkpoint_warnings(found, writer.template, most, longest, system_prompt=system)


def first_prompt(
    plan: AnswerPlan, answers: Answers, first: Question
) -> Iterator[tuple[list[str], str]]:
    """A question as models will see it: those that see it so, and the text."""
    shown = defaultdict[str, list[str]](list)
    for model, found in plan.checkpoints.items():
        writer = answers.writers[model]
        asked = asked_messages(first.prompt, writer.system_prompt)
        template = writer.template or found.template or ""
        shown[render(template, asked, found.tokens)].append(model)
    return ((models, text) for text, models in shown.items())


def _asked_again(model: str, path: Path, answers: Answers, layout: Layout) -> tuple[str, ...]:
    """Questions of an answer file that `answers.redo` wants asked once more; once only."""
    made = Made.read(layout.made_record(model))
    file = layout.made(model)
    if made and REDONE in made.settings and file.exists() and cmp(file, path, shallow=False):
        return ()  # they are published, not only made
    if model in answers.redo:
        return tuple(read_answers(path).answers)
    if not answers.redo_states:
        return ()
    return tuple(
        uid
        for uid, answer in read_answers(path).answers.items()
        if ("empty" in answers.redo_states and answer.is_empty)
        or ("cut" in answers.redo_states and answer.finish_reason == "length")
    )


def made_for_pilot(layout: Layout, model: str, path: Path) -> Made | None:
    """The record of an answer file that is there and that we made for a pilot."""
    for record in (layout.made_record(model), layout.replaced / f"{model}.json"):
        made = Made.read(record)
        if made and PILOT in made.settings and path.exists() and path.stat().st_size == made.size:
            return made
    return None


def set_aside(layout: Layout, model: str, path: Path) -> None:
    """Keep an answer file that is about to be replaced, and what tells that it is a pilot's: an
    interrupted run leaves it where it is, and the record of the next one in the place of its own.
    """
    if pilot := made_for_pilot(layout, model, path):
        pilot.write(layout.replaced / f"{model}.json")
    link(path, layout.replaced / path.name)


def _left(
    layout: Layout, held: AnswerSettings, questions: Sequence[Question], path: Path
) -> tuple[str, ...]:
    """Questions without a line in an answer file, but for those that the server refused."""
    journal, there = layout.journal(held.judge), read_answers(path).answers
    records = read_records(journal) if journal.exists() else ()
    refused = {record.digest for record in records if record.answer is None}
    games = held.games(questions)
    return tuple(game.uid for game in games if game.uid not in there and game.digest not in refused)


def _holds(
    layout: Layout, held: AnswerSettings, questions: Sequence[Question], only: Sequence[str]
) -> bool:
    """Whether the journal holds an answer to every question, or to those named."""
    path = layout.journal(held.judge)
    if not path.exists():
        return False
    wanted = {game.digest for game in held.games(questions) if not only or game.uid in only}
    return wanted <= {record.digest for record in read_records(path)}


def servings(plan: AnswerPlan, models: Sequence[str], answers: Answers) -> list[dict[str, Any]]:
    """The servers of a batch, one after the other: `models` of each, and what is to be launched."""
    found: list[dict[str, Any]] = []
    shared: dict[str, Any] | None = None
    for model in models:
        writer, checkpoint = answers.writers[model], plan.checkpoints.get(model)
        server = dict(writer.server)
        options = ["--chat-template", writer.chat_template] if writer.chat_template else []
        if server["server"] == "demo" or (checkpoint and checkpoint.kind == "adapter"):
            if shared is None:
                shared = {"models": [], "server": server | {"name": f"{model}-base"}}
                found.append(shared)
            shared["models"].append(model)
            continue
        server["options"] = options
        found.append({"models": [model], "server": server})
    if shared:
        _share(shared, plan, answers)
    for one in found:
        if one["server"].get("options") and "{options}" not in command_of(one["server"]):
            raise ConfigError(
                "config: answers.command: {options} is missing: adapters and chat templates are "
                "given to the server there"
            )
        if one["server"]["server"] == "vllm":
            script_of(one["server"], port=1, gpus=1, block="answers")
    return found


def _share(shared: dict[str, Any], plan: AnswerPlan, answers: Answers) -> None:
    """The one server of adapters, or of the toy."""
    models, server = shared["models"], shared["server"]
    if server["server"] == "demo":
        server["options"] = ["--writes", *models]
        server["name"] = models[0]
        return
    found = [plan.checkpoints[model] for model in models]
    template = answers.writers[models[0]].chat_template
    if not template:
        server["template"] = found[0].template  # vLLM itself would take the base's
    server["path"] = str(found[0].base)
    server["options"] = [
        *("--enable-lora", "--max-loras", str(len(models))),
        *("--max-lora-rank", str(allowed_rank([one.rank or 1 for one in found]))),
        # As JSON: in NAME=PATH vLLM allows no folder such as epoch=1.
        "--lora-modules",
        *(
            json.dumps({"name": name, "path": str(one.path)})
            for name, one in zip(models, found, strict=True)
        ),
        *(["--chat-template", template] if template else []),
    ]


def describe_answers(
    batch: str, models: Sequence[str], plan: AnswerPlan, settings: Settings, **run: Any
) -> BatchPlan:
    """All that a batch's job needs to know. run: as of `arena.batch.plan.describe`."""
    answers = settings.answers
    assert answers is not None
    number = len(settings.asked())
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
        games=dict.fromkeys(models, number),
        budget=settings.budget,
        gpu_hour_cost=settings.gpu_hour_cost,
        **run,
    )
