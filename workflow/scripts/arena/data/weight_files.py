"""The files of a checkpoint: which ones a server loads, whether they are complete, their digest."""

import hashlib
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

from arena.support.coerce import dict_of, text_of
from arena.support.errors import DataError
from arena.support.humanize import counted, listing

# The digest is over the content of small files; for weights and _LARGE, over size and time.
_SMALL = [f"{kind}config.json" for kind in ("", "adapter_", "generation_", "tokenizer_")]
_SMALL += ["chat_template.jinja", "chat_template.json"]
_SMALL += ["added_tokens.json", "special_tokens_map.json"]
_LARGE = ("tokenizer.json", "tokenizer.model")
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin")
_INDEX = {"*.safetensors": "model.safetensors.index.json", "*.bin": "pytorch_model.bin.index.json"}
_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library


def weight_files(folder: Path) -> list[Path]:
    """The files that vLLM would load; DataError where there are none or some are missing."""
    for pattern, index in _INDEX.items():
        if (folder / index).exists():
            named = dict_of(read_json(folder / index).get("weight_map")).values()
            if not named or not all(map(text_of, named)):
                raise DataError(f"{folder / index}: weight_map lists no files; save it again")
            files = [folder / name for name in sorted(set(named))]
            if missing := [file.name for file in files if not file.exists()]:
                raise DataError(
                    f"{folder / index}: {len(missing)} of {counted(len(files), 'shard')} missing: "
                    f"{listing(missing)}; copy or save the checkpoint again"
                )
            return files
        files = sorted(file for file in folder.glob(pattern) if file.name not in _NO_WEIGHTS)
        if files:  # the index is written last: without one, saving may have been interrupted
            of = re.search(r"-of-(\d+)\.", files[0].name)
            if of and len(files) < int(of[1]):
                raise DataError(f"{folder}: {len(files)} of {int(of[1])} shards; save it again")
            return files
    raise DataError(
        f"{folder}: no weights (*.safetensors or *.bin); convert a sharded FSDP or DeepSpeed "
        "checkpoint to Hugging Face's format first"
    )


def read_header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file (tensor -> dtype, shape, data_offsets); {} of a .bin.

    DataError where the file is truncated, as after a killed job, on a full disk or during a copy.
    """
    again = "copy or save the checkpoint again"
    if not (size := file.stat().st_size):
        raise DataError(f"{file}: the file is empty; {again}")
    with file.open("rb") as stream:
        start = stream.read(8)
        if start == b"version ":
            raise DataError(f"{file}: a Git LFS pointer, not the weights; run `git lfs pull`")
        if file.suffix != ".safetensors":
            if start.startswith(b"PK") and not zipfile.is_zipfile(file):
                raise DataError(f"{file}: the file is truncated; {again}")
            return {}
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        try:
            header = json.loads(stream.read(length) if length <= _LARGEST_HEADER else b"")
            tensors = {key: value for key, value in header.items() if key != "__metadata__"}
            end = 8 + length + max((one["data_offsets"][1] for one in tensors.values()), default=0)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise DataError(f"{file}: invalid safetensors header; {again}") from error
    if size != end:
        raise DataError(f"{file}: {size:,} bytes instead of {end:,} as in its header; {again}")
    return tensors


def digest_of(folder: Path, weights: list[Path], base: str = "") -> str:
    """SHA-256 of all that an answer depends on; independent of the folder's path."""
    facts: list[tuple[str, ...]] = [("base", base)]
    small, large = ([f for n in names if (f := folder / n).exists()] for names in (_SMALL, _LARGE))
    for file in [*weights, *large]:
        stat = file.stat()
        facts.append((file.name, str(stat.st_size), str(stat.st_mtime_ns)))
    facts += [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in small]
    return hashlib.sha256(json.dumps(sorted(facts)).encode()).hexdigest()


def read_json(file: Path, *, optional: bool = False) -> dict[str, Any]:
    """The JSON object in a file; {} where an optional file is missing."""
    if optional and not file.exists():
        return {}
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: invalid JSON: {error}; copy or save it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: must be a JSON object, not {type(content).__name__}")
    return content


def read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 at byte {error.start + 1}; save it again") from error
