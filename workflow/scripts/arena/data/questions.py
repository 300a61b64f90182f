"""Questions of a bench, in both shapes that are in use (see `read_questions`)."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.support.errors import DataError
from arena.support.jsonl import Line, iter_lines

PILOT = "-pilot-"  # in a digest: of a part of the questions


@dataclass(frozen=True, slots=True)
class Question:
    """One question. line: its line in the file, from 1."""

    uid: str
    category: str
    prompt: str
    line: int


@dataclass(frozen=True, slots=True)
class Pilot:
    """A part of a bench: the questions of some categories (none named: of all), and of these a
    seeded sample of so many (None: all).
    """

    questions: int | None = None
    categories: Sequence[str] = ()
    seed: int = 0

    def choose(self, bench: Sequence[Question]) -> list[Question]:
        """Its questions in the order of the bench.

        A smaller sample of the same seed is part of a larger one, and each category keeps its
        share, give or take a question: in an order by chance, the question r of n of its category
        comes before all that have a greater (r + 1/2) / n.
        """
        left = [one for one in bench if not self.categories or one.category in self.categories]
        if self.questions is None:
            return left
        chance = {
            one.uid: hashlib.sha256(f"{self.seed} {one.uid}".encode()).digest() for one in left
        }
        sizes, ranks = Counter(one.category for one in left), Counter[str]()
        places: list[tuple[float, bytes, str]] = []
        for one in sorted(left, key=lambda one: chance[one.uid]):
            place = (ranks[one.category] + 0.5) / sizes[one.category]
            places.append((place, chance[one.uid], one.uid))
            ranks[one.category] += 1
        chosen = {uid for *_, uid in sorted(places)[: self.questions]}
        return [one for one in left if one.uid in chosen]

    @property
    def mark(self) -> str:
        """Ends the digest of what is made of it and may be completed later."""
        text = f"{self.questions} {sorted(self.categories)} {self.seed}"
        return f"{PILOT}{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def text(self, bench: Sequence[Question]) -> str:
        """What it is, for whoever reads its numbers."""
        parts = [f"a pilot: {len(self.choose(bench)):,} of {len(bench):,} questions"]
        parts += [f"only {', '.join(self.categories)}"] if self.categories else []
        parts += [f"seed {self.seed}"] if self.questions is not None else []
        return ", ".join(parts)


def read_questions(path: str | Path, pilot: Pilot | None = None) -> list[Question]:
    """Read a question file, or the pilot's part of it, in its order.

    Shapes: `{uid, category, prompt}` and the older `{question_id, category, turns: [{content}]}`.
    A question without a category is given the name of the file's folder, which is the bench: so
    does Arena-Hard v0.1, whose only category is called `arena-hard-v0.1`.
    Everything else depends on the questions, so nothing is forgiven: DataError names file and line.
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
    """The question's id of any line (question, answer, judgment), as text, or None."""
    uid = obj.get("uid", obj.get("question_id"))
    if isinstance(uid, bool) or not isinstance(uid, str | int):
        return None
    return str(uid) or None


def _question(line: Line, bench: str) -> Question:
    """The question in a line; ValueError says why there is none."""
    if (obj := line.obj) is None:
        raise ValueError(line.error)
    if (uid := line_uid(obj)) is None:
        raise ValueError("neither `uid` nor `question_id`")
    category = obj.get("category") or bench
    if not isinstance(category, str):
        raise ValueError(f"`category` must be text, not {category!r}")
    prompt = obj.get("prompt")
    if "prompt" not in obj:
        turns = obj.get("turns")
        if not isinstance(turns, list) or not turns:
            raise ValueError("neither `prompt` nor `turns`")
        if len(turns) > 1:
            raise ValueError(f"{len(turns)} turns; Arena-Hard's games are about a single prompt")
        prompt = turns[0].get("content") if isinstance(turns[0], dict) else turns[0]
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"the prompt of question {uid!r} is empty or not text")
    return Question(uid, category, prompt, line.number)
