"""The judge as a tree of processes below a keeper, and its log."""

import asyncio
import os
import re
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from arena.judge.keeper import GOODBYE
from arena.setup.judge_command import SCRIPTS
from arena.support.humanize import printable
from arena.support.processes import Descendants

TAIL = 200  # lines of the judge's log in which a cause is looked for
_COLOUR = re.compile(r"\x1b\[[\d;]*[mK]")  # of servers that log to a terminal
LONGEST_LINE = 10_000  # characters of a line of the log that are kept
LAST_WORDS = 2.0  # s for what still stands in the pipe


class ServerLog:
    """`server.log`: what the judge prints and what we say of it, without the key."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL)  # what the judge printed since its launch
        self._key = key.encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def say(self, message: str) -> None:
        self._write(f"[gen_judgment {time.strftime('%H:%M:%S')}] {message}")

    async def copy(self, output: asyncio.StreamReader) -> None:
        """Copy the judge's output line by line, to its end."""
        rest = b""
        while piece := await output.read(65536):
            # Before anything is cut: half a key is one too.
            text = (rest + piece).replace(self._key, b"***")
            # Progress bars end their lines with CR.
            *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            if len(rest) > LONGEST_LINE:
                start = len(rest) - len(self._key)  # the key may begin here
                lines, rest = [*lines, rest[:start]], rest[start:]
            for line in lines:
                self._put(line)
        self._put(rest)

    def close(self) -> None:
        self._file.close()

    def _put(self, raw: bytes) -> None:
        line = printable(_COLOUR.sub("", raw.decode(errors="replace")[:LONGEST_LINE]))
        if line.strip():
            self.tail.append(line)
            self._write(line)

    def _write(self, line: str) -> None:
        with suppress(OSError):  # a full disk must not stop the judge
            print(line, file=self._file, flush=True)


class Process:
    """The judge's process tree below its keeper."""

    def __init__(self, keeper: asyncio.subprocess.Process, log: ServerLog) -> None:
        assert keeper.stdin and keeper.stdout  # both are pipes
        self.keeper, self._stdin, self._log = keeper, keeper.stdin, log
        self._copying = asyncio.create_task(log.copy(keeper.stdout))

    @classmethod
    async def launch(
        cls, script: str, env: Mapping[str, str], log: ServerLog, record: Path | None, grace: float
    ) -> "Process":
        """Run a bash script under a keeper, which writes our end into `record` if we are killed."""
        log.tail.clear()
        # Isolated (-I), so that nothing in the working directory can stand in for its imports.
        code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); "
        code += "from arena.judge.keeper import main; main()"
        keeper = [sys.executable, "-I", "-c", code, str(os.getpid()), str(grace), str(record or "")]
        process = await asyncio.create_subprocess_exec(
            *keeper,
            *("--", "bash", "-c", script),
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who then end the judge
        )
        return cls(process, log)

    async def ended(self, within: float) -> int | None:
        """Exit status if it ends within so many seconds, else None."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self.keeper.wait()), within)
        return None

    async def end(self) -> list[int]:
        """End it with all that is below it, in at most the grace and a few seconds; also again.

        Returns what does not end: processes that hang in a driver, and hold its GPU.
        """
        if not self._stdin.is_closing():
            self._stdin.write(GOODBYE)
            self._stdin.close()
        await self.keeper.wait()
        # What a keeper that was killed has left is ours now.
        left = await asyncio.to_thread(Descendants(other_sessions=True).end, 0)
        for pid in left:
            self._log.say(f"not even SIGKILL ends {pid}: see ps and dmesg on the node")
        # Nothing holds its pipe open now, but where orphans cannot be adopted one of them may.
        await asyncio.wait({self._copying}, timeout=LAST_WORDS)
        self._copying.cancel()
        return left
