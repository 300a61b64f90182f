"""Judgments that others made, taken into the journal: what was paid for is not asked again.

Every shape of FORMATS is read. A game is taken when its reply is there and nothing in the file
says that it was another game: another baseline, judge or prompt. It is stored under the digest of
the game as it would be asked today, with 0 attempts, so that it counts as played and not as spent.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from arena.data.answers import FAILED_GENERATION
from arena.data.game_state import STATES, state_of
from arena.data.games import Game, GameSettings
from arena.data.questions import line_uid
from arena.data.verdict import as_label
from arena.journals.journal import NO_TOKENS, Record
from arena.support.errors import JournalError
from arena.support.humanize import counted
from arena.support.jsonl import iter_lines

# Why a game of the file was not taken, in the words of the summary.
LEFT_OUT = {
    "null": "null: the call had failed",
    "unreadable": "unreadable: no reply in it",
    "baseline": "against another baseline",
    "judge": "by another judge",
    "model": "of another model, and no prompt to tell",
    "prompt": "with another prompt: the answers or the judge's prompts have changed",
    "question": "of a question that is not asked",
    "known": "in the journal already",
}


@dataclass(slots=True)
class Adopted:
    """What became of one file. taken: games by state. left: games by reason (see LEFT_OUT).

    open: games that are still to be asked. bad_lines: (line, what is wrong).
    """

    model: str
    path: Path
    games: int
    open: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    unsure: int = 0  # taken without a stored prompt to compare
    bad_lines: list[tuple[int, str]] = field(default_factory=list)
    moved_to: Path | None = None

    def lines(self) -> list[str]:
        """The summary for people, first the sum, then each thing worth knowing."""
        states = ", ".join(f"{state} {self.taken[state]}" for state in STATES if self.taken[state])
        head = f"{self.model}: {self.taken.total()} of {self.games} games taken"
        lines = [f"{head}{f' ({states})' if states else ''}, {self.open} left to ask"]
        lines += [f"  {count} left out {LEFT_OUT[why]}" for why, count in self.left.most_common()]
        if self.unsure:
            lines.append(f"  {self.unsure} taken on trust: the file stores no prompts to compare")
        for number, message in self.bad_lines[:5]:
            lines.append(f"  {self.path}:{number}: {message}")
        if len(self.bad_lines) > 5:
            lines.append(f"  and {len(self.bad_lines) - 5} more lines that cannot be read")
        if self.moved_to:
            lines.append(f"  moved to {self.moved_to}")
        return lines


def adopt(
    path: Path,
    *,
    model: str,
    settings: GameSettings,
    games: Sequence[Game],
    categories: Mapping[str, str],
    known: Set[str],
    append: Callable[[Record], None],
) -> Adopted:
    """Take a judgment file's games into a journal.

    games: all games of the model as they would be asked now. categories: uid -> category. known:
    digests that the journal holds. append: writes a line to it.
    """
    result = Adopted(model, path, len(games))
    planned = {game.key: game for game in games}
    stamp = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    time = stamp.isoformat(timespec="milliseconds")
    known = set(known)
    for line in iter_lines(path):
        if line.obj is None:
            result.bad_lines.append((line.number, line.error or "unreadable"))
            continue
        uid = line_uid(line.obj)
        stored = line.obj.get("games")
        if uid is None or not isinstance(stored, list):
            result.bad_lines.append((line.number, "no judgment: it has no uid or no games"))
            continue
        foreign = _foreign_line(line.obj, uid, settings, categories)
        for index, plain in enumerate(stored[:2]):
            game = planned.get((uid, index))
            why = "question" if game is None else foreign
            record = None
            if game is not None and not why:
                record, why = _record(game, plain, line.obj, model, settings, result)
            if record and record.digest in known:
                record, why = None, "known"
            if record is None:
                result.left[why] += 1
                continue
            record.time = time
            record.reason = "; ".join(filter(None, (f"adopted from {path.name}", record.reason)))
            known.add(record.digest)
            result.taken[record.state] += 1
            append(record)
    result.open = sum(game.digest not in known for game in games)
    return result


def _foreign_line(
    plain: Mapping[str, Any], uid: str, settings: GameSettings, categories: Mapping[str, str]
) -> str:
    """Why no game of this line can be taken, or "". What the line does not say is not held
    against it."""
    if uid not in categories:
        return "question"
    baseline = plain.get("baseline")
    if baseline and baseline != settings.baseline_of(categories[uid]):
        return "baseline"
    judge = plain.get("judge")
    return "judge" if judge and judge != settings.judge else ""


def _record(
    game: Game,
    plain: Any,
    line: Mapping[str, Any],
    model: str,
    settings: GameSettings,
    result: Adopted,
) -> tuple[Record | None, str]:
    """The record of a stored game, or why it has none."""
    if not isinstance(plain, dict):
        return None, "null"
    if plain.get("toy") and not settings.toy:
        return None, "judge"
    same = _same_prompt(game, plain)
    if same is False:
        return None, "prompt"
    named = line.get("model") or line.get("model_id")
    if same is None and named and named != model:
        return None, "model"
    answer, label = _reply(plain), as_label(plain.get("score"))
    state = plain.get("state")
    reason = plain.get("reason")
    if state not in ("too_long", "rejected"):
        if not answer.strip() and label:
            answer, reason = f"[[{label}]]", "the file holds its verdict only"
        if not answer.strip() or answer.strip() == FAILED_GENERATION:
            return None, "unreadable"
        label = settings.verdict(answer)
        state = state_of(label, plain.get("finish_reason"))
        reason = reason if label else "no verdict in the reply"
    result.unsure += same is None
    finish = plain.get("finish_reason")
    return Record(
        digest=game.digest,
        uid=game.uid,
        game=game.index,
        state=state,
        label=label if state == "ok" else None,
        answer=answer or None,
        finish_reason=finish if isinstance(finish, str) else None,
        usage=dict(NO_TOKENS),
        attempts=0,
        seconds=0.0,
        time="",
        reason=reason if isinstance(reason, str) else None,
    ), ""


def _reply(plain: Mapping[str, Any]) -> str:
    """The judge's reply wherever a tool has put it; "" where there is none."""
    reply = plain.get("judgment", plain.get("judgement"))
    if isinstance(reply, dict):
        reply = next((reply[key] for key in ("answer", "content", "text") if reply.get(key)), None)
    if isinstance(reply, str) and reply.strip():
        return reply
    score = plain.get("score")  # some tools stored the whole reply as the score
    return score if isinstance(score, str) and as_label(score) is None else ""


def _same_prompt(game: Game, plain: Mapping[str, Any]) -> bool | None:
    """Whether the stored prompt is the one of today; None where none is stored."""
    system, user = (message["content"] for message in game.messages)
    stored = plain.get("prompt")
    if isinstance(stored, list) and stored:
        texts = [part.get("content") if isinstance(part, dict) else part for part in stored]
        return texts == [system, user] if len(texts) > 1 else texts == [user]
    stored = plain.get("user_prompt") or stored
    if isinstance(stored, str) and stored:
        return stored == user
    return None


def move_aside(path: Path, folder: Path, when: datetime) -> Path:
    """Move a file out of the judgments, never over another one; its folder's name says why."""
    stem = f"{path.name.removesuffix('.jsonl')}.{folder.name}-{when:%Y%m%d-%H%M%S}"
    target = folder / f"{stem}.jsonl"
    if target.exists():
        raise JournalError(f"{target} is there already; move it away and start again")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    except OSError as error:
        raise JournalError(f"{path}: cannot be moved to {target}: {error.strerror}") from error
    return target


def totals(results: Iterable[Adopted]) -> str:
    """One line over all files."""
    results = list(results)
    taken = sum(result.taken.total() for result in results)
    left = sum(result.left.total() for result in results)
    still = sum(result.open for result in results)
    files = counted(len(results), "file")
    return f"{files}: {taken:,} games taken, {left:,} left out, {still:,} left to ask"
