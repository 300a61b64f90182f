"""Answer files of one model, in all formats in use; and facts about them, cached so that only
changed files are read.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from arena.data.questions import Question, object_of
from arena.support.coerce import dict_of, text_of
from arena.support.errors import DataError
from arena.support.jsonl import Line, dump_line, iter_lines, write_atomic

FAILED_GENERATION = "$ERROR$"  # FastChat's answer when the generation failed
_VERSION = 2  # raise it when `Facts` or their rules change: older caches are then ignored
_CUT_TOGETHER = 3  # fewer answers with the same, greatest length may be chance


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. text: without thoughts; "" for null. metadata: token_len, header_count,
    list_count, bold_count as in the file, or None. finish_reason: "length" if truncated at
    max_tokens.
    """

    uid: str
    text: str
    metadata: dict[str, Any] | None
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
    name = obj.get("model") or obj.get("model_id")
    return name if isinstance(name, str) else None


def _answer(line: Line) -> Answer:
    """The answer in a line; ValueError if there is none."""
    obj, uid = object_of(line)
    try:
        if obj.get("messages"):
            place, holder = "messages[-1]", obj["messages"][-1]
        else:
            place, holder = "choices[0].turns[0]", obj["choices"][0]["turns"][0]
    except (LookupError, TypeError):
        holder = None
    if not isinstance(holder, dict) or holder.get("role", "assistant") != "assistant":
        raise ValueError("neither `messages[-1]` nor `choices[0].turns[0]` is an answer")
    if (text := _text(holder.get("content"))) is None:
        raise ValueError(f"`{place}` has no `content` that is text")
    metadata = dict_of(obj.get("metadata") or obj.get("conv_metadata"))
    if "token_len" in holder:
        metadata = {"token_len": holder["token_len"]} | metadata
    stated = (text_of(one.get("finish_reason")) for one in (obj, holder, metadata))
    return Answer(uid, text, metadata or None, next(filter(None, stated), None))


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


@dataclass(frozen=True, slots=True)
class Facts:
    """An answer file compared with the questions of a bench.

    answers: questions answered. missing: positions (from 0) of the others. duplicates: lines that
    repeat a question. empty, cut: answers, see `Answer.is_empty` and `count_cut`. unreadable:
    lines. strange: answers to unknown questions. first_unreadable: line number and message.
    other_model: a note on the model name in the lines, or None.
    """

    answers: int
    missing: tuple[int, ...]
    duplicates: int
    empty: int
    cut: int
    unreadable: int
    strange: int
    first_unreadable: tuple[int, str] | None
    other_model: str | None


def facts_of(
    file: AnswerFile, questions: Sequence[Question], bench: Sequence[Question] = ()
) -> Facts:
    """bench: all questions, where only some are asked."""
    known = {question.uid for question in (*questions, *bench)}
    answers = [file.answers.get(question.uid) for question in questions]
    there = [answer for answer in answers if answer is not None]
    first = next(iter(file.unreadable), None)
    return Facts(
        answers=len(there),
        missing=tuple(position for position, answer in enumerate(answers) if answer is None),
        duplicates=file.duplicates,
        empty=sum(answer.is_empty for answer in there),
        cut=count_cut(there),
        unreadable=len(file.unreadable),
        strange=len(file.answers.keys() - known),
        first_unreadable=(first.number, str(first.error)) if first else None,
        other_model=file.other_model,
    )


def count_cut(answers: Sequence[Answer]) -> int:
    """The number of answers truncated at max_tokens.

    A line with a finish_reason ("length") says so. Otherwise the greatest token_len of the file is
    taken as max_tokens if three different answers have it; this misses files whose lengths were
    counted with another tokenizer.
    """
    cut = sum(answer.finish_reason == "length" for answer in answers)
    lengths = {
        answer.text: answer.metadata["token_len"]
        for answer in answers
        if answer.finish_reason is None
        and answer.metadata
        and isinstance(answer.metadata.get("token_len"), int)
        and not answer.is_empty
    }
    together = max(Counter(lengths.values()).items(), default=(0, 0))[1]
    return cut + (together if together >= _CUT_TOGETHER else 0)


# Key -> path -> size, time of change and inode as read, facts.
_MEMORY = msgspec.json.Decoder(dict[str, dict[str, tuple[int, int, int, Facts]]])


class FactsMemory:
    """A cache of facts by path, size and time of change, in a JSON file that may be deleted.

    It is valid for the same questions only.
    """

    def __init__(
        self, path: Path, questions: Sequence[Question], bench: Sequence[Question] = ()
    ) -> None:
        self.path = path
        self.read = 0  # answer files that were not in the cache
        self._questions, self._bench = questions, bench
        uids = "\0".join(question.uid for question in (*questions, *bench))
        self._key = f"{_VERSION}:{hashlib.sha256(uids.encode()).hexdigest()[:16]}"
        self._files: dict[str, tuple[int, int, int, Facts]] = {}
        with suppress(OSError, ValueError):
            self._files = _MEMORY.decode(self.path.read_bytes()).get(self._key, {})

    def facts(self, path: str | Path) -> Facts | None:
        """The facts of an answer file, None where there is none; DataError if it is unreadable."""
        path = os.path.abspath(path)  # noqa: PTH100 (pathlib's is 20 times as slow, and reads links)
        try:
            stat = os.stat(path)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # for example, a link to itself
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        # The state before reading: if the file grows meanwhile, it is read again next time.
        state = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if path not in self._files or self._files[path][:3] != state:
            self._files[path] = (*state, facts_of(read_answers(path), self._questions, self._bench))
            self.read += 1
        return self._files[path][3]

    def save(self) -> None:
        if self.read:
            content = msgspec.to_builtins({self._key: self._files})
            with suppress(OSError):  # a read-only folder only makes the next start slower
                write_atomic(self.path, dump_line(content))
