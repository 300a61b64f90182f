"""From a journal: which games are still to be asked, and the lines of the judgment file."""

import contextlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.data.answers import Answer, read_answers
from arena.data.games import Game, GameSettings, Requests, plan_games
from arena.data.layout import Layout
from arena.data.questions import Question
from arena.data.verdict import ANSWERED, state_of
from arena.journals.journal import Record, Replayed, read_records
from arena.journals.progress import Progress
from arena.setup.settings import Settings
from arena.support.coerce import dict_of, list_of
from arena.support.errors import DataError
from arena.support.jsonl import iter_lines


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
        may_ask = journal.times_asked(game.digest) <= settings.ask_again.times
        if record is None or (record.is_repeatable and may_ask):
            chosen.setdefault(game.digest, game)
    return list(chosen.values())


class CurrentGames:
    """The games that models have today. Questions and baselines are read once, when needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._layout = settings, Layout(settings.root)
        self.requests = GameSettings.from_dict(settings.judgment_params())

    @cached_property
    def questions(self) -> list[Question]:
        return self._settings.asked()

    @cached_property
    def _opponents(self) -> dict[str, dict[str, Answer]]:
        return {name: read_answers(path).answers for name, path in self._settings.opponents()}

    def of(self, model: str, uids: Container[str] | None = None) -> tuple[list[Game], Replayed]:
        """The games of a model, or those of some questions, and what its journal has of them.
        Raises DataError or JournalError.
        """
        path = self._layout.journal(model)
        answers = read_answers(self._settings.answer(model)).answers
        known = {uid: one for uid, one in answers.items() if uids is None or uid in uids}
        games = plan_games(self.requests, self.questions, known, self._opponents)
        digests = {game.digest for game in games}
        records = read_records(path) if digests and path.exists() else ()
        journal = Replayed(record for record in records if record.digest in digests)
        reparse(journal, self.requests)
        return games, journal

    def played(self, model: str) -> int:
        """Number of a model's games that will not be asked again. Only the questions in its journal
        are looked at: after a pilot, these are few.
        """
        with contextlib.suppress(DataError):
            if lines := Progress(self._layout.journal(model)).update().lines:
                games, journal = self.of(model, {line.uid for line in lines})
                left = {game.digest for game in open_games(games, journal, self.requests)}
                return sum(game.digest not in left for game in games)
        return 0

    def wrote(self, model: str, judgment: str) -> bool:
        """Whether a judgment file contains what the complete journal of a model says."""
        if not Path(judgment).exists():
            return False

        def said(lines: Iterable[dict[str, Any]]) -> list[list[Any]]:
            games = ((line, game) for line in lines for game in list_of(line.get("games")))
            keys = ("score", "judgment", "prompt")
            return [[line.get("uid"), *map(dict_of(game).get, keys)] for line, game in games]

        games, journal = self.of(model)
        ours = judgment_lines(self.requests, model, self.questions, games, journal)
        return said(ours) == said(line.obj or {} for line in iter_lines(judgment))


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
