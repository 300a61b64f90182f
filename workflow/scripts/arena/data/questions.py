"""Questions of a bench, in both shapes that are in use (see `read_questions`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.support.errors import DataError
from arena.support.jsonl import Line, iter_lines


@dataclass(frozen=True, slots=True)
class Question:
    """One question. line: its line in the file, from 1."""

    uid: str
    category: str
    prompt: str
    line: int


def read_questions(path: str | Path) -> list[Question]:
    """Read a question file in its order.

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
    if not questions:
        raise DataError(f"{path}: no questions in it")
    return list(questions.values())


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
