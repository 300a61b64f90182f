"""Snakemake's marks on outputs that it has begun to make and not seen finished.

`.snakemake/incomplete/` holds a record for each, from the submission of its job on and also after
the main process has died.
"""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path


def unfinished_outputs(workdir: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each output, as Snakemake names it, and the record of it."""
    folder = workdir / ".snakemake" / "incomplete"
    for record in folder.rglob("*") if folder.is_dir() else ():
        if (output := _output(record.relative_to(folder))) is not None:
            yield output, record


def _output(record: Path) -> Path | None:
    """The output file of a record: its name in URL-safe base64, long ones in pieces that begin with
    @.
    """
    code = "".join(part.removeprefix("@") for part in record.parts)
    try:
        return Path(base64.urlsafe_b64decode(code).decode())
    except (binascii.Error, UnicodeDecodeError):
        return None
