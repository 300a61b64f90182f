"""Text files that users write: config, prompts, lists of names."""

from pathlib import Path
from typing import Any

import yaml

from arena.support.errors import ConfigError

# The C parser is ten times as fast: api_config.yaml may have 1,000 blocks.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(path: str | Path, where: str = "") -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises ConfigError with the reason. where: the config key that names the file.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{where}{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}{path}: not UTF-8 at byte {error.start + 1}") from error


def load_yaml(text: str, where: object) -> Any:
    """Parse YAML. Raises ConfigError with `where` (a file or key), the line and the reason."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # libyaml reports what is missing at the end in the line after the last
        last = text.rstrip().count("\n")
        line = f":{min(mark.line, last) + 1}" if mark else ""
        reason = getattr(error, "problem", None) or error
        raise ConfigError(f"{where}{line}: not YAML: {reason}") from error
