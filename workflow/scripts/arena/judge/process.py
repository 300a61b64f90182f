"""The processes of a server below its keeper, their environment, and their log."""

import asyncio
import os
import re
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from arena.judge.keeper import GOODBYE
from arena.setup.judge_command import SCRIPTS
from arena.support.humanize import printable
from arena.support.processes import end_descendants

TAIL = 200  # lines of the log that are searched for a cause
_COLOUR = re.compile(r"\x1b\[[\d;]*[mK]")
LONGEST_LINE = 10_000  # characters of a line that are kept
LAST_OUTPUT = 2.0  # s to read the rest of the pipe
LOOPBACK = "127.0.0.1,localhost,::1"
# Snakemake sets these to the rule's threads. A server chooses better values itself: on a busy CPU
# vLLM took 139 s with OMP_NUM_THREADS=2, and 12 s without.
_LIBRARIES = ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")
OF_SNAKEMAKE = {f"{name}_NUM_THREADS" for name in _LIBRARIES} | {"VECLIB_MAXIMUM_THREADS"}
_DEVICE = re.compile(r"\d|(?:GPU|MIG)-")


class ServerLog:
    """`server.log`: the output of the server and our messages about it, without the key."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL)  # output since the last launch
        self._key = key.encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def add(self, message: str) -> None:
        """Add a message of ours."""
        self._write(f"[arena {time.strftime('%H:%M:%S')}] {message}")

    async def copy(self, output: asyncio.StreamReader) -> None:
        """Copy the server's output line by line, to its end."""
        rest = b""
        while piece := await output.read(65536):
            # Before lines are split, so that no part of a key remains.
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
        with suppress(OSError):  # a full disk must not stop the server
            print(line, file=self._file, flush=True)


class Process:
    """The process tree of a server below its keeper."""

    def __init__(self, keeper: asyncio.subprocess.Process, log: ServerLog) -> None:
        assert keeper.stdin and keeper.stdout  # both are pipes
        self.keeper, self._stdin, self._log = keeper, keeper.stdin, log
        self._copying = asyncio.create_task(log.copy(keeper.stdout))

    @classmethod
    async def launch(
        cls, script: str, env: Mapping[str, str], log: ServerLog, record: Path | None, grace: float
    ) -> "Process":
        """Run a bash script below a keeper, which writes to `record` if this process is killed."""
        log.tail.clear()
        # Isolated (-I), so that no file in the working directory shadows an import.
        code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); "
        code += "from arena.judge.keeper import main; main()"
        keeper = [sys.executable, "-I", "-c", code, str(os.getpid()), str(grace), str(record or "")]
        start = asyncio.create_subprocess_exec(
            *(*keeper, "--", "bash", "-c", script),
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only us; we stop the server
        )
        starting = asyncio.create_task(start)
        try:
            return cls(await asyncio.shield(starting), log)
        except asyncio.CancelledError:  # asyncio itself would kill the keeper and not the server
            await cls(await starting, log).end()
            raise

    async def ended(self, within: float) -> int | None:
        """The exit status; None if it does not end within so many seconds."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self.keeper.wait()), within)
        return None

    async def end(self) -> list[int]:
        """End all processes, within the grace and a few seconds. May be called again.

        Returns processes that do not end: they hang in a driver and block its GPU.
        """
        if not self._stdin.is_closing():
            self._stdin.write(GOODBYE)
            self._stdin.close()
        await self.keeper.wait()
        # If the keeper was killed, its processes are ours now.
        left = await asyncio.to_thread(end_descendants, 0, other_sessions=True)
        for pid in left:
            self._log.add(f"SIGKILL does not end process {pid}: see ps and dmesg on the node")
        # With a time limit: where orphans cannot be adopted, one may still have the pipe open.
        await asyncio.wait({self._copying}, timeout=LAST_OUTPUT)
        self._copying.cancel()
        return left


def environment(
    judge: Mapping[str, Any], key: str, outer: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Environment of the server: the job's, the config's `env`, and the key.

    The key is not on the command line, because every user of a node can read command lines.
    """
    own = {name: str(value) for name, value in (judge.get("env") or {}).items()}
    inherited = {name: value for name, value in outer.items() if name not in OF_SNAKEMAKE}
    env = {**inherited, **own, "VLLM_API_KEY": key, "JUDGE_API_KEY": key}
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), LOOPBACK]))
    env.setdefault("VLLM_NO_USAGE_STATS", "1")  # no data about a campaign is sent
    env.setdefault("PYTHONUNBUFFERED", "1")  # else the last lines of a crash are lost
    if judge.get("path") and Path(judge["path"]).is_dir():
        env.setdefault("HF_HUB_OFFLINE", "1")  # else nodes without internet wait for time-outs
    return env


def gpu_count(asked: int, env: Mapping[str, str] = os.environ) -> int:
    """GPUs of this job, from CUDA_VISIBLE_DEVICES, else from Slurm, else as requested."""
    visible = env.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # For CUDA, the list ends at the first entry that is no device (Slurm's NoDevFiles).
        return len(list(takewhile(_DEVICE.match, map(str.strip, visible.split(",")))))
    if env.get("SLURM_GPUS_ON_NODE", "").isdigit():
        return int(env["SLURM_GPUS_ON_NODE"])
    return asked


def requested_gpus(resources: Mapping[str, Any]) -> int:
    """GPUs of a job, from `gpu`, `gpus` or `gres` (gpu, gpu:2, gpu:a100:2); 0 without any."""
    if number := str(resources.get("gpu") or resources.get("gpus") or "").strip():
        return int(number.rpartition(":")[2])
    gpus = 0
    for part in str(resources.get("gres") or "").split(","):
        name, *rest = part.strip().split(":")
        if name.removeprefix("gres/") == "gpu":
            gpus += int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return gpus
