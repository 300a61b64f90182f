"""Judges in processes of their own: one that already runs, and a small program that starts one as a
batch does, with a view of it from outside.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

PROJECT = Path(__file__).resolve().parents[1]
SCRIPTS = PROJECT / "workflow" / "scripts"
JUDGE = PROJECT / "tests" / "judge.py"
DEMO = f"{sys.executable} {JUDGE} --name {{name}} --host {{host}} --port {{port}}"
adopts_orphans = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="orphans are adopted on Linux only"
)
# Not `hang`: a judge on a busy machine is no judge that hangs.
QUICK = {"look": 0.1, "engine": 0.2, "backoff": 0.1, "grace": 1.0}


def eventually(condition: Callable[[], Any], seconds: float = 300.0, what: str = "") -> Any:
    """The first true value of a condition; AssertionError if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)
    return value


def run_script(name: str, *arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python workflow/scripts/NAME ARGUMENTS`, output captured."""
    command = [sys.executable, SCRIPTS / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", **options)


@contextlib.contextmanager
def running_judge(
    *words: str | Path, key: str = "", program: Path = JUDGE
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A judge that takes calls until the block ends: its URL and its process."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that the judge can bind it
        held.bind(("127.0.0.1", 0))  # nobody else gets this port, however late the judge starts
        port = held.getsockname()[1]
        command = [sys.executable, program, "--port", str(port), *words]
        env = os.environ | {"VLLM_API_KEY": key}
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert "listens" in process.stdout.readline()
                yield f"http://127.0.0.1:{port}/v1", process
            finally:
                process.kill()


class Served:
    """A program with a judge as its child, and its games' view of it.

    Every process of it carries a mark in its environment, so that none can hide. launch: whether
    the program starts the judge at once, or when it is told to.
    """

    def __init__(
        self,
        root: Path,
        judge: dict[str, Any],
        batch: str = "b1",
        launch: bool = True,
        **limits: float,
    ):
        self.root, self.batch = root, batch
        self.mark = f"{root}/{batch}"
        self.logs = root / "logs" / batch
        judge = {"name": "toy", "server": "vllm", "command": DEMO} | judge
        self.given = {"judge": judge, "limits": QUICK | limits, "logs": str(self.logs)}
        self.given |= {"batch": batch, "launch": launch}
        self.told: dict[str, Any] = {}  # by the program: what it knows last
        self.states: list[str] = []  # of the judge, one after the other
        self.errors = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self, before: tuple[str, ...] = ()) -> "Served":
        """Start it, behind the words `before`, and wait until it has a port or has ended."""
        self.told, self.states, self.errors = {}, [], ""
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "tests.served", json.dumps(self.given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=PROJECT,
            env=os.environ | {"TEST_MARK": self.mark, "PYTHONPATH": str(SCRIPTS)},
        )
        threading.Thread(target=self._listen, daemon=True).start()
        eventually(lambda: self.told or self.process.poll() is not None, what="a port")
        return self

    def _listen(self) -> None:
        for line in self.process.stdout:
            if line.startswith("{"):
                told = self.told | json.loads(line)
                self.states.append(told["state"])  # before those who wait for `told` go on
                self.told = told
            else:
                self.errors += line

    def close(self) -> None:
        """Nothing of it is left, whatever the test did."""
        for pid in [self.process.pid, *self.processes()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    @property
    def port(self) -> int:
        return int(self.told["url"].rpartition(":")[2].removesuffix("/v1"))

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.logs / "batch.json").read_text())

    @property
    def restarts(self) -> list[str]:
        """Causes."""
        return [restart["cause"] for restart in self.record["restarts"]]

    @property
    def log(self) -> str:
        path = self.logs / "server.log"
        return path.read_text() if path.exists() else ""

    def processes(self) -> list[int]:
        """Every running process that carries the mark, but the program itself."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it has ended, or is another user's
                marked = process.environ().get("TEST_MARK") == self.mark
                running = process.status() != psutil.STATUS_ZOMBIE
                if marked and running and process.pid != self.process.pid:
                    found.append(process.pid)
        return found

    def get(
        self, path: str = "/v1/models", key: str | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """Status and JSON of a reply; status 0 where nobody answers."""
        address = self.told["url"].removesuffix("/v1") + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data)
        given = self.told["key"] if key is None else key
        request.add_header("Authorization", f"Bearer {given}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=300) as reply:
                status, text = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        except OSError:
            return 0, None
        return status, json.loads(text) if text[:1] in b"{[" and text else text.decode()

    def ask(self, text: str) -> tuple[int, Any]:
        """Play one call; a marker in the text chooses a fault."""
        user = f"<reply_A>{text}</reply_A><reply_B>other</reply_B>"
        message = {"role": "user", "content": user}
        return self.get("/v1/chat/completions", body={"model": "toy", "messages": [message]})

    def hang_up(self, text: str) -> None:
        """Ask in the background and do not wait for a reply."""
        threading.Thread(target=self.ask, args=(text,), daemon=True).start()

    def ready(self, seconds: float = 300.0) -> "Served":
        """Wait until `LocalJudge.ready` has returned after the newest restart on record."""

        def is_ready() -> bool:
            ended = self.told.get("gave_up") or self.process.poll() is not None
            assert not ended, (self.told, self.errors, self.log)
            told = self.told  # the program's word comes later than its record
            return told["state"] == "ready" and told["restarts"] >= len(self.restarts)

        eventually(is_ready, seconds, "a ready judge")
        return self

    def restarted(self, times: int = 1) -> list[str]:
        """Wait until it is ready again after so many restarts; their causes."""
        eventually(lambda: len(self.restarts) >= times, what="a restart")
        self.ready()
        return self.restarts

    def failure(self, seconds: float = 300.0) -> str:
        """The message with which the judge is given up."""
        return eventually(lambda: self.told.get("gave_up"), seconds, "a judge that is given up")

    def launch(self) -> None:
        self.process.send_signal(signal.SIGUSR1)

    def stop(self, seconds: float = 120.0) -> int:
        """SIGTERM; the exit status. TimeoutExpired if it has not ended after so many seconds."""
        self.process.terminate()
        return self.process.wait(seconds)


def tell(**known: Any) -> None:
    print(json.dumps(known), flush=True)


async def main(given: dict[str, Any]) -> None:
    """Start the judge, say what becomes of it, end it at SIGTERM."""
    from arena.journals.batches import Attempt, AttemptLog
    from arena.judge.server import Limits, LocalJudge
    from arena.support.errors import JudgeError

    stop, logs, loop = asyncio.Event(), Path(given["logs"]), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    logs.mkdir(parents=True, exist_ok=True)
    attempt = AttemptLog(logs / "batch.json", Attempt.here(given["batch"], "r1"))
    limits = Limits(**given["limits"])
    log = logs / "server.log"
    judge = LocalJudge(given["judge"], gpus=0, log=log, attempt=attempt, limits=limits)
    loop.add_signal_handler(signal.SIGUSR1, judge.start)
    tell(url=judge.url, key=judge.key, state=judge.state, parallel=judge.parallel)

    async def follow() -> None:
        while judge.state == "not needed":
            await asyncio.sleep(0.01)
        try:
            while True:
                await judge.ready()
                restarts = len(attempt.attempt.restarts)
                tell(state=judge.state, parallel=judge.parallel, restarts=restarts)
                while judge.state == "ready":
                    await asyncio.sleep(0.01)
                tell(state=judge.state)
        except JudgeError as error:
            assert judge.gave_up and judge.state == "ended"
            tell(gave_up=str(error), kind=error.kind, state=judge.state)

    if given["launch"]:
        judge.start()
    following = asyncio.create_task(follow())
    await stop.wait()
    following.cancel()
    await judge.end()
    await judge.end()  # may be called again
    tell(state=judge.state, end_on_disk=json.loads(attempt.path.read_text())["end"])
    attempt.ended(None)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
