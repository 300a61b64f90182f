"""What is asked of the models themselves: one request a question, and what its reply is worth.

`AnswerSettings` stands where `GameSettings` stands for a judge, so that the same client, journal
and batch serve both. An answer is a game with index 0 and, where it is one, the label ANSWER.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from arena.data.answer_lines import answer_id, answer_line, asked_messages, split_thought
from arena.data.games import AskAgain, Game, Messages, most_tokens
from arena.data.questions import Question
from arena.data.stage import ANSWERS, Stage

ANSWER = "answer"
_PARSED = "\x1e"  # ends, in a journal, a thought that the server's own parser has taken out


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """Of one model. judge: its name as its server knows it. writer: `Writer.digest`."""

    stage: ClassVar[Stage] = ANSWERS
    judge: str
    writer: str
    sampling: Mapping[str, Any]
    system_prompt: str | None = None
    end_think_token: str | None = None
    toy: bool = False

    @property
    def ask_again(self) -> AskAgain:
        """Never: an answer is asked once."""
        return AskAgain()

    @property
    def most_tokens(self) -> int:
        return most_tokens(self.sampling)

    def games(self, questions: Iterable[Question]) -> list[Game]:
        """One request a question, in their order."""
        found = []
        for position, question in enumerate(questions):
            asked: Messages = asked_messages(question.prompt, self.system_prompt)
            found.append(Game(question.uid, position, 0, asked, self.digest(asked), self.judge))
        return found

    def digest(self, asked: Messages) -> str:
        """SHA-256 of all that determines the answer."""
        text = json.dumps([self.writer, self.toy, asked], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def request(self, game: Game, again: int = 0) -> dict[str, Any]:  # noqa: ARG002
        """The request's body; an answer is asked once."""
        return {"model": game.served, "messages": game.messages, **self.sampling}

    def control(self, like: Game) -> Game:
        """A request of a few words; what is refused then is refused everywhere."""
        asked = [*like.messages[:-1], {"role": "user", "content": "What is 1 + 1?"}]
        return Game("", 0, -1, asked, self.digest(asked), self.judge)

    def reply(self, content: str, thoughts: str) -> str:
        """The whole reply, also where the server's parser has taken the thought out."""
        return f"{thoughts}{self.end_think_token or _PARSED}{content}" if thoughts else content

    def verdict(self, reply: str | None) -> str | None:
        """ANSWER where there is one after the thoughts."""
        return ANSWER if self.parts(reply or "")[1].strip() else None

    def parts(self, reply: str) -> tuple[str | None, str]:
        """Thought and answer."""
        return split_thought(reply, self.end_think_token or _PARSED)


def line_of(
    settings: AnswerSettings, question: Question, record: Any, model: str
) -> dict[str, Any]:
    """The line of an answer file from a journal's record (arena.journals.journal.Record)."""
    thought, answer = settings.parts(record.answer or "")
    return answer_line(
        question,
        model,
        answer,
        thought=thought,
        system_prompt=settings.system_prompt,
        finish_reason=record.finish_reason,
        usage=record.usage,
        tstamp=datetime.fromisoformat(record.time).timestamp(),
        ans_id=answer_id(model, record.digest),
    )
