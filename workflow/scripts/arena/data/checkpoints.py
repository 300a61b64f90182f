"""Names of a run's checkpoints: the pattern that finds run and step in them."""

import re

from arena.data.verdict import compile_pattern
from arena.support.errors import ConfigError


def compile_steps(pattern: str) -> re.Pattern:
    """Return the pattern of checkpoint names; it must have a group `step` and may have `run`."""
    compiled = compile_pattern(pattern, "steps")
    if "step" not in compiled.groupindex:
        raise ConfigError(
            f"steps: {pattern!r} has no group `step`; write for example "
            r"(?P<run>.+)-step(?P<step>\d+)"
        )
    return compiled
