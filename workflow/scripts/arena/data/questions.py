"""The questions of a bench, and pilots: parts of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.support.errors import DataError
from arena.support.jsonl import Line, iter_lines

PILOT = "-pilot-"  # marks the digest of judgments or answers made for a pilot


@dataclass(frozen=True, slots=True)
class Question:
    """One question. line: its line in the file, from 1."""

    uid: str
    category: str
    prompt: str
    line: int


@dataclass(frozen=True, slots=True)
class Pilot:
    """A part of a bench: the questions of some categories (empty: all), and of these a seeded
    sample of a size (None: all).
    """

    questions: int | None = None
    categories: Sequence[str] = ()
    seed: int = 0

    def choose(self, bench: Sequence[Question]) -> list[Question]:
        """Its questions in the order of the bench.

        A sample contains all smaller samples of the same seed, and categories keep their shares up
        to one question: sorted by (r + 1/2) / n, for the r-th of n questions of its category in a
        random order.
        """
        left = [one for one in bench if not self.categories or one.category in self.categories]
        if self.questions is None:
            return left

        def chance(one: Question) -> bytes:
            return hashlib.sha256(f"{self.seed} {one.uid}".encode()).digest()

        order: list[tuple[float, bytes, str]] = []
        for category in {one.category for one in left}:
            members = sorted((one for one in left if one.category == category), key=chance)
            for rank, one in enumerate(members):
                order.append(((rank + 0.5) / len(members), chance(one), one.uid))
        chosen = {uid for *_, uid in sorted(order)[: self.questions]}
        return [one for one in left if one.uid in chosen]

    @property
    def mark(self) -> str:
        """The end of the digest of judgments or answers made for this pilot."""
        text = f"{self.questions} {sorted(self.categories)} {self.seed}"
        return f"{PILOT}{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def text(self, bench: Sequence[Question]) -> str:
        parts = [f"a pilot: {len(self.choose(bench)):,} of {len(bench):,} questions"]
        parts += [f"only {', '.join(self.categories)}"] if self.categories else []
        parts += [f"seed {self.seed}"] if self.questions is not None else []
        return ", ".join(parts)


def read_questions(path: str | Path, pilot: Pilot | None = None) -> list[Question]:
    """Read a question file, or the pilot's part of it, in its order.

    Formats: `{uid, category, prompt}` and the older `{question_id, category, turns: [{content}]}`.
    A question without a category gets the name of the file's folder, the bench, as in Arena-Hard
    v0.1. Any bad line raises DataError with file and line, since all results depend on them.
    """
    path = Path(path)
    questions: dict[str, Question] = {}
    for line in iter_lines(path):
        try:
            question = _question(line, path.parent.name)
            if question.uid in questions:
                earlier = questions[question.uid].line
                raise ValueError(f"question {question.uid!r} is already in line {earlier}")
        except ValueError as error:
            raise DataError(f"{path}:{line.number}: {error}") from None
        questions[question.uid] = question
    chosen = list(questions.values())
    if pilot is not None:
        chosen = pilot.choose(chosen)
    if not chosen:
        raise DataError(f"{path}: no questions in it{' for this pilot' if questions else ''}")
    return chosen


def line_uid(obj: dict[str, Any]) -> str | None:
    """The question id of a question, answer or judgment, or None."""
    uid = obj["uid"] if obj.get("uid") is not None else obj.get("question_id")
    if isinstance(uid, bool) or not isinstance(uid, str | int):
        return None
    return str(uid) or None


def object_of(line: Line) -> tuple[dict[str, Any], str]:
    """The JSON object of a line and its `line_uid`; ValueError if either is missing."""
    if line.obj is None:
        raise ValueError(line.error)
    if (uid := line_uid(line.obj)) is None:
        raise ValueError("neither `uid` nor `question_id`")
    return line.obj, uid


def _question(line: Line, bench: str) -> Question:
    """The question in a line; ValueError if there is none."""
    obj, uid = object_of(line)
    category = obj.get("category") or bench
    if not isinstance(category, str):
        raise ValueError(f"`category` must be text, not {category!r}")
    prompt = obj.get("prompt")
    if "prompt" not in obj:
        turns = obj.get("turns")
        if not isinstance(turns, list) or not turns:
            raise ValueError("neither `prompt` nor `turns`")
        if len(turns) > 1:
            raise ValueError(f"{len(turns)} turns; only single-turn questions can be judged")
        prompt = turns[0].get("content") if isinstance(turns[0], dict) else turns[0]
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"the prompt of question {uid!r} is empty or not text")
    return Question(uid, category, prompt, line.number)
