"""The settings of a campaign, for tools that run without Snakemake: monitor, forecast."""

from pathlib import Path
from typing import Any

from arena.setup.config import check_config
from arena.setup.resolve import resolve
from arena.setup.settings import Settings
from arena.support.errors import ConfigError
from arena.support.files import load_yaml, read_text

WORKFLOW = Path(__file__).resolve().parents[3]


def load_settings(configfile: Path, overrides: list[str]) -> Settings:
    """Read a config file as Snakemake does; `overrides` are KEY=VALUE as in `snakemake --config`.

    Paths in it are relative to the working directory. Raises ConfigError.
    """
    if not configfile.exists():
        raise ConfigError(
            f"{configfile}: No such file or directory. Run this in the folder where Snakemake runs,"
            " or use --configfile for another file, or --results for a results folder"
        )
    config = load_yaml(read_text(configfile), configfile)
    if not isinstance(config, dict):
        raise ConfigError(f"{configfile}: contains no settings (KEY: VALUE)")
    for override in overrides:
        key, sign, value = override.partition("=")
        if not sign:
            raise ConfigError(f"--config {override}: write KEY=VALUE")
        config = _merge(config, {key: load_yaml(value, f"--config {key}")})
    config = check_config(config, WORKFLOW / "schemas" / "config.schema.yaml")
    return resolve(config, WORKFLOW.parent / "config" / "prompts")


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Merge like Snakemake: blocks key by key, everything else is replaced."""
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(old.get(key), dict)
        merged[key] = _merge(old[key], value) if both else value
    return merged
