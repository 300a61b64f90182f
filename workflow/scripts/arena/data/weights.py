"""A checkpoint: a folder of weights in Hugging Face's format, checked without a GPU.

What vLLM refuses, ignores and reads from which file was looked up in vLLM 0.32
(lora/peft_helper.py, lora/lora_model.py, config/model.py).
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from arena.data.chat_templates import render, turn_end
from arena.data.games import asked_messages, most_tokens
from arena.data.weight_files import digest_of, read_header, read_json, read_text, weight_files
from arena.support.coerce import count_of, dict_of, list_of, number_of, text_of
from arena.support.errors import DataError, Unfinished
from arena.support.humanize import count, listing
from arena.support.names import in_order

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the values of --max-lora-rank that vLLM accepts
# Features of PEFT that vLLM does not implement: any value but false, null and empty.
_UNSUPPORTED = ["use_dora", "lora_bias", "alora_invocation_tokens", "layer_replication"]
_UNSUPPORTED += ["use_bdlora", "use_qalora"]
# Initialisations that still save a plain LoRA; PiSSA, OLoRA and LoftQ also change the base.
_PLAIN_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
# Spellings of the context length in config.json; the smallest counts.
_CONTEXT = ["max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "seq_len"]
_CONTEXT += ["model_max_length", "max_sequence_length", "max_seq_length"]
_ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")
_TOKENS = [f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder of weights that a server can load.

    base, rank: only of an adapter, which takes context, tokens and stops from its base. context:
    tokens, None where no file gives it. template: its own chat template, else its base's. tokens:
    special tokens by the names that templates use (`eos_token`). stops: texts of the tokens that
    end an answer.
    """

    path: Path
    digest: str
    context: int | None
    template: str | None
    tokens: Mapping[str, str]
    stops: tuple[str, ...]
    base: Path | None = None
    rank: int | None = None
    warnings: tuple[str, ...] = ()


def read_checkpoint(
    path: str | Path, base: str | Path | None = None, *, settled_s: float = 60
) -> Checkpoint:
    """Read a folder with config.json, or an adapter's with adapter_config.json.

    base: of an adapter, overrides the path in adapter_config.json. settled_s: a folder is finished
    when its newest file is this old; on a shared disk, shards appear up to a minute apart.
    Unfinished: it is newer than that. DataError: no server could load it.
    """
    folder = Path(path)
    try:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; correct the path in answers.models")
        files = [file for file in folder.iterdir() if file.is_file()]
        age = time.time() - max(file.stat().st_mtime for file in files or [folder])
        if -settled_s < age < settled_s:  # later in the future: a wrong clock
            raise Unfinished(
                f"{folder}: a file changed {max(age, 0):.0f} s ago, so the checkpoint may be "
                f"incomplete; the next run uses it once nothing changes for {settled_s:.0f} s"
            )
        if (folder / "adapter_config.json").exists():
            return _adapter_checkpoint(folder, base, settled_s)
        return _full_checkpoint(folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error


def _full_checkpoint(folder: Path) -> Checkpoint:
    if not (folder / "config.json").exists():
        raise DataError(
            f"{folder}: it has neither config.json nor adapter_config.json; use a folder written "
            "by save_pretrained()"
        )
    weights = weight_files(folder)
    for file in weights:
        read_header(file)
    tokenizer = read_json(folder / "tokenizer_config.json", optional=True)
    config, tokens = read_json(folder / "config.json"), _special_tokens(folder, tokenizer)
    return Checkpoint(
        path=folder,
        digest=digest_of(folder, weights),
        context=context_length(config, tokenizer),
        template=_own_template(folder, tokenizer),
        tokens=tokens,
        stops=_stops(folder, config, tokenizer, tokens),
    )


def _adapter_checkpoint(
    folder: Path, given_base: str | Path | None, settled_s: float
) -> Checkpoint:
    config = read_json(file := folder / "adapter_config.json")
    rank = _rank(file, config)
    weights = [folder / name for name in _ADAPTER if (folder / name).exists()][:1]
    if not weights:
        raise DataError(f"{folder}: no {' or '.join(_ADAPTER)}; save or copy the adapter again")
    header = read_header(weights[0])
    trained_on = text_of(config.get("base_model_name_or_path"))
    if not (given_base or trained_on):
        raise DataError(f"{file}: base_model_name_or_path is missing; set answers.base")
    path = Path(given_base or trained_on or "")
    key = "answers.base" if given_base else f"{file}: base_model_name_or_path"
    if not path.is_dir():
        raise DataError(f"{key}: no folder {path}; set answers.base to the base's folder")
    if (path / "adapter_config.json").exists():
        raise DataError(f"{key}: {path} is an adapter; merge it into its own base model first")
    base = read_checkpoint(path, settled_s=settled_s)
    _check_base(weights[0], header, base.path)
    other = trained_on and Path(trained_on).name != path.name
    tokenizer = read_json(folder / "tokenizer_config.json", optional=True)
    return replace(
        base,
        path=folder,
        digest=digest_of(folder, weights, base.digest),
        template=_own_template(folder, tokenizer) or base.template,
        base=path,
        rank=rank,
        warnings=(f"it was trained on {trained_on} but is served on {path}",) if other else (),
    )


def _rank(file: Path, config: dict[str, Any]) -> int:
    """The highest rank of an adapter; DataError for what vLLM cannot serve."""
    refused = [key for key in _UNSUPPORTED if config.get(key)]
    if any(one not in ("classifier", "score") for one in list_of(config.get("modules_to_save"))):
        refused.append("modules_to_save")
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower() not in _PLAIN_INITS:
        refused.append("init_lora_weights")
    only = {"bias": "none", "peft_type": "LORA"}
    refused += [key for key, value in only.items() if config.get(key, value) != value]
    if refused:
        what = ", ".join(f"{key}={json.dumps(config[key])}" for key in refused)
        raise DataError(f"{file}: vLLM does not support {what}; merge the adapter into its base")
    ranks = [config.get("r"), *dict_of(config.get("rank_pattern")).values()]
    if not all(map(count_of, ranks)):
        raise DataError(f"{file}: r and rank_pattern must be positive integers, not {ranks}")
    if max(ranks) > RANKS[-1]:
        raise DataError(
            f"{file}: rank {max(ranks)} is above {RANKS[-1]}, vLLM's maximum; merge the adapter "
            "into its base"
        )
    return max(ranks)


def allowed_rank(ranks: Iterable[int]) -> int:
    highest = max(ranks)
    return next(allowed for allowed in RANKS if allowed >= highest)


def _check_base(file: Path, header: dict[str, Any], base: Path) -> None:
    """DataError where vLLM does not support an adapter's tensors or they are for another base."""
    whole = [key for key in header if "lora_" not in key and not key.endswith(".base_layer.weight")]
    if whole:
        raise DataError(
            f"{file}: vLLM does not support whole layers in an adapter ({listing(whole)}); merge "
            "the adapter into its base"
        )
    config = read_json(base / "config.json")
    hidden = dict_of(config.get("text_config") or config).get("hidden_size")
    # Image encoders have a q_proj of another size, so one match is enough.
    shapes = [one.get("shape") for key, one in header.items() if ".q_proj.lora_A." in key]
    inputs = {str(size) for shape in shapes for size in list_of(shape)[1:]}  # [rank, input]
    if inputs and hidden and str(hidden) not in inputs:
        raise DataError(
            f"{file}: made for a hidden_size of {', '.join(sorted(inputs))}, but that of {base} is "
            f"{hidden}; set answers.base to the model it was trained on"
        )


def same_weights(checkpoints: Mapping[str, Checkpoint]) -> list[tuple[str, ...]]:
    names: dict[str, list[str]] = {}
    for name in sorted(checkpoints, key=in_order):
        names.setdefault(checkpoints[name].digest, []).append(name)
    return [tuple(same) for same in names.values() if len(same) > 1]


def context_length(config: dict[str, Any], tokenizer: dict[str, Any]) -> int | None:
    """The context length that vLLM serves.

    A sliding window does not limit it. The tokenizer's length, often that of the training, counts
    only where config.json has none.
    """
    text = dict_of(config.get("text_config")) or config
    lengths = [n for key in _CONTEXT if (n := count_of(text.get(key)))]
    if not lengths:
        return count_of(tokenizer.get("model_max_length")) or None  # 10**30: unknown
    length = count_of(text.get("model_max_length")) or min(lengths)  # correct in Command-R's
    rope = dict_of(text.get("rope_parameters") or text.get("rope_scaling"))
    kind = rope.get("rope_type", rope.get("type"))
    if kind in ("longrope", "su"):
        key = "original_max_position_embeddings"
        return count_of(text.get(key)) or count_of(rope.get(key)) or length
    # For the other kinds, and in Gemma 3, the length already includes the factor.
    if kind in ("linear", "dynamic") and "gemma3" not in str(text.get("model_type")):
        return int(length * (number_of(rope.get("factor")) or 1))
    return length


def _special_tokens(folder: Path, tokenizer: dict[str, Any]) -> dict[str, str]:
    """Special tokens by name; a token is a string or an object with `content`."""
    written = read_json(folder / "special_tokens_map.json", optional=True) | tokenizer
    texts = {key: dict_of(one).get("content", one) for key, one in written.items()}
    return {key: text for key in _TOKENS if (text := text_of(texts.get(key)))}


class _Tokenizer(msgspec.Struct):
    """The part of tokenizer.json that is decoded, without the vocabulary of 10 MB."""

    added_tokens: list[dict[str, Any]] = []


def _stops(
    folder: Path, config: dict[str, Any], tokenizer: dict[str, Any], tokens: dict[str, str]
) -> tuple[str, ...]:
    """Texts of the tokens at which vLLM ends an answer: the eos of tokenizer and config."""
    config = dict_of(config.get("text_config")) | config
    if (file := folder / "generation_config.json").exists():
        config = read_json(file)
    ids = config.get("eos_token_id")
    texts: dict[str, str | None] = {}
    if (file := folder / "tokenizer.json").exists():
        try:
            added = msgspec.json.decode(file.read_bytes(), type=_Tokenizer).added_tokens
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}: invalid tokenizer: {error}; copy or save it again") from error
        texts = {str(one.get("id")): text_of(one.get("content")) for one in added}
    decoder = dict_of(tokenizer.get("added_tokens_decoder"))
    texts |= {key: text_of(dict_of(one).get("content")) for key, one in decoder.items()}
    ids = [one for one in (ids if isinstance(ids, list) else [ids]) if type(one) is int]
    stops = [tokens.get("eos_token"), *(texts.get(str(one)) or f"token {one}" for one in ids)]
    return tuple(dict.fromkeys(stop for stop in stops if stop))


def _own_template(folder: Path, tokenizer: dict[str, Any]) -> str | None:
    if (file := folder / "chat_template.jinja").exists():
        return text_of(read_text(file))
    written = read_json(folder / "chat_template.json", optional=True).get("chat_template")
    written = written or tokenizer.get("chat_template")
    if isinstance(written, list):  # the one without tools is `default`
        written = {dict_of(one).get("name"): dict_of(one).get("template") for one in written}
    return text_of(dict_of(written).get("default", written))


def checkpoint_warnings(
    checkpoint: Checkpoint,
    template: str | None,
    sampling: Mapping[str, Any],
    longest: int = 0,
    system_prompt: str | None = None,
) -> list[str]:
    """What may spoil the answers of a checkpoint, one sentence each.

    template: replaces its own. sampling: fields of the requests. longest: prompt, in tokens.
    DataError where there is no template, or where it fails.
    """
    if not (template := template or checkpoint.template):
        raise DataError(
            f"{checkpoint.path}: no chat template, as in base models; set answers.chat_template "
            "to a file"
        )
    asked, warnings = asked_messages("?", system_prompt), list(checkpoint.warnings)
    where = f"chat template of {checkpoint.path}"
    prompt = render(template, asked, checkpoint.tokens, where=where)
    if (system_prompt or "").strip() not in prompt:
        warnings.append("the chat template ignores answers.system_prompt")
    stops, end = checkpoint.stops, turn_end(template, checkpoint.tokens)
    own_stops = sampling.keys() & {"stop", "stop_token_ids"}
    if end is not None and not own_stops and not any(stop in end for stop in stops):
        warnings.append(
            f"the chat template ends an answer with {end or 'nothing'!r}, but generation stops at "
            f"{listing([repr(stop) for stop in stops]) or 'no token'}, so answers may never stop; "
            "correct eos_token_id in generation_config.json or set answers.sampling.stop_token_ids"
        )
    max_tokens = most_tokens(sampling)
    if (context := checkpoint.context) and max_tokens + longest > context:
        warnings.append(
            f"max_tokens {max_tokens:,} plus the longest question ({count(longest)} tokens) exceed "
            f"the context of {context:,} tokens, so vLLM truncates or refuses such answers; lower "
            f"answers.max_tokens to {max(context - longest, 0):,}"
        )
    return warnings
