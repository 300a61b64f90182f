"""The games of a model, and the settings that determine the judge's replies.

games[0]: A is the baseline, B the model. games[1]: swapped.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from arena.data.answers import Answer
from arena.data.prompts import Prompts, asks_for, fill, messages, of_category
from arena.data.questions import Question
from arena.data.stage import JUDGMENTS, Stage
from arena.data.verdict import DEFAULT_PATTERNS, parse_verdict
from arena.support.errors import ConfigError

Messages = list[dict[str, str]]

# Not allowed in `sampling`: we set these, or they change the format of the reply.
_RESERVED = ("model", "messages", "n", "priority", "stream", "stream_options")
CONTROL_QUESTION = "What is 1 + 1?"  # see `GameSettings.control`


@dataclass(frozen=True, slots=True)
class AskAgain:
    """How often a game without a verdict is asked again; with more tokens or another seed."""

    times: int = 0
    max_tokens: int | None = None
    seed: int | None = None  # of the first repetition; each later one adds 1


@dataclass(frozen=True, slots=True)
class Game:
    """One judge call. position: of its question in the file, from 0. index: 0 or 1. served: name of
    the model to ask, if its server has several (see `answer_requests`).
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


class Requests(Protocol):
    """What the client needs of GameSettings and AnswerSettings. judge: its name on the server."""

    stage: ClassVar[Stage]

    @property
    def judge(self) -> str: ...
    @property
    def ask_again(self) -> AskAgain: ...
    @property
    def most_tokens(self) -> int: ...
    def request(self, game: Game, again: int = 0) -> dict[str, Any]: ...
    def control(self, like: Game) -> Game: ...
    def reply(self, content: str, thoughts: str) -> str: ...
    def verdict(self, reply: str | None) -> str | None: ...


@dataclass(frozen=True, slots=True)
class GameSettings:
    """Everything that determines the games.

    sampling: the request's fields besides model and messages. baseline: category -> model, "*" for
    all others. served_as: the judge's names on its endpoints, if different. fold_system: put the
    system prompt at the start of the user's message.
    """

    stage: ClassVar[Stage] = JUDGMENTS
    judge: str
    sampling: dict[str, Any]
    baseline: dict[str, str]
    prompts: Prompts
    patterns: tuple[str, ...] = DEFAULT_PATTERNS
    reference: str | None = None
    ask_again: AskAgain = AskAgain()
    toy: bool = False
    served_as: tuple[str, ...] = ()
    fold_system: bool = False

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "GameSettings":
        """Read `Settings.judgment_params()`; ConfigError names the key that is wrong."""
        return cls(
            judge=plain["judge"],
            sampling=sampling_of(plain),
            baseline=plain["baseline"],
            prompts=Prompts(plain["system_prompt"], plain["prompt_template"]),
            patterns=tuple(plain.get("patterns") or DEFAULT_PATTERNS),
            reference=plain.get("reference") or None,
            ask_again=AskAgain(**plain.get("ask_again") or {}),
            toy=bool(plain.get("toy")),
            served_as=tuple(plain.get("served_as") or ()),
            fold_system=bool(plain.get("fold_system")),
        )

    @property
    def most_tokens(self) -> int:
        """The longest reply that may come, in tokens."""
        return max(most_tokens(self.sampling), self.ask_again.max_tokens or 0)

    def baseline_of(self, category: str) -> str:
        if found := of_category(self.baseline, category):
            return found
        raise ConfigError(
            f"no baseline for the category {category!r}; there are baselines for "
            f"{', '.join(sorted(self.baseline))}. Set baseline"
        )

    def digest(self, asked: Messages) -> str:
        """SHA-256 of all that determines the reply: judge, messages and sampling."""
        content = {"judge": self.judge, "messages": asked, "sampling": self.sampling}
        # Only where they are set, so that older digests stay valid.
        more = ("toy", "served_as", "fold_system")
        content |= {key: value for key in more if (value := getattr(self, key))}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        # Some answers have lone surrogates, which UTF-8 cannot encode.
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

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

    def control(self, like: Game) -> Game:
        """A short game with the system prompt, template and sampling of another one; index -1.

        If the judge refuses it, it refuses every game.
        """
        words = {"QUESTION": CONTROL_QUESTION, "ANSWER_A": "2", "ANSWER_B": "3", "REFERENCE": "2"}
        user = {"role": "user", "content": fill(self.prompts.template, words)}
        asked = [*like.messages[:-1], user]
        return Game("", 0, -1, asked, self.digest(asked))

    def reply(self, content: str, thoughts: str) -> str:  # noqa: ARG002
        """The part of a reply that counts: not the judge's thoughts."""
        return content

    def verdict(self, reply: str | None) -> str | None:
        return parse_verdict(reply, self.patterns)


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
    wanted = settings.reference and asks_for(settings.prompts.template, "REFERENCE")
    for position, question in enumerate(questions):
        ours = answers.get(question.uid)
        baseline = settings.baseline_of(question.category)
        theirs = others.get(baseline, {}).get(question.uid)
        reference = others.get(settings.reference or "", {}).get(question.uid)
        if ours is None or theirs is None or (wanted and reference is None):
            continue
        shown = reference.text if reference else None
        for index, pair in enumerate(((theirs, ours), (ours, theirs))):
            a, b = (answer.text for answer in pair)
            asked = messages(settings.prompts, question.category, question.prompt, a, b, shown)
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
    if "max_completion_tokens" in extra:  # OpenAI's newer name; servers refuse both at once
        del fields["max_tokens"]
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in sorted((fields | extra).items())
        if value is not None
    }
