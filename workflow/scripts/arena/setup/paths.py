"""The paths that a config names, as the workflow takes them."""

import os
from typing import Any

from arena.support.errors import ConfigError

_FOLDERS = ("arena_hard_dir", "data_dir", "judgments_dir", "results_dir")
_PATHS = {*_FOLDERS, "models", "path", "system_prompt", "prompt_template"}


def at_home(config: dict[str, Any]) -> dict[str, Any]:
    """The config with `~` filled in, which no shell has seen.

    Raises ConfigError for a folder with braces: to Snakemake they are wildcards.
    """
    for key in _FOLDERS:
        path = (config.get(key) or "").replace("{baseline}", "" if key == "judgments_dir" else "{")
        if "{" in path or "}" in path:
            raise ConfigError(
                f"config: {key}: {config[key]}: no braces, but for {{baseline}} in judgments_dir"
            )
    return _filled(config | {"judge": _filled(config["judge"])})


def _filled(block: dict[str, Any]) -> dict[str, Any]:
    return {key: _expanded(value) if key in _PATHS else value for key, value in block.items()}


def _expanded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item) for key, item in value.items()}
    # os.path's leaves ~nobody as it is, pathlib's raises
    return os.path.expanduser(value) if isinstance(value, str) else value  # noqa: PTH111
