"""Judgment files: all formats in use are read; the first is written (arena.journals.replay).

    {uid, category, judge, model, baseline, games: [{score, judgment: {answer}, prompt}, ...]}
    {question_id, model, judge, games: [{score, judgment: "text", user_prompt}, ...]}
    {question_id, games: [{judgment: "text"}, ...]}

Only the few keys that votes need are decoded; replies and prompts stay bytes until they are used.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from arena.data import game_state
from arena.data.verdict import DEFAULT_PATTERNS, LABELS_OF, as_label, parse_verdict
from arena.support.errors import DataError
from arena.support.jsonl import Line, parse_line, refuse_odd_file

# Only "ok" is a vote. "null" is a failed call of Arena-Hard-Auto.
STATES = (*game_state.STATES, "null")
BUFFER = 1 << 18  # bytes; lines exceed Python's default of 8 KB, which is 4.5 times slower
_NOTHING = msgspec.Raw(b"")


class _Game(msgspec.Struct):
    score: Any = None
    judgment: msgspec.Raw = _NOTHING
    judgement: msgspec.Raw = _NOTHING  # a spelling in some files
    finish_reason: Any = None
    state: Any = None
    toy: Any = None
    prompt: msgspec.Raw = _NOTHING


class _Line(msgspec.Struct):
    uid: str | int | None = None
    question_id: str | int | None = None
    category: str | None = None
    model: str | None = None
    judge: str | None = None
    baseline: str | None = None
    games: list[_Game | None] | None = None


_DECODER = msgspec.json.Decoder(_Line)
_MESSAGES = msgspec.json.Decoder(list[dict[str, Any]])


@dataclass(slots=True)
class GameResult:
    score: str | None  # a known label
    state: str
    finish_reason: str | None
    toy: bool
    _reply: msgspec.Raw = field(repr=False)
    _prompt: msgspec.Raw = field(repr=False)

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
        return [(str(one.get("role")), str(one.get("content"))) for one in messages]

    @property
    def system_prompt(self) -> str | None:
        """The judge's system prompt, "" for none; None if prompts are not in the file."""
        messages = self.prompt
        texts = [text.strip() for role, text in messages if role == "system"]
        return "\n".join(texts) if messages else None


@dataclass(slots=True)
class JudgmentLine:
    """One question's games: in games[0] A is the baseline, in games[1] the model. None: no game.
    played: games in the line, null ones included: 2, or 1 in files cut by other tools.
    """

    uid: str
    category: str | None
    model: str
    judge: str | None
    baseline: str | None
    games: tuple[GameResult | None, GameResult | None]
    line: int
    played: int


def read_judgments(
    path: Path | str,
    *,
    rule: str = "v2.0",
    patterns: Sequence[str] = DEFAULT_PATTERNS,
    problems: list[Line] | None = None,
) -> Iterator[JudgmentLine]:
    """Yield the lines of a judgment file in file order.

    The verdict of a game is the stored score if that is a known label, else the reply (or the text
    stored as score) parsed by `rule`; none if the game's `state` says so. A line without a model
    gets the file's name. Unreadable lines are appended to `problems`; without that list they raise
    DataError with file and line.
    """
    path = Path(path)
    try:
        refuse_odd_file(path)
        file = path.open("rb", buffering=BUFFER)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        for number, raw in enumerate(file, 1):
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.isspace():
                continue
            try:
                yield _judgment(_decode(number, raw), number, path, rule, patterns)
            except ValueError as error:
                if problems is None:
                    message = f"{path}:{number}: {error}; correct or remove the line"
                    raise DataError(message) from error
                problems.append(Line(number, None, str(error)))


def _decode(number: int, raw: bytes) -> _Line:
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # NaN, or another format: the lenient reader below names the error
    line = parse_line(number, raw)
    if line is None or line.obj is None:
        raise ValueError(line.error if line else "blank")
    try:
        return _DECODER.decode(msgspec.json.encode(line.obj))
    except msgspec.DecodeError as error:
        raise ValueError(f"not a judgment: {error}") from error


def _judgment(
    line: _Line, number: int, path: Path, rule: str, patterns: Sequence[str]
) -> JudgmentLine:
    uid = line.question_id if line.uid is None else line.uid
    if uid is None:
        raise ValueError("has neither `uid` nor `question_id`")
    if not line.games:
        raise ValueError(f"question {uid} has no games")
    games = [None if game is None else _game(game, rule, patterns) for game in line.games[:2]]
    return JudgmentLine(
        uid=str(uid),
        category=line.category,
        model=line.model or path.name.removesuffix(".jsonl"),
        judge=line.judge,
        baseline=line.baseline,
        games=(games[0], games[1] if len(games) > 1 else None),
        line=number,
        played=len(games),
    )


def _game(game: _Game, rule: str, patterns: Sequence[str]) -> GameResult:
    reply = game.judgment if game.judgment is not _NOTHING else game.judgement
    reason = game.finish_reason if isinstance(game.finish_reason, str) else None
    label, state = None, game.state
    if state not in STATES or state == "ok":  # the other states have no verdict
        if label := as_label(game.score):
            # a label that the rule does not know is no vote, whatever the reply says
            label = label if label in LABELS_OF[rule] else None
        else:
            label = parse_verdict(_reply_text(reply), patterns, rule)
            if label is None and isinstance(game.score, str):
                label = parse_verdict(game.score, patterns, rule)
        state = game_state.state_of(label, reason)
    return GameResult(label, state, reason, game.toy is True, reply, game.prompt)


def _reply_text(reply: msgspec.Raw) -> str | None:
    if reply is _NOTHING:
        return None
    try:
        value = msgspec.json.decode(reply)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = json.loads(bytes(reply).decode("utf-8", "replace"))
    return reply_in(value)


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
    try:
        refuse_odd_file(judgments)
        with open(judgments, "rb") as file:  # noqa: PTH123 (1,000 files a start: pathlib is slower)
            first = next((line for line in file if line.strip()), b"")
    except OSError as error:
        raise DataError(f"{judgments}: cannot be read: {error.strerror}") from error
    # In a string the quotes would be escaped, so these bytes are a key.
    return b'"state"' not in first


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (as above)
    except OSError:  # missing, or a link to itself
        return 0
