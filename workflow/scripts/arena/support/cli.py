"""Output of command-line tools: copied to a log, without a traceback for errors of the user."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from arena.support.errors import ArenaError


def discard(stream: TextIO) -> None:
    """Let a stream whose reader has gone (`... | head`) write to the null device from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class _Tee(io.TextIOBase):
    def __init__(self, *streams: TextIO) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            try:
                stream.write(text)
                stream.flush()
            except BrokenPipeError:
                discard(stream)
        return len(text)


def print_also_to(log: str | Path) -> None:
    """Copy stdout and stderr of this process to a log file; makes the folder."""
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w", encoding="utf-8")
    sys.stdout = _Tee(sys.stdout, file)
    sys.stderr = _Tee(sys.stderr, file)


def run_command(name: str, work: Callable[[], None]) -> int:
    """Run a command and return its exit status. Errors that a user can fix are printed as one line;
    a closed pipe (`... | head`) is not an error.
    """
    try:
        work()
        sys.stdout.flush()
    except ArenaError as error:
        print(f"{name}: {error}", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()  # otherwise Python prints the error again when it exits
        return 0
    except OSError as error:  # a folder that cannot be written to, or that is a file
        place = f"{error.filename}: " if error.filename else ""
        print(f"{name}: {place}{error.strerror or error}", file=sys.stderr)
    else:
        return 0
    return 1


def run_tool(tool: str, main: Callable[[list[str]], None]) -> NoReturn:
    """Run a tool's `main` and exit with its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # "?" for what a terminal cannot show
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run_command(tool, lambda: main(sys.argv[1:])))
