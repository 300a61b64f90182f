"""Judges that already run somewhere: endpoints with their keys, and whether they answer."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from arena.errors import ConfigError

CHECK_SECONDS = 10.0


def endpoints(
    judge: Mapping[str, Any], env: Mapping[str, str] = os.environ
) -> list[dict[str, str]]:
    """`url` and `key` of every endpoint of the judge.

    From `judge.endpoints` (the key from the environment variable `api_key_env`), else from the
    block of the judge in the user's api_config.yaml. Raises ConfigError naming what is missing.
    """
    if judge.get("endpoints"):
        return [_given(number, given, env) for number, given in enumerate(judge["endpoints"])]
    path = Path(judge["api_config"])
    try:
        block = yaml.safe_load(path.read_text())[judge["name"]]
        listed = [(entry["api_base"], entry.get("api_key")) for entry in block["endpoints"]]
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file, and the judge's endpoints stand there") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        # Not the parser's own words: they quote the file, which holds keys.
        raise ConfigError(
            f"{path}: no block {judge['name']} with endpoints: [{{api_base, api_key}}]"
        ) from error
    return [{"url": base.rstrip("/"), "key": key or "EMPTY"} for base, key in listed]


def _given(number: int, given: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    name = given.get("api_key_env")
    if name and not env.get(name):
        raise ConfigError(
            f"judge.endpoints[{number}]: the environment variable {name} (api_key_env) is not set "
            "in the job; export it before you start snakemake"
        )
    return {"url": given["api_base"].rstrip("/"), "key": env[name] if name else "EMPTY"}


def check(endpoint: Mapping[str, str], name: str) -> str:
    """One line on what `/models` of an endpoint says. Never the key."""
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
