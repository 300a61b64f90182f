"""The judge as a tree of processes with a log, and the signals that end it."""

import asyncio
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from arena.serving.launch import SCRIPTS
from arena.serving.server_records import GIVEN_UP
from arena.support.processes import end_descendants
from arena.support.text import printable

TAIL = 200  # lines of the judge's log in which a cause is looked for
LONGEST_LINE = 10_000  # characters of a line of the log that are kept
_COLOUR = re.compile(r"\x1b\[[\d;]*[mK]")  # of servers that log to a terminal
LAST_WORDS = 2.0  # s for what still stands in the pipe


class Process:
    """The judge's process tree below its keeper, and its log."""

    def __init__(self, keeper: asyncio.subprocess.Process, key: str) -> None:
        self.keeper = keeper
        self.lines: deque[str] = deque(maxlen=TAIL)
        self._key = key.encode()
        self._log = asyncio.create_task(self._copy_log())

    @classmethod
    async def launch(
        cls,
        script: str,
        env: Mapping[str, str],
        key: str,
        record: Path,
        server_file: Path,
        grace: float,
    ) -> "Process":
        """Run a bash script under a keeper."""
        # Isolated (-I), so that nothing in the working directory can stand in for its imports.
        code = (
            f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); "
            "from arena.serving.keeper import main; main()"
        )
        keeper = [sys.executable, "-I", "-c", code, str(os.getpid()), str(grace)]
        keeper += [str(record), str(server_file), "--"]
        process = await asyncio.create_subprocess_exec(
            *keeper,
            *("bash", "-c", script),
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the supervisor, which then ends the judge
        )
        return cls(process, key)

    async def _copy_log(self) -> None:
        """Copy the judge's output to ours line by line, without the key."""
        rest = b""
        while piece := await self.keeper.stdout.read(65536):
            # Before anything is cut: half a key is one too.
            text = (rest + piece).replace(self._key, b"***")
            # Progress bars end their lines with CR.
            *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            if len(rest) > LONGEST_LINE:
                start = len(rest) - len(self._key)  # the key may begin here
                lines, rest = [*lines, rest[:start]], rest[start:]
            for line in lines:
                self._put(line)
        if rest:
            self._put(rest)

    def _put(self, raw: bytes) -> None:
        line = printable(_COLOUR.sub("", raw.decode(errors="replace")[:LONGEST_LINE]))
        if line.strip():
            self.lines.append(line)
            with suppress(OSError):  # a full disk must not stop the judge
                print(line, flush=True)

    @property
    def tail(self) -> list[str]:
        return list(self.lines)

    async def ended(self, within: float) -> int | None:
        """Exit status if it ends within so many seconds, else None."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self.keeper.wait()), within)
        return None

    async def end(self) -> list[int]:
        """End it with all that is below it, in at most the grace and a few seconds.

        Returns what does not end: processes that hang in a driver, and hold its GPU.
        """
        with suppress(OSError):
            self.keeper.stdin.write(b".")  # in order: see keeper
        self.keeper.stdin.close()
        await self.keeper.wait()
        left = end_descendants(grace=0)  # else only if the keeper itself was killed
        if left:
            say(f"not even SIGKILL ends {', '.join(map(str, left))}: see ps and dmesg on the node")
        # Nothing holds its pipe open now, but where orphans cannot be adopted one of them may.
        await asyncio.wait({self._log}, timeout=LAST_WORDS)
        self._log.cancel()
        return left


async def stop_asked(look: float, given_up: Callable[[], bool]) -> str | None:
    """Wait until we are to stop: None for SIGTERM or SIGINT, else why.

    given_up: whether the server file, once written, is there no more. Snakemake removes it where it
    gives a batch up, and then waits for us to end by ourselves.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    parent = os.getppid()
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), look)
            return None
        # Snakemake was killed: nobody will tell us to stop.
        if os.getppid() != parent:
            return "the process that started the supervisor is gone"
        if given_up():
            return GIVEN_UP


def say(message: str) -> None:
    """Into the log, which the judge's own lines share."""
    with suppress(OSError):
        print(f"[judge_server {time.strftime('%H:%M:%S')}] {message}", flush=True)
