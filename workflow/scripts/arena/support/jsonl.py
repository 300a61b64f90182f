"""JSON Lines: tolerant reading, atomic writing.

Files come from other tools, killed jobs, git merges and Windows, so readers report each bad line
with its number and the reason, and go on.
"""

import contextlib
import hashlib
import json
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.support.errors import DataError

_BOM = b"\xef\xbb\xbf"
_CONFLICT = (b"<<<<<<< ", b"=======", b">>>>>>> ", b"||||||| ")
_LFS = b"version https://git-lfs"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank: its JSON object, or an error message.

    number: from 1. torn: the file ends inside this line (no newline, no complete JSON).
    """

    number: int
    obj: dict[str, Any] | None
    error: str | None = None
    torn: bool = False


def iter_lines(path: str | Path) -> Iterator[Line]:
    """Yield every non-blank line of a JSON Lines file.

    A byte order mark, CRLF and a missing last newline are accepted; lone surrogates (`"\\ud800"`),
    which UTF-8 cannot encode, become U+FFFD. Raises DataError if the file cannot be read.
    """
    for number, raw in raw_lines(path):
        if (line := parse_line(number, raw)) is not None:
            yield line


def raw_lines(path: str | Path, buffer: int = -1) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line. DataError also for a FIFO or a device, which never ends."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (faster, for 1,000 files at each start)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise DataError(f"{path}: cannot be read: it is a FIFO or a device, not a file")
        with Path(path).open("rb", buffer) as file:
            for number, raw in enumerate(file, 1):
                yield number, raw.removeprefix(_BOM) if number == 1 else raw
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def parse_line(number: int, raw: bytes) -> Line | None:
    body = raw.strip()
    if not body:
        return None
    try:
        obj = json.loads(body.decode("utf-8"))
        if isinstance(obj, dict):
            if b"\\ud" in body.lower():
                text = json.dumps(obj, ensure_ascii=False)
                obj = json.loads(_LONE_SURROGATE.sub("\ufffd", text))
            return Line(number, obj)
        return Line(number, None, f"not a JSON object but {type(obj).__name__}")
    except (ValueError, RecursionError) as error:
        return Line(number, None, *_reason(number, body, raw.endswith(b"\n"), error))


def _reason(number: int, body: bytes, ended: bool, error: Exception) -> tuple[str, bool]:
    """What is wrong with a line, and whether it is torn."""
    if body.startswith(_CONFLICT):
        return "git conflict marker: resolve the merge", False
    if number == 1 and body.startswith(_LFS):
        return "a Git LFS pointer, not the data: run `git lfs pull`", False
    if isinstance(error, RecursionError):
        return "JSON is nested too deeply", False
    wrong_bytes = error if isinstance(error, UnicodeDecodeError) else None
    # A character cut by the end of the file is a torn line, not a wrong encoding.
    if not ended and (not wrong_bytes or wrong_bytes.reason == "unexpected end of data"):
        return "torn: the file ends inside this line", True
    if not body.strip(b"\0"):
        return "only NUL bytes: the file was not written completely (crash, lost disk)", False
    if wrong_bytes:
        return f"not UTF-8 at byte {wrong_bytes.start + 1}", False
    if not isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error}", False
    what = f"not JSON: {error.msg.removesuffix(' at')}"  # "Unterminated string starting at"
    if error.msg == "Extra data":
        what = "more than one JSON value, the second"
    return f"{what} at column {error.colno}", False


def dump_line(obj: dict[str, Any]) -> str:
    """One JSON object as one line with its newline, not ASCII-escaped."""
    return json.dumps(obj, ensure_ascii=False) + "\n"


def write_atomic(path: str | Path, text: str | Iterable[str], *, durable: bool = True) -> None:
    """Write a file so that readers see all of it or nothing; makes its folder.

    durable: fsync, so that the file survives a crash of the node.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Host and process id, because two nodes may write the same file on a shared file system. Of
    # the host a hash, because a file name has at most 255 bytes.
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]
    temporary = path.with_name(f".{path.name}.{host}.{os.getpid()}.tmp")
    try:
        # `backslashreplace` turns a lone surrogate into its JSON escape.
        with temporary.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file:
            file.writelines([text] if isinstance(text, str) else text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
