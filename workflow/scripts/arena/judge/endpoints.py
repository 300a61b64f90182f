"""Judges that already run somewhere: endpoints with their keys, and whether they answer."""

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from arena.setup.upstream import OPENAI_BASE, Endpoint, read_endpoints
from arena.support.errors import ConfigError
from arena.support.humanize import printable

if TYPE_CHECKING:
    from arena.support.http import HttpClient

CHECK_SECONDS = 10.0
NO_KEY = "EMPTY"  # what servers without keys accept and clients must send


def endpoints(
    judge: Mapping[str, Any], env: Mapping[str, str] = os.environ
) -> list[dict[str, str]]:
    """`url`, `key` and `model` (the name to ask for) of every endpoint of the judge.

    From `judge.endpoints` (the key from the environment variable `api_key_env`), else from the
    block of the judge in the user's api_config.yaml. Raises ConfigError naming what is missing.
    """
    if judge.get("endpoints"):
        return [
            {
                "url": given["api_base"].rstrip("/"),
                "key": key,
                "model": given.get("model") or judge["name"],
            }
            for number, given in enumerate(judge["endpoints"])
            for where in [f"judge.endpoints[{number}] ({given['api_base']}): api_key_env"]
            for key in [_key_of(given.get("api_key_env"), where, env)]
        ]
    where = f"{judge['api_config']}: {judge['name']}: no api_key"
    return [
        {
            "url": known.api_base.rstrip("/"),
            "key": _own_key(known, where, env),
            "model": known.model,
        }
        for known in read_endpoints(judge["api_config"], judge["name"], judge.get("api_type"))
    ]


def check_keys(judge: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> None:
    """Refuse a judge whose key is missing, where a person sees it: a job would just end."""
    if judge["server"] == "external":
        endpoints(judge, env)


def _key_of(name: str | None, where: str, env: Mapping[str, str]) -> str:
    if name and not env.get(name):
        raise ConfigError(
            f"{where}: the environment variable {name} is not set; export it before you start "
            "snakemake"
        )
    return env[name] if name else NO_KEY


def _own_key(endpoint: Endpoint, where: str, env: Mapping[str, str]) -> str:
    # The key of the environment is OpenAI's: no other server gets to see it.
    default = "OPENAI_API_KEY" if endpoint.api_base == OPENAI_BASE else None
    return endpoint.api_key or _key_of(default, where, env)


async def check(http: "HttpClient", endpoint: Mapping[str, str]) -> str:
    """One line on what `/models` of an endpoint says. Never the key."""
    from arena.support.http import NoReply  # here: each start of Snakemake would load aiohttp

    url, name = endpoint["url"], endpoint["model"]
    try:
        reply = await http.call(f"{url}/models", key=endpoint["key"], timeout=CHECK_SECONDS)
    except NoReply as error:
        return f"{url}: cannot be asked for its models ({error})"
    if reply.status != 200:
        refused = reply.status in (401, 403)
        what = "refuses the key" if refused else "does not list its models"
        return f"{url}: {what} (HTTP {reply.status})"
    try:
        names = [model["id"] for model in json.loads(reply.body)["data"]]
    except (ValueError, KeyError, TypeError):
        return f"{url}: does not list its models (no JSON of OpenAI's API)"
    if name in names:
        return f"{url}: serves {name}"
    others = printable(", ".join(sorted(map(str, names))[:10]))
    return f"{url}: does not list {name}, but {others}"
