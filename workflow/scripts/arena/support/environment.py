"""What a process of the workflow hands on to its children by environment."""

import os
import sys
from pathlib import Path


def put_first(folder: Path) -> None:
    """Have commands looked up in `folder` before all others."""
    others = os.environ.get("PATH", "").split(os.pathsep)
    kept = [part for part in others if part not in ("", str(folder))]
    os.environ["PATH"] = os.pathsep.join([str(folder), *kept])


def put_python_first() -> None:
    """Make `python` in a shell line the interpreter that runs Snakemake."""
    put_first(Path(sys.executable).parent)
