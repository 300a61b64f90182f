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
    name: str = judge["name"]
    # URL, model, key, the variable with the key, and where the config sets it.
    found: list[tuple[str, str, str | None, str | None, str]] = []
    for number, given in enumerate(judge.get("endpoints") or ()):
        where = f"endpoints[{number}] ({given['api_base']}): api_key_env"
        model = given.get("model") or name
        found.append((given["api_base"], model, None, given.get("api_key_env"), where))
    for known in () if found else read_endpoints(judge["api_config"], name, judge.get("api_type")):
        # OPENAI_API_KEY must not be sent to other servers.
        variable = "OPENAI_API_KEY" if known.api_base == OPENAI_BASE else None
        where = f"{judge['api_config']}: {name}: no api_key"
        found.append((known.api_base, known.model, known.api_key, variable, where))
    result = []
    for url, model, key, variable, where in found:
        key = key or (env.get(variable) if variable else NO_KEY)
        if not key:
            raise ConfigError(
                f"{where}: the environment variable {variable} is not set; export it before you "
                "start snakemake"
            )
        result.append({"url": url.rstrip("/"), "key": key, "model": model})
    return result


def check_keys(judge: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigError if a key is missing, before jobs are submitted."""
    if judge["server"] == "external":
        endpoints(judge, env)
