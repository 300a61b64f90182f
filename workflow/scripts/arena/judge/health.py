"""Health checks of a server.

Three parts of a server can die on their own: the process, its HTTP API (`/health`), and the engine
behind the API. The engine is checked by `/metrics`, which costs nothing while requests run, and by
a call for one token if the number of tokens has not changed.
"""

import json
import re
from typing import NamedTuple

from arena.judge.causes import Cause
from arena.support.http import HttpClient, NoReply, Reply

REPLY_SECONDS = 10.0  # vLLM answers /health from its event loop, which a burst of requests delays
TOKEN_SECONDS = 60.0  # a call behind a long prefill


class Died(Exception):
    """The server has ended, hangs, or is not ours."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.text)
        self.cause = cause


class Progress(NamedTuple):
    tokens: float  # so far, of prompts and replies
    running: float  # requests


class Health:
    """key: of our job. timeout: s for a reply."""

    def __init__(
        self, http: HttpClient, url: str, key: str, name: str, timeout: float = REPLY_SECONDS
    ) -> None:
        self.http, self.url, self.key, self.name, self.timeout = http, url, key, name, timeout
        self.base = url.removesuffix("/v1")

    async def ready(self) -> bool:
        """Whether it accepts requests; Died if another server answers."""
        try:
            if (await self._get(f"{self.base}/health")).status >= 500:
                return False
            listed = await self._get(f"{self.url}/models")
        except NoReply:
            return False
        if listed.status in (401, 403):
            refused = f"{self.url} rejects this job's key: another server uses the port"
            raise Died(Cause(refused, "port"))
        if listed.status != 200:
            return False
        names = served_names(listed)
        if names is not None and self.name not in names:
            text = f"the server serves {', '.join(names)}, not {self.name}: add "
            text += "--served-model-name {name} to its command in the config"
            raise Died(Cause(text))
        return names is not None

    async def sick(self) -> str | None:
        """What is wrong with the API, if anything. Raises NoReply."""
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
        """What is wrong with a call for one token. Raises NoReply, which is normal under load."""
        messages = [{"role": "user", "content": "ok"}]
        body = {"model": self.name, "messages": messages, "max_tokens": 1, "user": "supervisor"}
        reply = await self.http.call(
            f"{self.url}/chat/completions", key=self.key, body=body, timeout=TOKEN_SECONDS
        )
        return f"a call for one token returns {reply.status}" if reply.status >= 500 else None

    async def _metrics(self) -> str:
        """The text of `/metrics`; empty if there is none."""
        try:
            reply = await self._get(f"{self.base}/metrics")
        except NoReply:
            return ""
        return reply.body.decode(errors="replace") if reply.status == 200 else ""

    async def _get(self, url: str) -> Reply:
        return await self.http.call(url, key=self.key, timeout=self.timeout)


def served_names(listed: Reply) -> list[str] | None:
    """The models in a reply of `/models`; None if it is not in OpenAI's format."""
    try:
        return [str(model["id"]) for model in json.loads(listed.body)["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def figure(metrics: str, name: str) -> float | None:
    """Sum over all engines of the metric `vllm:<name>` in Prometheus' text format."""
    found = re.findall(rf"^vllm:{name}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", metrics, re.MULTILINE)
    return sum(map(float, found)) if found else None
