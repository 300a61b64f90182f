"""The paths that a config names, as the workflow takes them."""

import os
from collections.abc import Iterable
from typing import Any

from arena.support.errors import ConfigError

_FOLDERS = ("arena_hard_dir", "data_dir", "judgments_dir", "results_dir")


def at_home(config: dict[str, Any]) -> dict[str, Any]:
    """The config with `~` filled in, which no shell has seen.

    Raises ConfigError for a folder with braces: to Snakemake they are wildcards.
    """
    for key in _FOLDERS:
        path = config.get(key) or ""
        if key == "judgments_dir":
            path = path.replace("{baseline}", "")
        if "{" in path or "}" in path:
            raise ConfigError(
                f"config: {key}: {config[key]}: no braces, but for {{baseline}} in judgments_dir"
            )
    judge = _filled(config["judge"], ("path", "system_prompt", "prompt_template"))
    return _filled(config, (*_FOLDERS, "models")) | {"judge": judge}


def _filled(block: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return block | {key: _expanded(block[key]) for key in keys if key in block}


def _expanded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item) for key, item in value.items()}
    # os.path's leaves ~nobody as it is, pathlib's raises
    return os.path.expanduser(value) if isinstance(value, str) else value  # noqa: PTH111
