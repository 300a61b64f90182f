"""What a process of the workflow hands on to its children by environment."""

import os
import sys
from pathlib import Path

_BATCH = "ARENA_BATCH"


def put_python_first() -> None:
    """Make `python` in a shell line the interpreter that runs Snakemake."""
    here = str(Path(sys.executable).parent)
    if os.environ.get("PATH", "").split(os.pathsep)[0] != here:
        os.environ["PATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PATH")]))


def inherit_batch(name: str | None) -> str:
    """The batch of this job: the given one, which children then inherit, or the inherited one."""
    if name is not None:
        os.environ[_BATCH] = name
    return os.environ[_BATCH]
