"""Is the judge there, and is it alive?

Health of a judge has three layers, each of which has been seen to die alone: the process, its HTTP
API (`/health`), and the engine behind the API. The engine is asked by `/metrics`, which costs
nothing while games are played, and by a call for one token when no token has moved.
"""

import asyncio
import contextlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from arena.support.errors import JudgeError

REPLY_SECONDS = 10.0  # vLLM answers /health from its event loop, which a burst of requests delays
TOKEN_SECONDS = 60.0  # a call behind a long prefill


async def fetch(
    url: str, key: str = "", body: Any = None, timeout: float = REPLY_SECONDS
) -> tuple[int, bytes]:
    """GET, or POST where a body is given, over plain HTTP. OSError where nobody answers in time."""
    where = urlsplit(url)
    content = b"" if body is None else json.dumps(body).encode()
    head = [f"{'GET' if body is None else 'POST'} {where.path} HTTP/1.0", f"Host: {where.netloc}"]
    head += [f"Authorization: Bearer {key}", f"Content-Length: {len(content)}"]
    head += ["Content-Type: application/json", "Connection: close", "", ""]
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            writer.write("\r\n".join(head).encode() + content)
            reply = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    first, _, rest = reply.partition(b"\r\n")
    if not re.match(rb"HTTP/1\.\d \d{3}", first):
        raise ConnectionError(f"{url}: no HTTP reply")
    return int(first.split()[1]), rest.partition(b"\r\n\r\n")[2]


@dataclass
class Progress:
    """Tokens and calls as `/metrics` counts them; None where the server has no such figures."""

    tokens: float
    running: float


class Judge:
    """A judge at an address, as its supervisor sees it."""

    def __init__(self, url: str, key: str, name: str, patience: float = REPLY_SECONDS) -> None:
        self.url, self.key, self.name, self.patience = url, key, name, patience
        self.base = url.removesuffix("/v1")
        self.well_since: float | None = (
            None  # when it first said, since its launch, that it is well
        )

    async def ready(self) -> bool:
        """Whether it takes games.

        Raises JudgeError if what answers there is not our judge: it refuses our key, or serves
        another model. Waiting would not help.
        """
        try:
            status, _ = await self._get(f"{self.base}/health")
            if status >= 500:
                return False
            if status == 200 and self.well_since is None:
                self.well_since = time.monotonic()
            status, body = await self._get(f"{self.url}/models")
        except OSError:
            return False
        if status in (401, 403):
            raise JudgeError(f"{self.url} refuses this job's key: another server has the port")
        if status != 200:
            return False
        try:
            names = [model["id"] for model in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError):
            return False
        if self.name not in names:
            listed = ", ".join(map(str, names))
            raise JudgeError(
                f"the judge server serves {listed}, not {self.name}: let judge.command say "
                "--served-model-name {name}, or correct judge.name"
            )
        return True

    async def sick(self) -> str | None:
        """What is wrong with the API now, if anything. OSError where it does not answer."""
        status, _ = await self._get(f"{self.base}/health")
        if status == 404:  # not every server has one
            status, _ = await self._get(f"{self.url}/models")
        return f"/health says {status}" if status >= 500 else None

    async def progress(self) -> Progress | None:
        """What `/metrics` says."""
        try:
            status, body = await self._get(f"{self.base}/metrics")
        except OSError:
            return None
        text = body.decode(errors="replace")
        tokens = figure(text, "prompt_tokens_total"), figure(text, "generation_tokens_total")
        running = figure(text, "num_requests_running")
        if status != 200 or running is None or None in tokens:
            return None
        return Progress(tokens[0] + tokens[1], running)

    async def cache_tokens(self) -> int | None:
        """Tokens that vLLM's cache holds; None where `/metrics` does not say."""
        try:
            _, body = await self._get(f"{self.base}/metrics")
        except OSError:
            return None
        told = re.search(rb"^vllm:cache_config_info\{(.*)\}", body, re.MULTILINE)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', told.group(1).decode())) if told else {}
        sizes = labels.get("block_size", ""), labels.get("num_gpu_blocks", "")
        return int(sizes[0]) * int(sizes[1]) if all(map(str.isdigit, sizes)) else None

    async def one_token(self, first: bool) -> str | None:
        """Ask for one token, before all games if `first`; what is wrong, if a 5xx says so.

        OSError where no reply comes in time, which under load proves nothing.
        """
        body = {"model": self.name, "messages": [{"role": "user", "content": "ok"}]}
        body |= {"max_tokens": 1, "user": "supervisor"} | ({"priority": -1} if first else {})
        status, _ = await fetch(f"{self.url}/chat/completions", self.key, body, TOKEN_SECONDS)
        return f"a call for one token gets {status}" if status >= 500 else None

    async def _get(self, url: str) -> tuple[int, bytes]:
        return await fetch(url, self.key, timeout=self.patience)


def figure(metrics: str, name: str) -> float | None:
    """Sum of vLLM's metric `vllm:<name>` in Prometheus' text format, over all engines."""
    found = re.findall(rf"^vllm:{name}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", metrics, re.MULTILINE)
    return sum(map(float, found)) if found else None
