"""Judgment files: all formats in use are read; the first is written (arena.journals.replay).

    {uid, category, judge, model, baseline, games: [{score, judgment: {answer}, prompt}, ...]}
    {question_id, model, judge, games: [{score, judgment: "text", user_prompt}, ...]}
    {question_id, games: [{judgment: "text"}, ...]}

Only the few keys that votes need are decoded; replies and prompts stay bytes until they are used.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from arena.data import verdict
from arena.data.verdict import DEFAULT_PATTERNS, as_label, parse_verdict, state_of
from arena.support.coerce import dict_of, list_of
from arena.support.jsonl import Line, iter_lines, parse_line, raw_lines

# Only "ok" is a vote. "null" is a failed call of Arena-Hard-Auto.
STATES = (*verdict.STATES, "null")
BUFFER = 1 << 18  # bytes; lines exceed Python's default of 8 KB, which is 4.5 times slower
_NOTHING = msgspec.Raw(b"")
_MESSAGES = msgspec.json.Decoder(list[dict[str, Any]])


class GameResult(msgspec.Struct):
    """A game as it is stored; `_judge` sets score (a known label or None), state and toy."""

    score: Any = None
    state: Any = None
    finish_reason: Any = None
    toy: Any = None
    _reply: msgspec.Raw = msgspec.field(default=_NOTHING, name="judgment")
    _other_reply: msgspec.Raw = msgspec.field(default=_NOTHING, name="judgement")  # in some files
    _prompt: msgspec.Raw = msgspec.field(default=_NOTHING, name="prompt")

    @property
    def answer(self) -> str:
        """The judge's reply; "" where there is none."""
        return _reply_text(self._reply) or ""

    @property
    def prompt(self) -> list[tuple[str, str]]:
        """The messages sent to the judge as (role, text); [] if they are not in the file."""
        try:
            messages = _MESSAGES.decode(self._prompt)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []
        return [(str(one.get("role")), str(one.get("content") or "")) for one in messages]

    @property
    def system_prompt(self) -> str | None:
        """The judge's system prompt, "" for none; None if prompts are not in the file."""
        messages = self.prompt
        texts = [text.strip() for role, text in messages if role == "system"]
        return "\n".join(texts) if messages else None


class _Line(msgspec.Struct):
    uid: str | int | None = None
    question_id: str | int | None = None
    category: str | None = None
    model: str | None = None
    baseline: str | None = None
    games: list[GameResult | None] | None = None


_DECODER = msgspec.json.Decoder(_Line)


@dataclass(slots=True)
class JudgmentLine:
    """One question's games: in games[0] A is the baseline, in games[1] the model. None: no game.
    played: games in the line, null ones included: 2, or 1 in files cut by other tools.
    """

    uid: str
    category: str | None
    model: str
    baseline: str | None
    games: tuple[GameResult | None, GameResult | None]
    played: int


def read_judgments(
    path: Path | str,
    *,
    rule: str = "v2.0",
    patterns: Sequence[str] = DEFAULT_PATTERNS,
    problems: list[Line],
) -> Iterator[JudgmentLine]:
    """Yield the lines of a judgment file in file order.

    The verdict of a game is the stored score if that is a known label, else the reply (or the text
    stored as score) parsed by `rule`; none if the game's `state` says so. A line without a model
    gets the file's name. Unreadable lines are appended to `problems`.
    """
    path = Path(path)
    for number, raw in raw_lines(path, BUFFER):
        try:
            if (line := _decode(number, raw)) is not None:
                yield _judgment(line, path, rule, patterns)
        except ValueError as error:
            problems.append(Line(number, None, str(error)))


def _decode(number: int, raw: bytes) -> _Line | None:
    try:
        return _DECODER.decode(raw)
    except (ValueError, RecursionError):
        pass  # NaN, or another format: the lenient reader below names the error
    if (line := parse_line(number, raw)) is None:
        return None  # blank
    if line.obj is None:
        raise ValueError(line.error)
    try:
        return _DECODER.decode(msgspec.json.encode(line.obj))
    except msgspec.DecodeError as error:
        raise ValueError(f"not a judgment: {error}") from error


def _judgment(line: _Line, path: Path, rule: str, patterns: Sequence[str]) -> JudgmentLine:
    uid = line.question_id if line.uid is None else line.uid
    if uid is None:
        raise ValueError("has neither `uid` nor `question_id`")
    if not line.games:
        raise ValueError(f"question {uid} has no games")
    games = line.games[:2]
    for game in filter(None, games):
        _judge(game, rule, patterns)
    return JudgmentLine(
        uid=str(uid),
        category=line.category,
        model=line.model or path.name.removesuffix(".jsonl"),
        baseline=line.baseline,
        games=(games[0], games[1] if len(games) > 1 else None),
        played=len(games),
    )


def _judge(game: GameResult, rule: str, patterns: Sequence[str]) -> None:
    if game._reply is _NOTHING:
        game._reply = game._other_reply
    game.toy, label = game.toy is True, None
    if game.state not in STATES or game.state == "ok":  # the other states have no verdict
        if as_label(game.score):
            # a label that the rule does not know is no vote, whatever the reply says
            label = as_label(game.score, rule)
        else:
            label = parse_verdict(_reply_text(game._reply), patterns, rule)
            if label is None and isinstance(game.score, str):
                label = parse_verdict(game.score, patterns, rule)
        game.state = state_of(label, game.finish_reason)
    game.score = label


def _reply_text(reply: msgspec.Raw) -> str | None:
    if reply is _NOTHING:
        return None
    return reply_in(json.loads(bytes(reply).decode("utf-8", "replace")))


def reply_in(value: Any) -> str | None:
    """The text of a `judgment`: itself, or its `answer`, `content` or `text`."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("answer", "content", "text") if value.get(key)), None)
    return value if isinstance(value, str) else None


def is_foreign(judgments: str | Path, journal: str | Path) -> bool:
    """Whether another tool made this judgment file, so that it must not be overwritten.

    That is so if there is no journal from which it could be made, or if its first line has no
    `state` of a game, which only this workflow writes.
    """
    if not _size(judgments) or not _size(journal):
        return bool(_size(judgments))
    first = next(iter_lines(judgments), None)
    games = list_of(first.obj.get("games")) if first and first.obj else []
    return not any("state" in dict_of(game) for game in games)


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (1,000 files a start: pathlib is slower)
    except OSError:  # missing, or a link to itself
        return 0
