"""The paths in a config."""

import os
from typing import Any

from arena.support.errors import ConfigError

_FOLDERS = ("arena_hard_dir", "data_dir", "judgments_dir", "results_dir")
_PATHS = {*_FOLDERS, "models", "path", "system_prompt", "prompt_template"}
_PATHS |= {"base", "chat_template", "dir"}


def expand_paths(config: dict[str, Any]) -> dict[str, Any]:
    """The config with `~` expanded in its paths.

    Raises ConfigError for a folder with braces, which Snakemake would take for wildcards.
    """
    folders = {key: config.get(key) for key in _FOLDERS}
    folders["answers.dir"] = (config.get("answers") or {}).get("dir")
    for key, folder in folders.items():
        path = (folder or "").replace("{baseline}", "" if key == "judgments_dir" else "{")
        if "{" in path or "}" in path:
            raise ConfigError(
                f"config: {key}: {folder}: braces are not allowed, except {{baseline}} in "
                "judgments_dir"
            )
    blocks = {key: _expand_block(config[key]) for key in ("judge", "answers") if config.get(key)}
    return _expand_block(config | blocks)


def _expand_block(block: dict[str, Any]) -> dict[str, Any]:
    return {key: _expanded(value) if key in _PATHS else value for key, value in block.items()}


def _expanded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item) for key, item in value.items()}
    # pathlib's would raise for the ~ of an unknown user
    return os.path.expanduser(value) if isinstance(value, str) else value  # noqa: PTH111
