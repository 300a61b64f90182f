"""Questions of a bench, in both shapes that are in use (see `read_questions`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.support.errors import DataError
from arena.support.jsonl import iter_lines


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
    questions: list[Question] = []
    seen: dict[str, int] = {}
    for line in iter_lines(path):
        where = f"{path}:{line.number}"
        if line.obj is None:
            raise DataError(f"{where}: {line.error}")
        question = _question(line.obj, path.parent.name, line.number, where)
        if question.uid in seen:
            raise DataError(
                f"{where}: question {question.uid!r} is already in line {seen[question.uid]}"
            )
        seen[question.uid] = line.number
        questions.append(question)
    if not questions:
        raise DataError(f"{path}: no questions in it")
    return questions


def line_uid(obj: dict[str, Any]) -> str | None:
    """The question's id of any line (question, answer, judgment), as text, or None."""
    uid = obj.get("uid", obj.get("question_id"))
    if isinstance(uid, bool) or not isinstance(uid, str | int):
        return None
    return str(uid) or None


def _question(obj: dict[str, Any], bench: str, number: int, where: str) -> Question:
    uid = line_uid(obj)
    if uid is None:
        raise DataError(f"{where}: neither `uid` nor `question_id`")
    category = obj.get("category") or bench
    if not isinstance(category, str):
        raise DataError(f"{where}: `category` must be text, not {category!r}")
    prompt = obj["prompt"] if "prompt" in obj else _first_turn(obj.get("turns"), where)
    if not isinstance(prompt, str) or not prompt.strip():
        raise DataError(f"{where}: the prompt of question {uid!r} is empty or not text")
    return Question(uid, category, prompt, number)


def _first_turn(turns: Any, where: str) -> Any:
    if not isinstance(turns, list) or not turns:
        raise DataError(f"{where}: neither `prompt` nor `turns`")
    if len(turns) > 1:
        raise DataError(
            f"{where}: {len(turns)} turns; Arena-Hard's games are about a single prompt"
        )
    return turns[0].get("content") if isinstance(turns[0], dict) else turns[0]
