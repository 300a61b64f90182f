"""Import judgments that another tool made into the journals, so that no paid call is repeated.

A game is imported if its reply is there and nothing in the file says that it was another game
(another baseline, judge or prompt). It is stored under the digest that it has today, with 0
attempts: it counts as played, not as a call of ours.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from arena.data.answers import FAILED_GENERATION, left_out
from arena.data.games import Game, GameSettings
from arena.data.judgments import is_foreign, reply_in
from arena.data.layout import Layout
from arena.data.questions import line_uid
from arena.data.verdict import as_label, state_of, states_text
from arena.journals.journal import Journal, Outcome, Record
from arena.journals.lock import Lock
from arena.journals.replay import CurrentGames
from arena.setup.settings import Settings
from arena.support.coerce import text_of
from arena.support.errors import ArenaError, DataError, JournalError, os_errors_as
from arena.support.humanize import counted
from arena.support.jsonl import Line, iter_lines

# Why a game of the file was not imported, in the words of the summary.
SKIPPED = {
    "null": "null: the call had failed",
    "unreadable": "unreadable: it has no reply",
    "baseline": "against another baseline",
    "judge": "by another judge",
    "model": "of another model, without a prompt to compare",
    "prompt": "with another prompt: answers or judge prompts have changed since",
    "question": "of a question that is not asked",
    "known": "already in the journal",
}


@dataclass(slots=True)
class Adopted:
    """Result for one file. taken: imported games by state. left: other games, by a key of SKIPPED.
    open: games still to be asked. unsure: imported without a stored prompt to compare.
    """

    model: str
    path: Path
    games: int
    open: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    unsure: int = 0
    bad_lines: list[Line] = field(default_factory=list)
    moved_to: Path | None = None

    def lines(self) -> list[str]:
        states = states_text(self.taken)
        head = f"{self.model}: {self.taken.total()} of {self.games} games imported"
        lines = [f"{head}{f' ({states})' if states else ''}, {self.open} still to be asked"]
        lines += [f"  {count} skipped: {SKIPPED[why]}" for why, count in self.left.most_common()]
        if self.unsure:
            lines.append(f"  {self.unsure} imported without a check: the file stores no prompts")
        lines += [f"  {note}" for note in left_out(self.path, self.bad_lines)]
        if self.moved_to:
            lines.append(f"  moved to {self.moved_to}")
        return lines


def report_adoption(
    campaign: Settings, tell: Callable[[str], None], *, dry_run: bool = False
) -> bool:
    """Adopt all files and print the results; False if a file could not be adopted."""
    if dry_run:
        tell("a dry run: nothing is written or moved; this would be imported:")
    adopted, stayed = [], 0
    for result in adopt_all(campaign, dry_run=dry_run):
        if isinstance(result, ArenaError):
            stayed += 1
            tell(f"adopt: {result}")
        else:
            adopted.append(result)
            tell("\n".join(result.lines()))
    if adopted or stayed:
        taken = sum(result.taken.total() for result in adopted)
        left = sum(result.left.total() for result in adopted)
        still = sum(result.open for result in adopted)
        files = counted(len(adopted), "file")
        tell(f"{files}: {taken:,} games imported, {left:,} skipped, {still:,} still to be asked")
    else:
        tell("adopt: no judgment files of other tools; nothing to do")
    return not stayed


def adopt_all(campaign: Settings, *, dry_run: bool = False) -> Iterator[Adopted | ArenaError]:
    """Adopt other tools' judgment files of all configured models, one after the other.

    The journal is on disk before a file is moved, so an interrupted adoption can be started again.
    Yields an ArenaError for a file that stays: its answers cannot be read, or its journal is in
    use.
    """
    layout = Layout(campaign.root)
    files = {model: Path(campaign.judgment(model)) for model in campaign.models}
    files = {one: path for one, path in files.items() if is_foreign(path, layout.journal(one))}
    if not files:
        return
    # Whole files even for a pilot: the later full run then asks less.
    current = CurrentGames(replace(campaign, pilot=None, categories=frozenset()))
    categories = {question.uid: question.category for question in current.questions}
    now = datetime.now().astimezone()
    for model, path in files.items():
        try:
            games, found = current.of(model)
            take = partial(adopt, path, model, current.requests, games, categories)
            if dry_run:
                yield take({digest for digest, *_ in found.last}, lambda _: None)
                continue
            with Lock(layout.journal(model)) as lock:
                lock.acquire()
                with Journal(layout.journal(model), {game.digest for game in games}) as journal:
                    result = take(set(journal.records), journal.append)
                    journal.sync()
                    result.moved_to = move_aside(path, layout.adopted, now)
            yield result
        except DataError as error:
            yield DataError(f"{path} cannot be adopted: {error}")
        except JournalError as error:
            yield error


def adopt(
    path: Path,
    model: str,
    settings: GameSettings,
    games: Sequence[Game],
    categories: Mapping[str, str],
    known: set[str],
    append: Callable[[Record], None],
) -> Adopted:
    """Import a judgment file's games into a journal.

    games: all of the model as they would be asked now. known: digests in the journal; those of
    imported games are added. append: writes a record to the journal.
    """
    result = Adopted(model, path, len(games))
    planned = {game.key: game for game in games}
    stamp = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    time = stamp.isoformat(timespec="milliseconds")
    for line in iter_lines(path):
        plain = line.obj or {}
        uid, stored = line_uid(plain), plain.get("games")
        if uid is None or not isinstance(stored, list):
            wrong = line.error or "not a judgment: uid or games are missing"
            result.bad_lines.append(Line(line.number, None, wrong))
            continue
        foreign = _foreign_line(plain, uid, settings, categories)
        for index, played in enumerate(stored[:2]):
            game = planned.get((uid, index))
            if game is None or foreign or not isinstance(played, dict):
                result.left[foreign or ("question" if game is None else "null")] += 1
                continue
            same = _same_prompt(game, played)
            found = _outcome(played, plain, model, settings, same)
            if isinstance(found, str) or game.digest in known:
                result.left[found if isinstance(found, str) else "known"] += 1
                continue
            reason = "; ".join(filter(None, (f"adopted from {path.name}", found.reason)))
            known.add(game.digest)
            result.unsure += same is None
            result.taken[found.state] += 1
            append(Record.of(game, replace(found, reason=reason), calls=0, seconds=0.0, time=time))
    result.open = sum(game.digest not in known for game in games)
    return result


def _foreign_line(
    plain: Mapping[str, Any], uid: str, settings: GameSettings, categories: Mapping[str, str]
) -> str:
    """A key of SKIPPED for all games of this line, or "". A missing field is no reason to skip."""
    if uid not in categories:
        return "question"
    ours = {"baseline": settings.baseline_of(categories[uid]), "judge": settings.judge}
    return next((key for key, name in ours.items() if (plain.get(key) or name) != name), "")


def _outcome(
    plain: Mapping[str, Any],
    line: Mapping[str, Any],
    model: str,
    settings: GameSettings,
    same: bool | None,
) -> Outcome | str:
    """The outcome of a stored game, or a key of SKIPPED. same: see `_same_prompt`."""
    if plain.get("toy") and not settings.toy:
        return "judge"
    if same is False:
        return "prompt"
    if same is None and (line.get("model") or line.get("model_id") or model) != model:
        return "model"
    answer, label = _reply(plain), as_label(plain.get("score"))
    state, reason = plain.get("state"), plain.get("reason")
    finish = text_of(plain.get("finish_reason"))
    if state not in ("too_long", "rejected"):
        if not answer.strip() and label:
            answer, reason = f"[[{label}]]", "the file has only its verdict"
        if not answer.strip() or answer.strip() == FAILED_GENERATION:
            return "unreadable"
        label = settings.verdict(answer)
        state = state_of(label, finish)
        reason = reason if label else "no verdict in the reply"
    label = label if state == "ok" else None
    return Outcome(state, label, answer or None, finish, reason=text_of(reason))


def _reply(plain: Mapping[str, Any]) -> str:
    """The judge's reply, wherever the tool stored it; "" where there is none."""
    reply = reply_in(plain.get("judgment", plain.get("judgement")))
    if reply and reply.strip():
        return reply
    score = plain.get("score")  # some tools stored the whole reply as the score
    return score if isinstance(score, str) and as_label(score) is None else ""


def _same_prompt(game: Game, plain: Mapping[str, Any]) -> bool | None:
    """Whether the stored prompt equals today's; None where none is stored."""
    texts = [message["content"] for message in game.messages]
    stored = plain.get("prompt")
    if isinstance(stored, list) and stored:
        found = [part.get("content") if isinstance(part, dict) else part for part in stored]
        return found == texts[-len(found) :]  # some tools store only the user's message
    stored = plain.get("user_prompt") or stored
    return stored == texts[-1] if isinstance(stored, str) and stored else None


def move_aside(path: Path, folder: Path, when: datetime) -> Path:
    """Move a judgment file to `folder`, whose name says why; never overwrites."""
    stem = f"{path.name.removesuffix('.jsonl')}.{folder.name}-{when:%Y%m%d-%H%M%S}"
    target = folder / f"{stem}.jsonl"
    if target.exists():
        raise JournalError(f"{target} already exists; move it away and start again")
    with os_errors_as(JournalError, f"{path}: cannot be moved to {target}"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    return target
