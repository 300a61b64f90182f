"""What is asked of the models themselves: one request a question, and what its reply is worth.

`AnswerSettings` stands where `GameSettings` stands for a judge, so that the same client, journal
and batch serve both. An answer is a game with index 0 and, where it is one, the label ANSWER.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from arena.data.answer_lines import answer_line, split_thought
from arena.data.games import AskAgain, Game, Messages
from arena.data.questions import Question

ANSWER = "answer"
END_THINK = "</think>"


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """Of one model. judge: its name as its server knows it. writer: `Writer.digest`."""

    judge: str
    writer: str
    sampling: Mapping[str, Any]
    system_prompt: str | None = None
    end_think_token: str | None = None
    toy: bool = False
    ask_again: AskAgain = AskAgain()

    @property
    def most_tokens(self) -> int:
        return int(self.sampling.get("max_tokens") or 4096)

    def games(self, questions: Iterable[Question]) -> list[Game]:
        """One request a question, in their order."""
        system = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        found = []
        for position, question in enumerate(questions):
            asked: Messages = [*system, {"role": "user", "content": question.prompt}]
            found.append(Game(question.uid, position, 0, asked, self.digest(asked), self.judge))
        return found

    def digest(self, asked: Messages) -> str:
        """SHA-256 of all that determines the answer."""
        text = json.dumps([self.writer, self.toy, asked], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def request(self, game: Game, again: int = 0) -> dict[str, Any]:
        """The request's body."""
        return {"model": game.served, "messages": game.messages, **self.sampling}

    def control(self, like: Game) -> Game:
        """A request of a few words; what is refused then is refused everywhere."""
        asked = [*like.messages[:-1], {"role": "user", "content": "What is 1 + 1?"}]
        return Game("", 0, -1, asked, self.digest(asked), self.judge)

    def reply(self, content: str, thoughts: str) -> str:
        """The reply as it would stand without a reasoning parser of the server's."""
        return f"{thoughts}{self.end_think_token or END_THINK}{content}" if thoughts else content

    def verdict(self, reply: str | None) -> str | None:
        """ANSWER where there is one after the thoughts."""
        return ANSWER if self.parts(reply or "")[1].strip() else None

    def parts(self, reply: str) -> tuple[str | None, str]:
        """Thought and answer."""
        token = self.end_think_token
        return split_thought(reply, token or END_THINK) if token else (None, reply)


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
        tstamp=record.time,
        ans_id=record.digest,
    )
