"""Text files that users write: config, prompts, lists of names."""

from pathlib import Path
from typing import Any

import yaml

from arena.support.errors import ConfigError

# The C parser is ten times as fast: api_config.yaml may have 1,000 blocks.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """Refuses a key that a mapping sets twice."""

    def flatten_mapping(self, node: Any) -> None:
        """Called before a mapping is read or merged by `<<`; then its keys are as written."""
        if hasattr(node, "lines"):
            return
        node.lines = {}
        for key, _ in node.value:
            name = key.tag, str(key.value)
            if name in node.lines and key.tag != "tag:yaml.org,2002:merge":
                problem = f"the key {key.value!r} is already set in line {node.lines[name]}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            node.lines[name] = key.start_mark.line + 1
        super().flatten_mapping(node)


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


def load_yaml(text: str, where: object, *, unique: bool = True) -> Any:
    """Parse YAML. Raises ConfigError with `where` (a file or key), the line and the reason.

    unique: refuse a key that a mapping sets twice; else the last one counts.
    """
    try:
        return yaml.load(text, Loader=_Loader if unique else _SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2026-02-30 is no date
        mark = getattr(error, "problem_mark", None)
        # libyaml reports what is missing at the end in the line after the last
        last = text.rstrip().count("\n")
        line = f":{min(mark.line, last) + 1}" if mark else ""
        reason = getattr(error, "problem", None) or error
        raise ConfigError(f"{where}{line}: not YAML: {reason}") from error
