"""Answer files of one model, in all formats in use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.data.questions import line_uid
from arena.support.jsonl import Line, iter_lines

FAILED_GENERATION = "$ERROR$"  # FastChat's answer when the generation failed


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. text: without thoughts; "" for null. metadata: token_len, header_count,
    list_count, bold_count as in the file, or None. line: its number in the file, from 1.
    finish_reason: "length" if truncated at max_tokens.
    """

    uid: str
    text: str
    metadata: dict[str, Any] | None
    line: int
    finish_reason: str | None = None

    @property
    def is_empty(self) -> bool:
        text = self.text.strip()
        return not text or text == FAILED_GENERATION


def left_out(path: str | Path, lines: Sequence[Line]) -> list[str]:
    """A note on the unreadable lines of a file; [] where there are none."""
    if not lines:
        return []
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return [f"{path}:{lines[0].number}: line left out{more}: {lines[0].error}"]


@dataclass(slots=True)
class AnswerFile:
    """The answers of a file by question; of two to one question the last counts, as in
    Arena-Hard-Auto. duplicates: lines that repeat a question. other_model: a note, if a line names
    another model than the file's name, which counts.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    unreadable: list[Line] = field(default_factory=list)
    duplicates: int = 0
    other_model: str | None = None


def read_answers(path: str | Path) -> AnswerFile:
    """Read an answer file; unreadable lines are listed in `unreadable`.

    Formats: `messages[-1].content.answer` (or `content` as text or a list of text parts) and the
    older `choices[0].turns[0].content`. Raises DataError where the file cannot be opened.
    """
    result, model = AnswerFile(), Path(path).name.removesuffix(".jsonl")
    for line in iter_lines(path):
        try:
            answer = _answer(line)
        except ValueError as error:
            result.unreadable.append(Line(line.number, None, str(error)))
            continue
        result.duplicates += answer.uid in result.answers
        result.answers[answer.uid] = answer
        if not result.other_model and (name := _model(line)) not in (None, model):
            result.other_model = f"the line names the model {name!r}; the file's name counts"
    return result


def model_inside(path: str | Path) -> str | None:
    """The model named in the first readable line, or None."""
    return next((_model(line) for line in iter_lines(path) if line.obj is not None), None)


def _model(line: Line) -> str | None:
    obj = line.obj or {}
    name = obj.get("model", obj.get("model_id"))
    return name if isinstance(name, str) else None


def _answer(line: Line) -> Answer:
    """The answer in a line; ValueError if there is none."""
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
    """The text in any form of `content`; "" for null, None if it is not text."""
    if isinstance(content, dict):
        content = content.get("answer", content)
    if content is None:
        return ""  # from reasoning parsers, if the thoughts used up all tokens
    if isinstance(content, list):  # OpenAI's content parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str)) if parts else None
    return content if isinstance(content, str) else None


def _item(value: Any, index: int) -> dict[str, Any] | None:
    """The object at an index (0 or -1) of a list; None where there is none."""
    found = value[index] if isinstance(value, list) and value else None
    return found if isinstance(found, dict) else None
