"""Is the judge there, and is it alive?

Health of a judge has three layers, each of which has been seen to die alone: the process, its HTTP
API (`/health`), and the engine behind the API. The engine is asked by `/metrics`, which costs
nothing while games are played, and by a call for one token when no token has moved.
"""

import json
import re
from dataclasses import dataclass

from arena.judge.causes import Cause
from arena.support.http import HttpClient, NoReply, Reply

REPLY_SECONDS = 10.0  # vLLM answers /health from its event loop, which a burst of requests delays
TOKEN_SECONDS = 60.0  # a call behind a long prefill


class Died(Exception):
    """The judge is not there, or not alive."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.text)
        self.cause = cause


@dataclass
class Progress:
    """Tokens and calls as `/metrics` counts them; None where the server has no such figures."""

    tokens: float
    running: float


class Health:
    """A judge at an address, as we see it. key: of our job. patience: s for a sign of life."""

    def __init__(
        self, http: HttpClient, url: str, key: str, name: str, patience: float = REPLY_SECONDS
    ) -> None:
        self.http, self.url, self.key, self.name = http, url, key, name
        self.patience = patience
        self.base = url.removesuffix("/v1")

    async def ready(self) -> bool:
        """Whether it takes games; Died if what answers there is not our judge."""
        try:
            if (await self._get(f"{self.base}/health")).status >= 500:
                return False
            listed = await self._get(f"{self.url}/models")
        except NoReply:
            return False
        if listed.status in (401, 403):
            refused = f"{self.url} refuses this job's key: another server has the port"
            raise Died(Cause(refused, "port"))
        if listed.status != 200:
            return False
        names = served_names(listed)
        if names is not None and self.name not in names:
            wrong = (
                f"the judge server serves {', '.join(names)}, not {self.name}: let judge.command "
                "say --served-model-name {name}, or correct judge.name"
            )
            raise Died(Cause(wrong))
        return names is not None

    async def sick(self) -> str | None:
        """What is wrong with the API now, if anything. NoReply where it does not answer."""
        status = (await self._get(f"{self.base}/health")).status
        if status == 404:  # not every server has one
            status = (await self._get(f"{self.url}/models")).status
        return f"/health says {status}" if status >= 500 else None

    async def progress(self) -> Progress | None:
        """What `/metrics` says."""
        text = await self._metrics()
        names = ("prompt_tokens_total", "generation_tokens_total", "num_requests_running")
        figures = [value for name in names if (value := figure(text, name)) is not None]
        return Progress(figures[0] + figures[1], figures[2]) if len(figures) == 3 else None

    async def cache_tokens(self) -> int | None:
        """Tokens that vLLM's cache holds; None where `/metrics` does not say."""
        told = re.search(r"^vllm:cache_config_info\{(.*)\}", await self._metrics(), re.MULTILINE)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', told.group(1))) if told else {}
        sizes = labels.get("block_size", ""), labels.get("num_gpu_blocks", "")
        return int(sizes[0]) * int(sizes[1]) if all(size.isdigit() for size in sizes) else None

    async def one_token(self) -> str | None:
        """What a call for one token says is wrong. NoReply, which under load proves nothing."""
        messages = [{"role": "user", "content": "ok"}]
        body = {"model": self.name, "messages": messages, "max_tokens": 1, "user": "supervisor"}
        reply = await self.http.call(
            f"{self.url}/chat/completions", key=self.key, body=body, timeout=TOKEN_SECONDS
        )
        return f"a call for one token gets {reply.status}" if reply.status >= 500 else None

    async def _metrics(self) -> str:
        """An empty text where there are none."""
        try:
            reply = await self._get(f"{self.base}/metrics")
        except NoReply:
            return ""
        return reply.body.decode(errors="replace") if reply.status == 200 else ""

    async def _get(self, url: str) -> Reply:
        return await self.http.call(url, key=self.key, timeout=self.patience)


def served_names(listed: Reply) -> list[str] | None:
    """The models that a reply to `/models` lists; None where it is not in OpenAI's shape."""
    try:
        return [str(model["id"]) for model in json.loads(listed.body)["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def figure(metrics: str, name: str) -> float | None:
    """Sum of vLLM's metric `vllm:<name>` in Prometheus' text format, over all engines."""
    found = re.findall(rf"^vllm:{name}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", metrics, re.MULTILINE)
    return sum(map(float, found)) if found else None
