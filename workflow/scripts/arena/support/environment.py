"""What a process of the workflow hands on to its children by environment."""

import os
from pathlib import Path


def put_first(folder: Path) -> None:
    """Have commands looked up in `folder` before all others."""
    others = os.environ.get("PATH", "").split(os.pathsep)
    kept = [part for part in others if part not in ("", str(folder))]
    os.environ["PATH"] = os.pathsep.join([str(folder), *kept])
