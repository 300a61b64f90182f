"""Text files that a user writes by hand: config, prompts, lists of names."""

from pathlib import Path
from typing import Any

import yaml

from arena.support.errors import ConfigError

# The C parser is ten times as fast, which 1,000 blocks of api_config.yaml need.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(path: str | Path, where: str = "") -> str:
    """The text of a UTF-8 file, without the byte order mark that editors on Windows put first.

    Raises ConfigError with `where`, the key that named the file, and the reason.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{where}{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}{path}: not UTF-8 at byte {error.start + 1}") from error


def load_yaml(text: str, where: object) -> Any:
    """What a YAML text says. Raises ConfigError with `where` (a file, a key), line and reason."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # what is missing at the end libyaml finds in a line after the last
        last = text.rstrip().count("\n")
        line = f":{min(mark.line, last) + 1}" if mark else ""
        reason = getattr(error, "problem", None) or error
        raise ConfigError(f"{where}{line}: not YAML: {reason}") from error
