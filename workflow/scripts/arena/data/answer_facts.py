"""Facts about answer files, cached so that only changed files are read."""

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

_VERSION = 2  # raise it when `Facts` or their rules change: older caches are then ignored
_CUT_TOGETHER = 3  # fewer answers with the same, greatest length may be chance


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
        with suppress(FileNotFoundError, ValueError):
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
