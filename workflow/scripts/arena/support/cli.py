"""How a tool speaks to a person: on the terminal and in a log as well, and with no traceback for
what is no fault of ours.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from arena.support.errors import ArenaError


class _Tee:
    def __init__(self, *streams: TextIO) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


def print_also_to(log: str | Path) -> None:
    """Copy what this process prints, errors too, to a log file of its own; makes the folder."""
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w", encoding="utf-8")
    sys.stdout = _Tee(sys.stdout, file)
    sys.stderr = _Tee(sys.stderr, file)


def wrong_python(tool: str, error: ModuleNotFoundError) -> NoReturn:
    """End a tool that was started by a Python without this project's packages."""
    sys.exit(f"{tool}: {error}. Use the Python that runs Snakemake, such as .venv/bin/python")


def run_command(name: str, work: Callable[[], None]) -> int:
    """Run a command; its exit status. What a user can act on is said in one line, a closed pipe
    (`... | head`) is no error.
    """
    try:
        work()
        sys.stdout.flush()
    except ArenaError as error:
        print(f"{name}: {error}", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()  # Python would complain there once more when it ends
        return 0
    except OSError as error:  # a folder that cannot be written to, a file in its place
        place = f"{error.filename}: " if error.filename else ""
        print(f"{name}: {place}{error.strerror or error}", file=sys.stderr)
    else:
        return 0
    return 1


def run_tool(tool: str, main: Callable[[list[str]], None]) -> NoReturn:
    """Run a tool's `main` and end with its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a question mark where a terminal knows no dash
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run_command(tool, lambda: main(sys.argv[1:])))
