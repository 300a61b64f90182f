"""Folders of weights, read before a GPU is used: what is known of them and what is refused."""

import json
import os
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from arena.data.weights import (
    Checkpoint,
    allowed_rank,
    checkpoint_warnings,
    read_checkpoint,
    same_weights,
)
from arena.support.errors import DataError, Unfinished
from test_chat_templates import CHATML, TOKENS

OLD = 1_700_000_000  # seconds; when everything in these folders was written


def tensors(shapes: dict[str, list[int]], missing: int = 0) -> bytes:
    """A safetensors file of zeros in half precision; `missing` bytes are cut off its end."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * shape[1]
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end - missing)


def write(folder: Path, files: dict[str, Any], at: float = OLD) -> Path:
    """A folder of files: bytes and text as they are, anything else as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        file = folder / name
        if content is None:
            file.unlink()
            continue
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(file, (at, at))
    return folder


FULL: dict[str, Any] = {
    "config.json": {"hidden_size": 8, "max_position_embeddings": 4096, "eos_token_id": 7},
    "generation_config.json": {"eos_token_id": [2, 7]},
    "tokenizer_config.json": {
        "eos_token": {"content": "</s>", "lstrip": False},
        "bos_token": "<s>",
        "model_max_length": 10**30,
        "added_tokens_decoder": {"7": {"content": "<|im_end|>"}},
    },
    "tokenizer.json": {"added_tokens": [{"id": 2, "content": "</s>"}], "model": {"vocab": {}}},
    "chat_template.jinja": CHATML,
    "model.safetensors": tensors({"model.norm": [2, 4]}),
}
LORA = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
ADAPTER_CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
ADAPTER: dict[str, Any] = {
    "adapter_config.json": ADAPTER_CONFIG,
    "adapter_model.safetensors": tensors({LORA.format("A"): [8, 8], LORA.format("B"): [8, 8]}),
}


def full(tmp_path: Path, **changed: Any) -> Path:
    return write(tmp_path / "full", FULL | changed)


def adapter(tmp_path: Path, config: dict[str, Any] | None = None, **changed: Any) -> Path:
    named = {"base_model_name_or_path": str(full(tmp_path))}
    files = ADAPTER | {"adapter_config.json": ADAPTER_CONFIG | named | (config or {})} | changed
    return write(tmp_path / "adapter", files)


def refused(match: str, *folders: Path, kind: type[DataError] = DataError) -> str:
    """The error of a checkpoint, and of a base for it, that cannot be read."""
    with pytest.raises(kind, match=match) as caught:
        read_checkpoint(*folders)
    return str(caught.value)


def test_a_full_checkpoint(tmp_path: Path) -> None:
    found = read_checkpoint(full(tmp_path))
    assert (found.base, found.rank) == (None, None)
    assert found.context == 4096
    assert found.template == CHATML
    assert found.tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    assert found.stops == ("</s>", "<|im_end|>")


def test_an_adapter_is_served_by_its_base(tmp_path: Path) -> None:
    path = adapter(tmp_path, {"rank_pattern": {"q_proj": 24}})
    found = read_checkpoint(path)
    assert (found.base, found.rank) == (tmp_path / "full", 24)
    assert (found.context, found.template) == (4096, CHATML)
    assert found.stops == ("</s>", "<|im_end|>")
    assert found.warnings == ()
    # vLLM reads nothing but the template from an adapter, and that only where it is passed on
    own = {"tokenizer_config.json": {"eos_token": "<own>", "chat_template": "own"}}
    found = read_checkpoint(write(path, own))
    assert (found.template, found.stops) == ("own", ("</s>", "<|im_end|>"))


def test_another_base_than_the_named_one_is_a_remark(tmp_path: Path) -> None:
    path = adapter(tmp_path, {"base_model_name_or_path": "org/other"})
    found = read_checkpoint(path, tmp_path / "full")
    assert "org/other" in found.warnings[0] and str(tmp_path / "full") in found.warnings[0]
    path = adapter(tmp_path, {"base_model_name_or_path": "org/full"})
    assert read_checkpoint(path, tmp_path / "full").warnings == ()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"config.json": None}, "config.json"),
        ({"config.json": "[" * 9999}, "config.json: invalid JSON"),
        ({"config.json": "[]"}, "config.json"),
        ({"chat_template.jinja": b"\xff"}, "chat_template.jinja"),
        ({"tokenizer.json": '{"added_tokens": 3}'}, "tokenizer.json"),
        ({"tokenizer.json": b'{"added_tokens": [{"content": "\xff"}]}'}, "tokenizer.json"),
        ({"model.safetensors": None}, "no weights"),
        ({"model.safetensors": None, "optimizer.bin": b"x"}, "no weights"),
        ({"model.safetensors": b""}, "model.safetensors.*empty"),
        ({"model.safetensors": struct.pack("<Q", 9999) + b"[" * 9999}, "invalid safetensors"),
        ({"model.safetensors": b"<!DOCTYPE html>"}, "model.safetensors"),
        ({"model.safetensors": b"version https://git-lfs"}, "git lfs pull"),
        ({"model.safetensors": tensors({"a": [2, 4]}, missing=1)}, "model.safetensors"),
        ({"model.safetensors": tensors({"a": [2, 4]}) + b"x"}, "model.safetensors"),
        ({"model.safetensors.index.json": {"weight_map": {}}}, "weight_map"),
        ({"model.safetensors.index.json": {"weight_map": {"a": "m-1", "b": "m-2"}}}, "m-1, m-2"),
        ({"model.safetensors": None, "model-00001-of-00002.safetensors": b"x"}, "1 of 2 shards"),
        ({"model.safetensors": None, "pytorch_model.bin": b"PK\3\4cut"}, "pytorch_model.bin"),
    ],
)
def test_what_no_server_could_use_is_refused(tmp_path, changed, named):
    assert str(tmp_path / "full") in refused(named, write(full(tmp_path), changed))


def test_whole_shards_and_whole_bin_files_pass(tmp_path: Path) -> None:
    shards = {f"model-0000{n}-of-00002.safetensors": tensors({"a": [1, 1]}) for n in (1, 2)}
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    # what the index does not name is not loaded, so it may be torn
    write(full(tmp_path), shards | {"model.safetensors.index.json": index, "model.safetensors": ""})
    read_checkpoint(tmp_path / "full")
    write(tmp_path / "full", dict.fromkeys(["model.safetensors", "model.safetensors.index.json"]))
    read_checkpoint(tmp_path / "full")
    write(tmp_path / "full", dict.fromkeys(shards))
    with zipfile.ZipFile(tmp_path / "full" / "pytorch_model.bin", "w") as archive:
        archive.writestr("data.pkl", b"")
    write(tmp_path / "full", {"training_args.bin": b""})
    read_checkpoint(tmp_path / "full", settled_s=0)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"r": 1024}, "1024.*512.*merge"),
        ({"rank_pattern": {"q_proj": 640}}, "640"),
        ({"r": 0}, "rank_pattern"),
        ({"modules_to_save": [["lm_head"]]}, "modules_to_save.*lm_head"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save.*lm_head"),
        ({"bias": "all"}, "bias"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"base_model_name_or_path": None}, "base_model_name_or_path"),
        ({"base_model_name_or_path": "org/elsewhere"}, "org/elsewhere.*answers.base"),
    ],
)
def test_adapters_that_vllm_refuses(tmp_path: Path, config: dict[str, Any], named: str) -> None:
    assert "adapter_config.json" in refused(named, adapter(tmp_path, config))


def test_harmless_settings_of_adapters_pass(tmp_path: Path) -> None:
    config = {"use_dora": False, "modules_to_save": None, "init_lora_weights": "gaussian"}
    assert read_checkpoint(adapter(tmp_path, config)).rank == 8
    assert read_checkpoint(adapter(tmp_path, {"modules_to_save": ["score"]})).rank == 8


def test_the_weights_of_an_adapter(tmp_path: Path) -> None:
    path = adapter(tmp_path)
    saved = ADAPTER["adapter_model.safetensors"]
    write(path, {"adapter_model.safetensors": saved[:-1]})
    refused(r"adapter_model\.safetensors", path)
    write(path, {"adapter_model.safetensors": tensors({"model.embed_tokens.weight": [2, 8]})})
    refused(r"model\.embed_tokens\.weight", path)
    write(path, {"adapter_model.safetensors": None})
    refused(r"adapter_model\.bin", path)
    assert read_checkpoint(write(path, {"adapter_model.bin": b"\x80\x02"})).rank == 8


def test_a_base_that_does_not_fit(tmp_path: Path) -> None:
    path = adapter(tmp_path)
    other = write(tmp_path / "other", FULL | {"config.json": {"hidden_size": 16}})
    refused(r"adapter_model.safetensors.* 8, .*other is 16", path, other)
    write(other, {"config.json": {"text_config": {"hidden_size": 8}, "hidden_size": 16}})
    assert read_checkpoint(path, other).base == other
    refused("is an adapter", path, path)
    refused(r"answers\.base.*nowhere", path, tmp_path / "nowhere")
    refused(r"nowhere: no such folder", tmp_path / "nowhere")


def test_a_folder_that_is_still_being_written_is_left_for_later(tmp_path, monkeypatch) -> None:
    path, now = adapter(tmp_path), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    os.utime(path / "adapter_model.safetensors", (now - 30, now - 30))
    refused("adapter", path, kind=Unfinished)
    assert read_checkpoint(path, settled_s=20).rank == 8
    os.utime(path / "adapter_model.safetensors", (now + 9000, now + 9000))  # a wrong clock
    assert read_checkpoint(path).rank == 8
    os.utime(tmp_path / "full" / "config.json", (now, now))
    refused("full", path, kind=Unfinished)
    (tmp_path / "empty").mkdir()
    os.utime(tmp_path / "empty", (now, now))
    refused("empty", tmp_path / "empty", kind=Unfinished)
    os.utime(tmp_path / "empty", (OLD, OLD))
    refused(r"config\.json", tmp_path / "empty")


def test_the_digest_follows_what_an_answer_depends_on(tmp_path: Path) -> None:
    path = full(tmp_path)
    digest = read_checkpoint(path).digest
    write(path, {"README.md": "of no meaning", "trainer_state.json": {}})
    path = path.rename(tmp_path / "moved")
    assert read_checkpoint(path).digest == digest
    changes: list[tuple[dict[str, Any], float]] = [
        ({"model.safetensors": tensors({"model.norm": [2, 5]})}, OLD),  # another size
        ({"model.safetensors": FULL["model.safetensors"]}, OLD + 1),  # another time
        ({"tokenizer.json": FULL["tokenizer.json"]}, OLD + 1),
        ({"config.json": FULL["config.json"] | {"hidden_size": 9}}, OLD),  # another content
        ({"generation_config.json": {"eos_token_id": [2, 8]}}, OLD),
        ({"tokenizer_config.json": {"eos_token": "</t>"}}, OLD),
        ({"chat_template.jinja": CHATML.upper()}, OLD),
        ({"chat_template.json": {}}, OLD),
    ]
    digests = [read_checkpoint(write(path, change, at)).digest for change, at in changes]
    assert len({digest, *digests}) == 1 + len(changes)
    (path / "chat_template.json").unlink()
    assert read_checkpoint(write(path, FULL, OLD)).digest == digest
    write(path, {"config.json": FULL["config.json"]}, OLD + 9)  # only the time of a small file
    assert read_checkpoint(path).digest == digest


def test_the_digest_of_an_adapter_holds_that_of_its_base(tmp_path: Path) -> None:
    path = adapter(tmp_path)
    digest = read_checkpoint(path).digest
    write(tmp_path / "full", {"generation_config.json": {}})
    assert read_checkpoint(path).digest != digest
    assert read_checkpoint(adapter(tmp_path)).digest == digest


def most(tokens: int, **more: Any) -> dict[str, Any]:
    return {"max_position_embeddings": tokens, **more}


@pytest.mark.parametrize(
    ("config", "limit", "context"),
    [
        ({"n_positions": 1024}, 512, 1024),  # vLLM does not look at the tokenizer's
        (most(8192, max_seq_len=2048, sliding_window=128), 1, 2048),
        (most(8192, model_max_length=131072), 1, 131072),
        ({"text_config": most(32768)}, 1, 32768),
        (most(4096, rope_scaling={"type": "linear", "factor": 4.0}), 1, 16384),
        (most(131072, rope_parameters={"rope_type": "llama3", "factor": 8.0}), 1, 131072),
        (most(131072, rope_scaling={"type": "longrope"}, original_max_position_embeddings=4), 1, 4),
        ({}, 2048, 2048),
        ({}, 10**30, None),
    ],
)
def test_the_context_length(tmp_path, config, limit, context):
    changed = {"config.json": config, "tokenizer_config.json": {"model_max_length": limit}}
    assert read_checkpoint(full(tmp_path, **changed)).context == context


TOOLS = {"name": "tool_use", "template": "tools"}


def by_tokenizer(template: str | list[dict[str, str]]) -> dict[str, Any]:
    return {"tokenizer_config.json": {"chat_template": template}}


@pytest.mark.parametrize(
    ("files", "template"),
    [
        ({"chat_template.json": {"chat_template": "json"}}, "json"),
        (by_tokenizer("text"), "text"),
        (by_tokenizer([TOOLS, {"name": "default", "template": "listed"}]), "listed"),
        (by_tokenizer([TOOLS]), None),
        (by_tokenizer("text") | {"chat_template.jinja": "file"}, "file"),
        ({}, None),
    ],
)
def test_where_the_template_is(tmp_path: Path, files: dict[str, Any], template: str | None) -> None:
    path = full(tmp_path)
    (path / "chat_template.jinja").unlink()
    assert read_checkpoint(write(path, files)).template == template


@pytest.mark.parametrize(
    ("generation", "stops"),
    [
        ({"eos_token_id": 7}, ("</s>", "<|im_end|>")),
        ({"eos_token_id": [7, 99]}, ("</s>", "<|im_end|>", "token 99")),
        ({}, ("</s>",)),  # the config's own eos is not asked where a generation config is
        (None, ("</s>", "<|im_end|>")),
    ],
)
def test_stop_tokens(tmp_path, generation, stops):
    path = write(full(tmp_path), {"generation_config.json": generation})
    assert read_checkpoint(path).stops == stops


def test_allowed_ranks() -> None:
    assert [allowed_rank([rank]) for rank in (1, 2, 8, 9, 256, 257, 320, 321, 512)] == [
        *(1, 8, 8, 16, 256, 320, 320, 512, 512)
    ]
    assert allowed_rank([8, 65, 16]) == 128


def checkpoint(**changed: Any) -> Checkpoint:
    known: dict[str, Any] = {"path": Path("some/folder"), "digest": "d", "context": 4096}
    known |= {"template": CHATML, "tokens": TOKENS, "stops": ("<|im_end|>",)}
    return Checkpoint(**known | changed)


def warnings_of(known, template, most, longest=0, system="", **sampling) -> list[str]:
    sampling |= {"max_tokens": most}
    return checkpoint_warnings(known, template, sampling, longest, system)


def test_no_warnings() -> None:
    assert warnings_of(checkpoint(), None, 4000, 96, system=" Be brief. ") == []
    assert warnings_of(checkpoint(context=None), None, 10**6) == []
    trims = CHATML.replace("m.content", "m.content | trim")
    assert warnings_of(checkpoint(), trims, 1, system=" Be brief. ") == []


def test_warnings() -> None:
    (never,) = warnings_of(checkpoint(stops=("</s>",)), None, 1)
    assert "<|im_end|>" in never and "</s>" in never and "eos_token_id" in never
    assert warnings_of(checkpoint(stops=()), None, 1)
    assert warnings_of(checkpoint(stops=()), None, 1, stop_token_ids=[7]) == []
    given = "{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    assert warnings_of(checkpoint(stops=("</s>",)), given, 1) == []
    (long,) = warnings_of(checkpoint(), None, 4000, 97)
    assert "4,096" in long and "3,999" in long
    ignores = CHATML.replace("in messages", "in messages if m.role != 'system'")
    (ignored,) = warnings_of(checkpoint(), ignores, 1, system="Be brief.")
    assert "system_prompt" in ignored
    assert warnings_of(checkpoint(), ignores, 1) == []
    assert warnings_of(checkpoint(warnings=("other base",)), None, 1) == ["other base"]


def test_a_template_is_needed_and_must_work() -> None:
    with pytest.raises(DataError, match=r"some/folder.*answers\.chat_template"):
        warnings_of(checkpoint(template=None), None, 1)
    assert warnings_of(checkpoint(template=None), CHATML, 1) == []
    with pytest.raises(DataError, match="some/folder"):
        warnings_of(checkpoint(), "{{ nothing.there }}", 1)
    gemma = "{{ raise_exception('no system role') if messages[0].role == 'system' }}" + CHATML
    assert warnings_of(checkpoint(), gemma, 1) == []
    with pytest.raises(DataError, match="no system role"):
        warnings_of(checkpoint(), gemma, 1, system="Be brief.")


def test_names_that_share_their_weights(tmp_path: Path) -> None:
    known = {"m10": "x", "m9": "x", "other": "y"}
    known = {name: checkpoint(digest=digest) for name, digest in known.items()}
    assert same_weights(known) == [("m9", "m10")]
    path = full(tmp_path)
    (tmp_path / "latest").symlink_to(path)
    linked = {"a": read_checkpoint(path), "b": read_checkpoint(tmp_path / "latest")}
    assert same_weights(linked) == [("a", "b")]
