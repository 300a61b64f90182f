"""Starts judge_server.py as rule judge_server does, and looks at it from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

PROJECT = Path(__file__).resolve().parents[1]
SCRIPTS = PROJECT / "workflow" / "scripts"
DEMO = (
    f"{sys.executable} {PROJECT / 'tests/judge.py'} --name {{name}} --host {{host}} --port {{port}}"
)
adopts_orphans = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="orphans are adopted on Linux only"
)
QUICK = {"look": 0.1, "hang": 5.0, "engine": 0.2, "backoff": 0.1, "parent": 0.1, "grace": 1.0}


def eventually(condition: Callable[[], Any], seconds: float = 60.0, what: str = "") -> Any:
    """The first true value of a condition; AssertionError if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)
    return value


def fetch_as_client(server_file: Path, path: str) -> str:
    """GET with the address and key of a server file; an empty text where that fails."""
    try:
        entry = json.loads(server_file.read_text())
        request = urllib.request.Request(entry["url"].removesuffix("/v1") + path)
        request.add_header("Authorization", f"Bearer {entry['key']}")
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.read().decode()
    except (OSError, ValueError, KeyError):
        return ""


class Served:
    """A judge server for one batch below `root`, and its clients' view of it.

    Every process of it carries a mark in its environment, so that none can hide.
    """

    def __init__(self, root: Path, judge: dict[str, Any], batch: str = "r1-01", **limits: float):
        self.root, self.batch = root, batch
        self.mark = f"{root}/{batch}"
        self.file = root / "server" / f"{batch}.json"
        self.logs = root / "logs" / batch
        self.judge = {"name": "toy", "server": "vllm", "command": DEMO} | judge
        self.limits = QUICK | limits
        self.process: subprocess.Popen | None = None

    def start(self, before: tuple[str, ...] = (), **env: str) -> "Served":
        """Start it, behind the words `before`, and wait for the server file."""
        described = {"batch": self.batch, "run": self.batch.rpartition("-")[0], "models": ["m"]}
        described |= {"judge": self.judge, "resources": {"gpus": 0}, "root": str(self.root)}
        batch_file = self.root / "batches" / f"{self.batch}.json"
        for folder in (batch_file.parent, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        batch_file.write_text(json.dumps(described))
        command = [*before, sys.executable, str(SCRIPTS / "judge_server.py")]
        command += ["--batch", str(batch_file), "--logs", str(self.logs)]
        command += [
            word for name, value in self.limits.items() for word in (f"--{name}", f"{value:g}")
        ]
        with (self.logs / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, str(self.file)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"TEST_MARK": self.mark} | env,
            )
        eventually(lambda: self.serving or self.process.poll() is not None, what="a server file")
        return self

    def __enter__(self) -> "Served":
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        for pid in [self.process.pid, *self.processes()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    @property
    def serving(self) -> bool:
        """Whether the server file has an address and a key."""
        return self.file.exists() and "key" in self.entry

    @property
    def entry(self) -> dict[str, Any]:
        return json.loads(self.file.read_text())

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.logs / "batch.json").read_text())

    @property
    def log(self) -> str:
        return (self.logs / "server.log").read_text()

    def processes(self) -> list[int]:
        """Every running process that carries the mark, but the supervisor."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it has ended, or is another user's
                marked = process.environ().get("TEST_MARK") == self.mark
                running = process.status() != psutil.STATUS_ZOMBIE
                if marked and running and process.pid != self.process.pid:
                    found.append(process.pid)
        return found

    def request(
        self, path: str, key: str | None = None, body: Any = None
    ) -> urllib.request.Request:
        """A request to the server, with its key unless another is given."""
        entry = self.entry
        address = entry["url"].removesuffix("/v1") + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data)
        request.add_header("Authorization", f"Bearer {entry['key'] if key is None else key}")
        request.add_header("Content-Type", "application/json")
        return request

    def get(
        self, path: str = "/v1/models", key: str | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """Status and JSON of a reply; status 0 where nobody answers."""
        request = self.request(path, key, body)
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
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

    def is_ready(self) -> bool:
        return self.get()[0] == 200

    def ready(self, seconds: float = 60.0) -> "Served":
        """Wait until clients find it ready, and the supervisor knows that it is."""
        eventually(self.is_ready, seconds, "a ready judge")
        launched = self.log.count("launching ")
        eventually(lambda: self.log.count(" is ready\n") == launched, seconds, "known to be ready")
        return self

    def failure(self, seconds: float = 60.0) -> str:
        """The message of judge_failed."""

        def failed() -> str | None:
            status, reply = self.get()
            error = reply["error"] if status == 503 else {"type": None}
            return error["message"] if error["type"] == "judge_failed" else None

        return eventually(failed, seconds, "judge_failed")

    def stop(self, seconds: float = 15.0) -> int:
        """SIGTERM, as Snakemake sends it; the exit status. TimeoutExpired after `seconds`, where
        Slurm would soon send SIGKILL (KillWait, 30 s by default)."""
        self.process.terminate()
        return self.process.wait(seconds)
