"""Answers of one model, in every shape and with every flaw that FORMATS.md has seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.data.questions import line_uid
from arena.support.jsonl import Line, iter_lines

# What FastChat and its descendants write as the answer when the generation itself had failed.
FAILED_GENERATION = "$ERROR$"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. line: its line in the file, from 1. finish_reason: "length" at the token cap.

    text: the answer alone, without a reasoning model's thoughts; "" where it was null.
    metadata: token_len, header_count, list_count, bold_count as the file has them, or None.
    """

    uid: str
    text: str
    metadata: dict[str, Any] | None
    line: int
    finish_reason: str | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing to judge: blank, or the mark of a failed generation."""
        text = self.text.strip()
        return not text or text == FAILED_GENERATION


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one line. kind: `unreadable`, `duplicate` or `other_model`."""

    line: int
    kind: str
    message: str


def left_out(path: str | Path, problems: Sequence[Problem]) -> list[str]:
    """A note on the lines of a file that could not be read; none where there are none."""
    if not problems:
        return []
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return [f"{path}:{problems[0].line}: line left out{more}: {problems[0].message}"]


@dataclass(slots=True)
class AnswerFile:
    """The answers of a file by question; `model` is the file's name, which is the model's.

    Of two answers to one question the last counts, as in Arena-Hard-Auto.
    """

    path: Path
    model: str
    answers: dict[str, Answer] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problems_of(self, kind: str) -> list[Problem]:
        return [problem for problem in self.problems if problem.kind == kind]


def read_answers(path: str | Path) -> AnswerFile:
    """Read an answer file; bad lines are listed in `problems`, never raised.

    Shapes: `messages[-1].content.answer` (or `content` itself as text or as a list of text parts)
    and the older `choices[0].turns[0].content`. Raises DataError where the file cannot be opened.
    """
    path = Path(path)
    result = AnswerFile(path, path.name.removesuffix(".jsonl"))
    for line in iter_lines(path):
        try:
            answer = _answer(line)
        except ValueError as error:
            result.problems.append(Problem(line.number, "unreadable", str(error)))
            continue
        if earlier := result.answers.get(answer.uid):
            same = "the same text" if earlier.text == answer.text else "another text"
            message = (
                f"question {answer.uid!r} is already answered in line {earlier.line} ({same}); the "
                "last one counts"
            )
            result.problems.append(Problem(line.number, "duplicate", message))
        result.answers[answer.uid] = answer
        # Once a file: a renamed file names another model in its lines, and so does a mix-up.
        name = _model(line)
        if name not in (None, result.model) and not result.problems_of("other_model"):
            message = f"the line names the model {name!r}; the file's name counts"
            result.problems.append(Problem(line.number, "other_model", message))
    return result


def model_inside(path: str | Path) -> str | None:
    """The model that the first line which can be read names, or None."""
    return next((_model(line) for line in iter_lines(path) if line.obj is not None), None)


def _model(line: Line) -> str | None:
    obj = line.obj or {}
    name = obj.get("model", obj.get("model_id"))
    return name if isinstance(name, str) else None


def _answer(line: Line) -> Answer:
    """The answer in a line; ValueError says why there is none."""
    if (obj := line.obj) is None:
        raise ValueError(line.error)
    if (uid := line_uid(obj)) is None:
        raise ValueError("neither `uid` nor `question_id`")
    metadata = obj.get("metadata") or obj.get("conv_metadata")
    if "messages" in obj:
        holder, place = _item(obj["messages"], -1), "`messages[-1].content.answer`"
        if holder is None or holder.get("role", "assistant") != "assistant":
            raise ValueError("`messages` does not end with the model's answer")
    elif "choices" in obj:
        choice = _item(obj["choices"], 0) or {}
        holder, place = _item(choice.get("turns"), 0), "`choices[0].turns[0].content`"
        if holder is None:
            raise ValueError("`choices[0].turns[0]` is missing")
        if not metadata and "token_len" in holder:
            metadata = {"token_len": holder["token_len"]}
    else:
        raise ValueError("neither `messages` nor `choices`")
    if (text := _text(holder.get("content"))) is None:
        raise ValueError(f"{place} is not text")
    metadata = metadata if isinstance(metadata, dict) else None
    stated = (one.get("finish_reason") for one in (obj, holder, metadata or {}))
    reason = next(filter(None, stated), None)
    return Answer(uid, text, metadata, line.number, reason if isinstance(reason, str) else None)


def _text(content: Any) -> str | None:
    """The answer's text in any form of `content`; "" for null, None where there is no text."""
    if isinstance(content, dict):
        content = content.get("answer", content)
    if content is None:
        return ""  # reasoning parsers leave null where the thoughts took all tokens
    if isinstance(content, list):  # OpenAI's content parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str)) if parts else None
    return content if isinstance(content, str) else None


def _item(value: Any, index: int) -> dict[str, Any] | None:
    """The first or last object of a list; None where there is none."""
    found = value[index] if isinstance(value, list) and value else None
    return found if isinstance(found, dict) else None
