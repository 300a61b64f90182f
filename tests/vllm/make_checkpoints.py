"""Checkpoints of the tiny Llama: `.venv-vllm/bin/python make_checkpoints.py TINY FOLDER`.

FOLDER/full-1 and full-2: whole ones of other weights, the second with a chat template of its own
(it writes each message's role twice). FOLDER/lora-1 to lora-3: adapters of TINY, of ranks 4, 8 and
4, the last with that template.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TINY, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|><|{{ message.role }}|>"
    "{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><|assistant|>{% endif %}"
)


def full(number: int, template: str | None = None) -> None:
    folder = FOLDER / f"full-{number}"
    shutil.copytree(TINY, folder)
    torch.manual_seed(number)
    weights = load_file(TINY / "model.safetensors")
    moved = {key: one + 0.02 * torch.randn_like(one) for key, one in weights.items()}
    save_file(moved, folder / "model.safetensors", metadata={"format": "pt"})
    if template:
        (folder / "chat_template.jinja").write_text(template)


def adapter(number: int, rank: int, template: str | None = None) -> None:
    folder = FOLDER / f"lora-{number}"
    folder.mkdir(parents=True)
    torch.manual_seed(100 + number)
    tensors = {}
    for key, one in load_file(TINY / "model.safetensors").items():
        if key.endswith(("q_proj.weight", "v_proj.weight")):
            name = "base_model.model." + key.removesuffix(".weight")
            tensors[f"{name}.lora_A.weight"] = torch.randn(rank, one.shape[1]) * 0.5
            tensors[f"{name}.lora_B.weight"] = torch.randn(one.shape[0], rank) * 0.5
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    told = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank}
    told |= {"base_model_name_or_path": str(TINY), "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    if template:
        (folder / "chat_template.jinja").write_text(template)


full(1)
full(2, TEMPLATE)
adapter(1, 4)
adapter(2, 8)
adapter(3, 4, TEMPLATE)
