"""Servers that already run: their endpoints and keys."""

import os
from collections.abc import Mapping
from typing import Any

from arena.setup.upstream import OPENAI_BASE, read_endpoints
from arena.support.errors import ConfigError

NO_KEY = "EMPTY"  # what servers without keys accept and clients must send


def endpoints(
    judge: Mapping[str, Any], env: Mapping[str, str] = os.environ
) -> list[dict[str, str]]:
    """`url`, `key` and `model` (its name there) of every endpoint.

    From `endpoints` in the config (the key from the environment variable `api_key_env`), else from
    the model's block in api_config.yaml. Raises ConfigError naming what is missing.
    """

    def endpoint(url: str, model: str, key: str, variable: str | None, where: str) -> dict:
        key = key or (env.get(variable, "") if variable else NO_KEY)
        if not key:
            raise ConfigError(
                f"{where}: the environment variable {variable} is not set; export it before you "
                "start snakemake"
            )
        return {"url": url.rstrip("/"), "key": key, "model": model}

    name: str = judge["name"]
    result = []
    for number, one in enumerate(judge.get("endpoints") or ()):
        url, variable = one["api_base"], one.get("api_key_env")
        where = f"endpoints[{number}] ({url}): api_key_env"
        result.append(endpoint(url, one.get("model") or name, "", variable, where))
    if not result:
        where = f"{judge['api_config']}: {name}: no api_key"
        for known in read_endpoints(judge["api_config"], name, judge.get("api_type")):
            # OPENAI_API_KEY must not be sent to other servers.
            variable = "OPENAI_API_KEY" if known.api_base == OPENAI_BASE else None
            url, model, key = known.api_base, known.model, known.api_key or ""
            result.append(endpoint(url, model, key, variable, where))
    return result


def check_keys(judge: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigError if a key is missing, before jobs are submitted."""
    if judge["server"] == "external":
        endpoints(judge, env)
