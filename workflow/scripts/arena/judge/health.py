"""Health checks of a server.

Three parts of a server can die on their own: the process, its HTTP API (`/health`), and the engine
behind the API. The engine is checked by `/metrics`, which costs nothing while requests run, and by
a call for one token if the number of tokens has not changed.
"""

import re
from typing import NamedTuple

from arena.judge.causes import Died
from arena.support.http import Failure, HttpClient, Reply, listed_models
from arena.support.humanize import listing

REPLY_SECONDS = 10.0  # vLLM answers /health from its event loop, which a burst of requests delays
TOKEN_SECONDS = 60.0  # a call behind a long prefill


class Progress(NamedTuple):
    tokens: float  # so far, of prompts and replies
    running: float  # requests


class Health:
    """key: of our job. hang: s without a reply after which it counts as dead."""

    def __init__(self, url: str, key: str, name: str, hang: float) -> None:
        self.http, self.url, self.key, self.name = HttpClient(), url, key, name
        self.base, self.timeout = url.removesuffix("/v1"), min(REPLY_SECONDS, hang)

    async def ready(self) -> bool:
        """Whether it accepts requests; Died if another server answers."""
        try:
            if (await self._get(f"{self.base}/health")).status >= 500:
                return False
            listed = await self._get(f"{self.url}/models")
        except Failure:
            return False
        if listed.status in (401, 403):
            raise Died(f"{self.url} rejects this job's key: another server uses the port", "port")
        names = listed_models(listed)
        if names and self.name not in names:
            text = f"the server serves {listing(names)}, not {self.name}: add "
            raise Died(text + "--served-model-name {name} to its command in the config")
        return bool(names)

    async def sick(self) -> str | None:
        """What is wrong with the API, if anything. Raises Failure."""
        status = (await self._get(f"{self.base}/health")).status
        if status == 404:  # not every server has /health
            status = (await self._get(f"{self.url}/models")).status
        return f"/health returns {status}" if status >= 500 else None

    async def progress(self) -> Progress | None:
        """The figures of `/metrics`; None if the server does not have these."""
        text = await self._metrics()
        names = ("prompt_tokens_total", "generation_tokens_total", "num_requests_running")
        figures = [value for name in names if (value := figure(text, name)) is not None]
        return Progress(figures[0] + figures[1], figures[2]) if len(figures) == 3 else None

    async def cache_tokens(self) -> int | None:
        """Tokens that fit into vLLM's KV cache; None if `/metrics` does not say."""
        found = re.search(r"^vllm:cache_config_info\{(.*)\}", await self._metrics(), re.MULTILINE)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', found.group(1))) if found else {}
        sizes = labels.get("block_size", ""), labels.get("num_gpu_blocks", "")
        return int(sizes[0]) * int(sizes[1]) if all(size.isdigit() for size in sizes) else None

    async def one_token(self) -> str | None:
        """What is wrong with a call for one token. Raises Failure, which is normal under load."""
        url, messages = f"{self.url}/chat/completions", [{"role": "user", "content": "ok"}]
        body = {"model": self.name, "messages": messages, "max_tokens": 1, "user": "supervisor"}
        reply = await self.http.call(url, key=self.key, body=body, timeout=TOKEN_SECONDS)
        return f"a call for one token returns {reply.status}" if reply.status >= 500 else None

    async def _metrics(self) -> str:
        """The text of `/metrics`; empty if there is none."""
        try:
            reply = await self._get(f"{self.base}/metrics")
        except Failure:
            return ""
        return reply.body.decode(errors="replace") if reply.status == 200 else ""

    async def _get(self, url: str) -> Reply:
        return await self.http.call(url, key=self.key, timeout=self.timeout)


def figure(metrics: str, name: str) -> float | None:
    """Sum over all engines of the metric `vllm:<name>` in Prometheus' text format."""
    found = re.findall(rf"^vllm:{name}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", metrics, re.MULTILINE)
    return sum(map(float, found)) if found else None
