"""The requests of a model: games for the judge, or questions for the model itself.

Games: in games[0] A is the baseline, B the model; games[1] is swapped. An answer is a game with
index 0; if there is one, its label is ANSWER. `GameSettings` and `AnswerSettings` determine the
replies. They have one interface, so that client, journal and batch are the same for both.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from arena.data.answers import Answer
from arena.data.layout import ANSWERS, JUDGMENTS, Stage
from arena.data.metadata import count_metadata
from arena.data.prompts import asks_for, check_template, fill, needed_of_category
from arena.data.questions import Question
from arena.data.verdict import DEFAULT_PATTERNS, parse_verdict
from arena.support.errors import ConfigError

Messages = list[dict[str, str]]
ANSWER = "answer"
_PARSED = "\x1e"  # in a journal, ends a thought that the server's own parser has split off

# Not allowed in `sampling`: we set these, or they change the format of the reply.
_RESERVED = ("model", "messages", "n", "priority", "stream", "stream_options")


@dataclass(frozen=True, slots=True)
class AskAgain:
    """How often a game without a verdict is asked again; with more tokens or another seed."""

    times: int = 0
    max_tokens: int | None = None
    seed: int | None = None  # of the first repetition; each later one adds 1


@dataclass(frozen=True, slots=True)
class Game:
    """One judge call. position: of its question in the file, from 0. index: 0 or 1. served: name of
    the model to ask, if its server has several.
    """

    uid: str
    position: int
    index: int
    messages: Messages = field(repr=False, compare=False)
    digest: str
    served: str = ""

    @property
    def key(self) -> tuple[str, int]:
        return self.uid, self.index


@dataclass(frozen=True, slots=True)
class GameSettings:
    """Everything that determines the games.

    sampling: the request's fields besides model and messages. baseline, system_prompt: by category,
    "*" for all others. served_as: the judge's names on its endpoints, if different. fold_system:
    put the system prompt at the start of the user's message.
    """

    stage: ClassVar[Stage] = JUDGMENTS
    judge: str
    sampling: dict[str, Any]
    baseline: dict[str, str]
    system_prompt: dict[str, str]
    prompt_template: str
    patterns: tuple[str, ...] = DEFAULT_PATTERNS
    reference: str | None = None
    ask_again: AskAgain = AskAgain()
    toy: bool = False
    served_as: tuple[str, ...] = ()
    fold_system: bool = False

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "GameSettings":
        """Read `Settings.judgment_params()`; ConfigError names the key that is wrong."""
        given = {key: value for key, value in plain.items() if value}
        given |= {"sampling": sampling_of(plain), "system_prompt": plain["system_prompt"]}
        given["prompt_template"] = check_template(plain["prompt_template"])
        return msgspec.convert(given, cls)

    @property
    def most_tokens(self) -> int:
        """The longest reply that may come, in tokens."""
        return max(most_tokens(self.sampling), self.ask_again.max_tokens or 0)

    def baseline_of(self, category: str) -> str:
        return needed_of_category(self.baseline, category, "baseline")

    def digest(self, asked: Messages) -> str:
        """SHA-256 of all that determines the reply: judge, messages and sampling."""
        content = {"judge": self.judge, "messages": asked, "sampling": self.sampling}
        # Only where they are set, so that older digests stay valid.
        more = ("toy", "served_as", "fold_system")
        content |= {key: value for key in more if (value := getattr(self, key))}
        return sha256_of(content, separators=(",", ":"))

    def request(self, game: Game, again: int = 0) -> dict[str, Any]:
        """The body of the request. again: number of the repetition (0: first time)."""
        asked, sampling = game.messages, dict(self.sampling)
        if again and self.ask_again.max_tokens is not None:
            newer = "max_completion_tokens" in sampling
            sampling["max_completion_tokens" if newer else "max_tokens"] = self.ask_again.max_tokens
        if again and self.ask_again.seed is not None:
            sampling["seed"] = self.ask_again.seed + again - 1
        if self.fold_system:
            asked = [{"role": "user", "content": "\n\n".join(part["content"] for part in asked)}]
        return {"model": self.judge, "messages": asked, **sampling}

    def reply(self, content: str, thoughts: str) -> str:  # noqa: ARG002
        """The part of a reply that counts: not the judge's thoughts."""
        return content

    def verdict(self, reply: str | None) -> str | None:
        return parse_verdict(reply, self.patterns)


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """Of one model. judge: its name on its server. writer: `Writer.digest`."""

    stage: ClassVar[Stage] = ANSWERS
    ask_again: ClassVar[AskAgain] = AskAgain()
    judge: str
    writer: str
    sampling: Mapping[str, Any]
    system_prompt: str | None = None
    end_think_token: str | None = None
    toy: bool = False

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
        return sha256_of([self.writer, self.toy, asked])

    def request(self, game: Game, again: int = 0) -> dict[str, Any]:  # noqa: ARG002
        return {"model": game.served, "messages": game.messages, **self.sampling}

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


Requests = GameSettings | AnswerSettings  # what the client may be given


def sha256_of(content: Any, **options: Any) -> str:
    """Of the content as JSON; some answers have lone surrogates, which UTF-8 cannot encode."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, **options)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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
    code = base64.b32encode(hashlib.sha256(f"{model}\0{digest}".encode()).digest())
    return code.decode()[:22]  # as long as Arena-Hard-Auto's


def plan_games(
    settings: GameSettings,
    questions: Iterable[Question],
    answers: Mapping[str, Answer],
    others: Mapping[str, Mapping[str, Answer]],
) -> list[Game]:
    """The games of a model in question order, the two games of a question side by side.

    others: baseline or reference model -> its answers by uid. Questions that the model, its
    baseline or the reference has not answered are left out.
    """
    games: list[Game] = []
    wanted = asks_for(settings.prompt_template, "REFERENCE")
    for position, question in enumerate(questions):
        ours = answers.get(question.uid)
        baseline = settings.baseline_of(question.category)
        theirs = others.get(baseline, {}).get(question.uid)
        reference = others.get(settings.reference or "", {}).get(question.uid)
        if ours is None or theirs is None or (wanted and reference is None):
            continue
        system = needed_of_category(
            settings.system_prompt, question.category, "judge.system_prompt"
        )
        shown = {"QUESTION": question.prompt, "REFERENCE": reference.text if reference else ""}
        for index, (a, b) in enumerate(((theirs, ours), (ours, theirs))):
            user = fill(settings.prompt_template, shown | {"ANSWER_A": a.text, "ANSWER_B": b.text})
            asked = asked_messages(user, system)
            games.append(Game(question.uid, position, index, asked, settings.digest(asked)))
    return games


def most_tokens(sampling: Mapping[str, Any]) -> int:
    """The longest possible reply in tokens; 4,096 if there is no limit."""
    stated = (sampling.get(key) for key in ("max_tokens", "max_completion_tokens"))
    return max(filter(None, stated), default=4096)


def sampling_of(plain: Mapping[str, Any], block: str = "judge") -> dict[str, Any]:
    """The request fields as one flat dict, without nulls; 0.0 becomes 0."""
    extra = dict(plain.get("sampling") or {})
    nested = extra.pop("extra_body", None) or {}
    if not isinstance(nested, Mapping):
        raise ConfigError(f"{block}.sampling.extra_body: must be a mapping, not {nested!r}")
    extra |= nested
    for key in _RESERVED:
        if key in extra:
            raise ConfigError(f"{block}.sampling.{key}: this field cannot be set; remove it")
    fields = {"temperature": plain.get("temperature"), "max_tokens": plain.get("max_tokens")}
    if "max_completion_tokens" in extra:  # OpenAI's newer name, null: no limit; servers refuse both
        del fields["max_tokens"]
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in sorted((fields | extra).items())
        if value is not None
    }
