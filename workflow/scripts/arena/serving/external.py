"""Judges that already run somewhere: endpoints with their keys, and whether they answer."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from arena.setup.upstream import OPENAI_BASE, Endpoint, read_endpoints
from arena.support.errors import ConfigError

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
            for key in [_key_of(number, given.get("api_key_env"), env)]
        ]
    return [
        {"url": known.api_base.rstrip("/"), "key": _own_key(known, env), "model": known.model}
        for known in read_endpoints(judge["api_config"], judge["name"])
    ]


def _key_of(number: int, name: str | None, env: Mapping[str, str]) -> str:
    if name and not env.get(name):
        raise ConfigError(
            f"judge.endpoints[{number}]: the environment variable {name} (api_key_env) is not set "
            "in the job; export it before you start snakemake"
        )
    return env[name] if name else NO_KEY


def _own_key(endpoint: Endpoint, env: Mapping[str, str]) -> str:
    # The key of the environment is OpenAI's: no other server gets to see it.
    default = env.get("OPENAI_API_KEY") if endpoint.api_base == OPENAI_BASE else None
    return endpoint.api_key or default or NO_KEY


def check(endpoint: Mapping[str, str]) -> str:
    """One line on what `/models` of an endpoint says. Never the key."""
    name = endpoint["model"]
    request = urllib.request.Request(f"{endpoint['url']}/models")
    request.add_header("Authorization", f"Bearer {endpoint['key']}")
    try:
        with urllib.request.urlopen(request, timeout=CHECK_SECONDS) as reply:
            names = [model["id"] for model in json.load(reply)["data"]]
    except urllib.error.HTTPError as error:
        what = "refuses the key" if error.code in (401, 403) else "does not list its models"
        return f"{endpoint['url']}: {what} (HTTP {error.code})"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{endpoint['url']}: cannot be asked for its models ({type(error).__name__})"
    if name in names:
        return f"{endpoint['url']}: serves {name}"
    return f"{endpoint['url']}: does not list {name}, but {', '.join(sorted(names)[:10])}"
