"""What a process of the workflow hands on to its children by environment."""

import os
import sys
from pathlib import Path

_BATCH = "ARENA_BATCH"


def put_first(folder: Path) -> None:
    """Have commands looked up in `folder` before all others."""
    others = [part for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    others = [part for part in others if part != str(folder)]
    os.environ["PATH"] = os.pathsep.join([str(folder), *others])


def put_python_first() -> None:
    """Make `python` in a shell line the interpreter that runs Snakemake."""
    put_first(Path(sys.executable).parent)


def inherit_batch(name: str | None) -> str:
    """The batch of this job: the given one, which children then inherit, or the inherited one."""
    if name is not None:
        os.environ[_BATCH] = name
    return os.environ[_BATCH]
