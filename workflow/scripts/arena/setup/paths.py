"""The paths that a config names, as the workflow takes them."""

import os
from typing import Any

from arena.support.errors import ConfigError

_FOLDERS = ("arena_hard_dir", "data_dir", "judgments_dir", "results_dir")
_PATHS = {*_FOLDERS, "models", "path", "system_prompt", "prompt_template"}
_PATHS |= {"base", "chat_template", "dir"}


def at_home(config: dict[str, Any]) -> dict[str, Any]:
    """The config with `~` filled in, which no shell has seen.

    Raises ConfigError for a folder with braces: to Snakemake they are wildcards.
    """
    answers = config.get("answers") or {}
    for key, given in {
        **{key: config.get(key) for key in _FOLDERS},
        "answers.dir": answers.get("dir"),
    }.items():
        path = (given or "").replace("{baseline}", "" if key == "judgments_dir" else "{")
        if "{" in path or "}" in path:
            raise ConfigError(
                f"config: {key}: {given}: no braces, but for {{baseline}} in judgments_dir"
            )
    blocks = {key: _filled(config[key]) for key in ("judge", "answers") if config.get(key)}
    return _filled(config | blocks)


def _filled(block: dict[str, Any]) -> dict[str, Any]:
    return {key: _expanded(value) if key in _PATHS else value for key, value in block.items()}


def _expanded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item) for key, item in value.items()}
    # os.path's leaves ~nobody as it is, pathlib's raises
    return os.path.expanduser(value) if isinstance(value, str) else value  # noqa: PTH111
