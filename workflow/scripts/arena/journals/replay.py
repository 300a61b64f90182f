"""From a journal: which games are still to ask, and the lines of the judgment file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from arena.data.game_state import ANSWERED, state_of
from arena.data.games import Game, GameSettings, Requests
from arena.data.questions import Question
from arena.journals.journal import Record, Replayed


def reparse(journal: Replayed, settings: GameSettings) -> None:
    """Parse the stored replies with the current patterns, which costs no call.

    A record is damaged, and its game asked again, if its label is not in its reply; or, while most
    labels agree (so the patterns did not change), if the reply has another verdict.
    """
    agree, changed, damaged = 0, [], []
    for digest, record in journal.records.items():
        if record.state not in ANSWERED:
            continue
        label = settings.verdict(record.answer)
        if label == record.label:
            agree += label is not None
            continue
        if record.label and record.label not in (record.answer or "").upper():
            damaged.append(digest)
        elif label and record.label:
            changed.append(digest)
        state = state_of(label, record.finish_reason)
        reason = None if label else "no verdict with the current patterns"
        journal.records[digest] = replace(record, state=state, label=label, reason=reason)
    for digest in damaged + (changed if agree > len(changed) else []):
        del journal.records[digest], journal.asked[digest]


def open_games(games: Iterable[Game], journal: Replayed, settings: Requests) -> list[Game]:
    """Games to ask, each prompt once: without a record, or to be asked again for a verdict."""
    chosen: dict[str, Game] = {}
    for game in games:
        record = journal.records.get(game.digest)
        again = record is not None and record.is_repeatable
        if record is None or (
            again and journal.times_asked(game.digest) <= settings.ask_again.times
        ):
            chosen.setdefault(game.digest, game)
    return list(chosen.values())


def judgment_lines(
    settings: GameSettings,
    model: str,
    questions: Iterable[Question],
    games: Sequence[Game],
    journal: Replayed,
) -> Iterator[dict[str, Any]]:
    """The lines of the judgment file, in question order; every game must have a record."""
    asked = {question.uid: question for question in questions}
    for pair in zip(games[::2], games[1::2], strict=True):
        question = asked[pair[0].uid]
        yield {
            "uid": question.uid,
            "category": question.category,
            "judge": settings.judge,
            "model": model,
            "baseline": settings.baseline_of(question.category),
            "games": [_played(game, journal.records[game.digest], settings.toy) for game in pair],
        }


def _played(game: Game, record: Record, toy: bool) -> dict[str, Any]:
    """One game as Arena-Hard-Auto's tools read it; a score of null is no vote."""
    played = {
        "score": record.label,
        "judgment": {"answer": record.answer or ""},
        "prompt": game.messages,
        "state": record.state,
        "finish_reason": record.finish_reason,
        "usage": record.usage,
        "seconds": record.seconds,
    }
    if record.reason:
        played["reason"] = record.reason
    if toy:
        played["toy"] = True
    return played
