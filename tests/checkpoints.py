"""Hand-made folders of weights: real in form, tiny, and served by the tests' judge only."""

import json
import os
import shlex
import struct
import sys
import time
from pathlib import Path

JUDGE = Path(__file__).with_name("judge.py")
SERVE = (
    f"{shlex.quote(sys.executable)} {shlex.quote(str(JUDGE))} --served-model-name {{name}} "
    "--host {host} --port {port} --request-log requests/{port}.jsonl {options}"
)
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"


def weights(file: Path, bytes_missing: int = 0, tensor: str = "w") -> None:
    """A safetensors file of one small tensor."""
    header = json.dumps({tensor: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    data = struct.pack("<Q", len(header)) + header + bytes(16)
    file.write_bytes(data[: len(data) - bytes_missing])


def checkpoint(folder: Path, template: str | None = TEMPLATE, **changes: object) -> Path:
    """A full checkpoint that was written long ago."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 8192, **changes}))
    if template:
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    weights(folder / "model.safetensors")
    return aged(folder)


def adapter(folder: Path, base: Path, rank: int = 8) -> Path:
    folder.mkdir(parents=True)
    told = {"base_model_name_or_path": str(base), "r": rank, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    weights(folder / "adapter_model.safetensors", tensor="x.lora_A.weight")
    return aged(folder)


def aged(folder: Path) -> Path:
    """Written an hour ago: else it counts as being written."""
    then = time.time() - 3600
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))
    return folder
