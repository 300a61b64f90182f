"""Answers of one model, in every shape and with every flaw that FORMATS.md has seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.data.questions import line_uid
from arena.support.jsonl import iter_lines

# What FastChat and its descendants write as the answer when the generation itself had failed.
FAILED_GENERATION = "$ERROR$"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. line: its line in the file, from 1.

    text: the answer alone, without a reasoning model's thoughts; "" where it was null.
    metadata: token_len, header_count, list_count, bold_count as the file has them, or None.
    finish_reason: why the generation ended, where the file says so ("length": at the token cap).
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
        if line.obj is None:
            result.problems.append(Problem(line.number, "unreadable", line.error or ""))
            continue
        answer = _answer(line.obj, line.number)
        if isinstance(answer, Problem):
            result.problems.append(answer)
            continue
        earlier = result.answers.get(answer.uid)
        if earlier is not None:
            same = "the same text" if earlier.text == answer.text else "another text"
            result.problems.append(
                Problem(
                    line.number,
                    "duplicate",
                    f"question {answer.uid!r} is already answered in line {earlier.line} ({same}); "
                    "the last one counts",
                )
            )
        result.answers[answer.uid] = answer
        _note_other_model(result, line.obj, line.number)
    return result


def model_inside(path: str | Path) -> str | None:
    """The model that the first line which can be read names, or None."""
    objects = (line.obj for line in iter_lines(path) if line.obj is not None)
    return _model(next(objects, {}))


def _model(obj: dict[str, Any]) -> str | None:
    name = obj.get("model", obj.get("model_id"))
    return name if isinstance(name, str) else None


def _answer(obj: dict[str, Any], number: int) -> Answer | Problem:
    uid = line_uid(obj)
    if uid is None:
        return Problem(number, "unreadable", "neither `uid` nor `question_id`")
    metadata = obj.get("metadata") or obj.get("conv_metadata")
    if "messages" in obj:
        holder = _last(obj["messages"])
        if holder is None or holder.get("role", "assistant") != "assistant":
            return Problem(number, "unreadable", "`messages` does not end with the model's answer")
        text = _text(holder.get("content"))
        rule = "`messages[-1].content.answer` is not text"
    elif "choices" in obj:
        choice = _first(obj["choices"])
        holder = _first(choice.get("turns")) if choice else None
        if holder is None:
            return Problem(number, "unreadable", "`choices[0].turns[0]` is missing")
        text = _text(holder.get("content"))
        rule = "`choices[0].turns[0].content` is not text"
        if not metadata and "token_len" in holder:
            metadata = {"token_len": holder["token_len"]}
    else:
        return Problem(number, "unreadable", "neither `messages` nor `choices`")
    if text is None:
        return Problem(number, "unreadable", rule)
    metadata = metadata if isinstance(metadata, dict) else None
    reason = obj.get("finish_reason") or holder.get("finish_reason")
    reason = reason or (metadata or {}).get("finish_reason")
    return Answer(uid, text, metadata, number, reason if isinstance(reason, str) else None)


def _text(content: Any) -> str | None:
    """The answer's text in any form of `content`; "" for null, None where there is no text."""
    if isinstance(content, dict):
        if "answer" not in content:
            return None
        content = content["answer"]
    if content is None:
        return ""  # reasoning parsers leave null where the thoughts took all tokens
    if isinstance(content, list):  # OpenAI's content parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str)) if parts else None
    return content if isinstance(content, str) else None


def _first(value: Any) -> dict[str, Any] | None:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def _last(value: Any) -> dict[str, Any] | None:
    return value[-1] if isinstance(value, list) and value and isinstance(value[-1], dict) else None


def _note_other_model(result: AnswerFile, obj: dict[str, Any], number: int) -> None:
    """Once a file: its lines name another model. A renamed file does that, and so does a mix-up."""
    name = _model(obj)
    if name in (None, result.model) or result.problems_of("other_model"):
        return
    message = f"the line names the model {name!r}; the file's name counts"
    result.problems.append(Problem(number, "other_model", message))
