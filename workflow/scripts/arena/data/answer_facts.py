"""What a run must know of an answer file, and a memory of it, so that a warm start reads none."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arena.data.answers import Answer, AnswerFile, read_answers
from arena.data.questions import Question
from arena.support.errors import DataError
from arena.support.jsonl import dump_line, write_atomic

# Raise it when `Facts` or the rules behind them change: older memories are then read anew.
_VERSION = 2
# Fewer answers of exactly the same, greatest length happen by chance.
_CUT_TOGETHER = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """An answer file against the questions of a bench.

    answers: questions answered. missing: positions of questions without an answer, from 0.
    duplicates: lines that repeat a question. empty, cut: answers, see `Answer.is_empty` and
    `count_cut`. unreadable: lines. strange: answers to questions that the bench does not have.
    first_unreadable: (line, message) or None. other_model: the name that the lines give, or None.
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
    """How many answers were cut at the token cap.

    Where a line has a finish_reason, that says it ("length"). Else the greatest token_len of the
    file is the cap if at least three different answers have exactly it. Lengths counted with
    another tokenizer than the model's own do not meet at the cap, so this finds some, not all.
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
    together = max(Counter(lengths.values()).items())[1] if lengths else 0
    return cut + (together if together >= _CUT_TOGETHER else 0)


# Key -> path -> size, time of change and inode as read, facts.
_MEMORY = msgspec.json.Decoder(dict[str, dict[str, tuple[int, int, int, Facts]]])


class FactsMemory:
    """Facts by path, size and time of change, kept in a JSON file, which may be deleted any time.

    Facts belong to the questions they were counted against: others, and all files are read anew.
    """

    def __init__(
        self, path: Path, questions: Sequence[Question], bench: Sequence[Question] = ()
    ) -> None:
        self.path = path
        self.read = 0  # answer files read, not remembered
        self._questions, self._bench = questions, bench
        uids = "\0".join(question.uid for question in (*questions, *bench))
        self._key = f"{_VERSION}:{hashlib.sha256(uids.encode()).hexdigest()[:16]}"
        self._files: dict[str, tuple[int, int, int, Facts]] = {}
        # What cannot be read is made anew, at the price of reading once.
        with suppress(FileNotFoundError, ValueError):
            self._files = _MEMORY.decode(self.path.read_bytes()).get(self._key, {})

    def facts(self, path: str | Path) -> Facts | None:
        """The facts of an answer file, None where there is no such file. DataError: unreadable."""
        path = os.path.abspath(path)  # noqa: PTH100 (pathlib's is 20 times as slow, and reads links)
        try:
            stat = os.stat(path)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # a link to itself, say
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        # The state from before reading: a file that grew meanwhile is read again next time.
        state = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if path not in self._files or self._files[path][:3] != state:
            self._files[path] = (*state, facts_of(read_answers(path), self._questions, self._bench))
            self.read += 1
        return self._files[path][3]

    def save(self) -> None:
        """Write the memory if it holds something new."""
        if self.read:
            content = msgspec.to_builtins({self._key: self._files})
            with suppress(OSError):  # read-only: only the next start is slower
                write_atomic(self.path, dump_line(content))
