"""Answers: one request for each question, and the line of the answer file made from its reply.

`AnswerSettings` has the interface of `GameSettings` (games.py), so that client, journal and batch
are the same for both. An answer is a game with index 0; if there is one, its label is ANSWER.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from arena.data.games import AskAgain, Game, Messages, most_tokens
from arena.data.metadata import count_metadata
from arena.data.questions import Question
from arena.data.stage import ANSWERS, Stage

ANSWER = "answer"
_PARSED = "\x1e"  # in a journal, ends a thought that the server's own parser has split off
# Letters and digits that are not mistaken for each other: the alphabet of Arena-Hard-Auto's ids.
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ID_LENGTH = 22  # characters of this alphabet encode 128 bits


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """Of one model. judge: its name on its server. writer: `Writer.digest`."""

    stage: ClassVar[Stage] = ANSWERS
    judge: str
    writer: str
    sampling: Mapping[str, Any]
    system_prompt: str | None = None
    end_think_token: str | None = None
    toy: bool = False

    @property
    def ask_again(self) -> AskAgain:
        return AskAgain()

    @property
    def most_tokens(self) -> int:
        return most_tokens(self.sampling)

    def games(self, questions: Iterable[Question]) -> list[Game]:
        found = []
        for position, question in enumerate(questions):
            asked = asked_messages(question.prompt, self.system_prompt)
            found.append(Game(question.uid, position, 0, asked, self.digest(asked), self.judge))
        return found

    def digest(self, asked: Messages) -> str:
        """SHA-256 of all that determines the answer."""
        text = json.dumps([self.writer, self.toy, asked], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def request(self, game: Game, again: int = 0) -> dict[str, Any]:  # noqa: ARG002
        return {"model": game.served, "messages": game.messages, **self.sampling}

    def control(self, like: Game) -> Game:
        """A short request: if the server refuses it, it refuses every request."""
        asked = [*like.messages[:-1], {"role": "user", "content": "What is 1 + 1?"}]
        return Game("", 0, -1, asked, self.digest(asked), self.judge)

    def reply(self, content: str, thoughts: str) -> str:
        """The whole reply, with thoughts that the server's parser has split off."""
        return f"{thoughts}{self.end_think_token or _PARSED}{content}" if thoughts else content

    def verdict(self, reply: str | None) -> str | None:
        return ANSWER if self.parts(reply or "")[1].strip() else None

    def parts(self, reply: str) -> tuple[str | None, str]:
        """The thought (None: there is none) and the answer of a reply.

        As in reasoning parsers, the first token ends the thought: an answer may quote it. Without
        the token, the whole reply is the answer.
        """
        thought, token, answer = reply.partition(self.end_think_token or _PARSED)
        return (thought, answer.lstrip()) if token else (None, reply)


def asked_messages(prompt: str, system_prompt: str | None) -> Messages:
    """The messages that a model is sent; an empty system prompt is left out."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": prompt}]


def answer_line(
    settings: AnswerSettings, question: Question, record: Any, model: str
) -> dict[str, Any]:
    """The line of an answer file, from a journal's record (arena.journals.journal.Record).

    Its keys are Arena-Hard-Auto's, in its order, and our `finish_reason` and `usage`. Metadata
    counts the answer without the thought.
    """
    thought, answer = settings.parts(record.answer or "")
    content = {"answer": answer} | ({} if thought is None else {"thought": thought})
    return {
        "uid": question.uid,
        "ans_id": answer_id(model, record.digest),
        "model": model,
        "messages": [
            *asked_messages(question.prompt, settings.system_prompt),
            {"role": "assistant", "content": content},
        ],
        "tstamp": datetime.fromisoformat(record.time).timestamp(),
        "metadata": count_metadata(answer),
        "finish_reason": record.finish_reason,
        "usage": {key: record.usage[key] for key in ("prompt", "completion")},
    }


def answer_id(model: str, digest: str) -> str:
    """An `ans_id` from the request's digest: a rewritten file has the same ids."""
    number = int.from_bytes(hashlib.sha256(f"{model}\0{digest}".encode()).digest())
    digits = []
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)
