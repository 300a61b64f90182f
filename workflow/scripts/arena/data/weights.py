"""A checkpoint: a folder of weights as Hugging Face writes it, as far as it is known without a GPU.

What vLLM refuses, ignores and takes from where was read in vLLM 0.32 (lora/peft_helper.py,
lora/lora_model.py, config/model.py), templates in transformers 5 (utils/chat_template_utils.py).
"""

import hashlib
import json
import re
import struct
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import TemplateError, ext, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from arena.support.coerce import count_of, dict_of, list_of, number_of, text_of
from arena.support.errors import ConfigError, DataError, Unfinished
from arena.support.humanize import count, counted, listing
from arena.support.names import check_model_name, in_order

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of --max-lora-rank; vLLM knows no others
# Features of PEFT that vLLM does not implement: any value but false, null and empty.
_UNSERVED = ["use_dora", "lora_bias", "alora_invocation_tokens", "layer_replication"]
_UNSERVED += ["use_bdlora", "use_qalora"]
# These begin with other numbers, but save a plain LoRA; PiSSA, OLoRA, LoftQ change the base too.
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
# Spellings of the context length in config.json; the smallest counts.
_CONTEXT = ["max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "seq_len"]
_CONTEXT += ["model_max_length", "max_sequence_length", "max_seq_length"]
# For the digest the small files are read whole; of weights and _LARGE size and time are enough.
_SMALL = [f"{kind}config.json" for kind in ("", "adapter_", "generation_", "tokenizer_")]
_SMALL += ["chat_template.jinja", "chat_template.json"]
_SMALL += ["added_tokens.json", "special_tokens_map.json"]
_LARGE = ("tokenizer.json", "tokenizer.model")
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin")
_INDEX = {"*.safetensors": "model.safetensors.index.json", "*.bin": "pytorch_model.bin.index.json"}
_ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")
_LARGEST_HEADER = 100_000_000  # bytes; safetensors itself reads no larger one
_TOKENS = [f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
_ANSWER = "Text of an answer."
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder of weights that a server can be given.

    base, rank: of an adapter, else None. context: tokens, None where no file says it. template:
    its own chat template, else its base's. tokens: special tokens by the names that templates
    know (`eos_token`). stops: texts of the tokens that end an answer. remarks: what to look at.
    An adapter is served by its base: context, tokens and stops are the base's.
    """

    path: Path
    digest: str
    context: int | None
    template: str | None
    tokens: Mapping[str, str]
    stops: tuple[str, ...]
    base: Path | None = None
    rank: int | None = None
    remarks: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "adapter" if self.base else "full"


def read_checkpoint(
    path: str | Path, base: str | Path | None = None, *, settled_s: float = 60
) -> Checkpoint:
    """Read a folder with config.json, or an adapter's with adapter_config.json.

    base: of an adapter, in place of the path in adapter_config.json. settled_s: age of its newest
    file from which on a folder counts as written; on a shared disk a minute passes between shards.
    Raises Unfinished for a younger one, DataError for one that no server could use.
    """
    folder = Path(path)
    try:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; correct it under answers.models")
        files = [file for file in folder.iterdir() if file.is_file()]
        age = time.time() - max(file.stat().st_mtime for file in files or [folder])
        if -settled_s < age < settled_s:  # further ahead is a wrong clock, not a writer
            raise Unfinished(
                f"{folder}: its newest file is {max(age, 0):.0f} s old, so it may still be being "
                f"written; the next run takes it when nothing changed for {settled_s:.0f} s"
            )
        if (folder / "adapter_config.json").exists():
            return _adapter(folder, base, settled_s)
        return _full(folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error


def _full(folder: Path) -> Checkpoint:
    if not (folder / "config.json").exists():
        raise DataError(
            f"{folder}: neither config.json nor adapter_config.json; give a folder as "
            "save_pretrained() writes it"
        )
    weights = _weights(folder)
    for file in weights:
        _check_whole(file)
    tokenizer = _json(folder / "tokenizer_config.json", optional=True)
    tokens = _special_tokens(folder, tokenizer)
    return Checkpoint(
        path=folder,
        digest=_digest(folder, weights),
        context=_context(_json(folder / "config.json"), tokenizer),
        template=_own_template(folder, tokenizer),
        tokens=tokens,
        stops=_stops(folder, tokenizer, tokens),
    )


def _adapter(folder: Path, base: str | Path | None, settled_s: float) -> Checkpoint:
    config = _json(file := folder / "adapter_config.json")
    rank = _rank(file, config)
    weights = [folder / name for name in _ADAPTER if (folder / name).exists()][:1]
    if not weights:
        raise DataError(f"{folder}: no {' or '.join(_ADAPTER)}; save or copy the adapter again")
    header = _check_whole(weights[0])
    named = text_of(config.get("base_model_name_or_path"))
    if not (base or named):
        raise DataError(f"{file}: base_model_name_or_path is missing; give answers.base")
    under, key = Path(base or named or ""), "answers.base" if base else f"{file}: its base"
    if not under.is_dir():
        raise DataError(f"{key}: no folder {under}; give the folder of its base as answers.base")
    if (under / "adapter_config.json").exists():
        raise DataError(f"{key}: {under} is an adapter itself; merge that one into its own base")
    below = read_checkpoint(under, settled_s=settled_s)
    _check_fit(weights[0], header, below.path)
    tokenizer = _json(folder / "tokenizer_config.json", optional=True)
    other = named and Path(named).name != below.path.name
    return Checkpoint(
        path=folder,
        digest=_digest(folder, weights, below.digest),
        context=below.context,
        template=_own_template(folder, tokenizer) or below.template,
        tokens=below.tokens,
        stops=below.stops,
        base=below.path,
        rank=rank,
        remarks=(f"trained on {named}, is served on {below.path}",) if other else (),
    )


def _rank(file: Path, config: dict[str, Any]) -> int:
    """The greatest rank of an adapter; DataError for what vLLM cannot serve."""
    refused = [key for key in _UNSERVED if config.get(key)]
    if set(list_of(config.get("modules_to_save"))) - {"classifier", "score"}:
        refused.append("modules_to_save")
    if config.get("bias", "none") != "none":
        refused.append("bias")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower() not in _PLAIN_STARTS:
        refused.append("init_lora_weights")
    if config.get("peft_type", "LORA") != "LORA":
        refused.append("peft_type")
    if refused:
        what = ", ".join(f"{key}={json.dumps(config[key])}" for key in refused)
        raise DataError(f"{file}: vLLM cannot serve {what}; merge the adapter into its base")
    ranks = [config.get("r"), *dict_of(config.get("rank_pattern")).values()]
    if not all(map(count_of, ranks)):
        raise DataError(f"{file}: r and rank_pattern must be whole numbers from 1, not {ranks}")
    if max(ranks) > RANKS[-1]:
        raise DataError(
            f"{file}: rank {max(ranks)} is above {RANKS[-1]}, the greatest that vLLM serves; "
            "merge the adapter into its base"
        )
    return max(ranks)


def allowed_rank(ranks: Iterable[int]) -> int:
    """The smallest --max-lora-rank for all these ranks, at least one; DataError above 512."""
    if (rank := max(ranks)) > RANKS[-1]:
        raise DataError(f"rank {rank} is above {RANKS[-1]}, vLLM's greatest; merge the adapter")
    return next(allowed for allowed in RANKS if allowed >= rank)


def _weights(folder: Path) -> list[Path]:
    """The files that vLLM would load, those named by an index whether they are there or not."""
    for pattern, index in _INDEX.items():
        if (folder / index).exists():
            named = dict_of(_json(folder / index).get("weight_map")).values()
            if not named or not all(map(text_of, named)):
                raise DataError(f"{folder / index}: weight_map names no files; save it again")
            files = [folder / name for name in sorted(set(named))]
            if missing := [file.name for file in files if not file.exists()]:
                raise DataError(
                    f"{folder / index}: {len(missing)} of {counted(len(files), 'shard')} missing: "
                    f"{listing(missing)}; copy or save the checkpoint again"
                )
            return files
        files = sorted(file for file in folder.glob(pattern) if file.name not in _NO_WEIGHTS)
        if files:  # shards without an index: the writer of the index, which is last, was killed
            of = re.search(r"-of-(\d+)\.", files[0].name)
            if of and len(files) < int(of[1]):
                raise DataError(f"{folder}: {len(files)} of {int(of[1])} shards; save it again")
            return files
    raise DataError(
        f"{folder}: no weights (*.safetensors or *.bin); a sharded checkpoint of FSDP or DeepSpeed "
        "must be converted to Hugging Face's format first"
    )


def _check_whole(file: Path) -> dict[str, Any]:
    """The header of a safetensors file (tensor -> dtype, shape, data_offsets), {} of a .bin.

    DataError where bytes are missing, which a killed job, a full disk or a running copy leaves.
    """
    again = "copy or save the checkpoint again"
    if not (size := file.stat().st_size):
        raise DataError(f"{file}: empty; {again}")
    with file.open("rb") as stream:
        start = stream.read(8)
        if start == b"version ":
            raise DataError(f"{file}: a Git LFS pointer, not the weights: run `git lfs pull`")
        if file.suffix != ".safetensors":
            if start.startswith(b"PK") and not zipfile.is_zipfile(file):
                raise DataError(f"{file}: its end is missing; {again}")
            return {}
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        try:
            header = json.loads(stream.read(length) if length <= _LARGEST_HEADER else b"")
            tensors = {key: value for key, value in header.items() if key != "__metadata__"}
            end = 8 + length + max((one["data_offsets"][1] for one in tensors.values()), default=0)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise DataError(f"{file}: not a whole header of safetensors; {again}") from error
    if size != end:
        raise DataError(f"{file}: {size:,} bytes, but its header says {end:,}; {again}")
    return tensors


def _check_fit(file: Path, header: dict[str, Any], base: Path) -> None:
    """DataError where an adapter's tensors are none that vLLM takes, or are for another base."""
    whole = [key for key in header if "lora_" not in key and not key.endswith(".base_layer.weight")]
    if whole:
        raise DataError(
            f"{file}: vLLM cannot serve {listing(whole)}, which is no LoRA but a whole layer; "
            "merge the adapter into its base"
        )
    config = _json(base / "config.json")
    hidden = dict_of(config.get("text_config") or config).get("hidden_size")
    # Encoders of images have a q_proj of their own size, so that one that fits is enough.
    shapes = [one.get("shape") for key, one in header.items() if ".q_proj.lora_A." in key]
    inputs = {size for shape in shapes for size in list_of(shape)[1:]}  # [rank, input]
    if inputs and hidden and hidden not in inputs:
        raise DataError(
            f"{file}: made for a hidden_size of {', '.join(map(str, sorted(inputs)))}, but that of "
            f"{base} is {hidden}; give the base that it was trained on as answers.base"
        )


def _digest(folder: Path, weights: list[Path], base: str = "") -> str:
    """SHA-256 of what an answer depends on; the folder's own path is not in it."""
    facts: list[tuple[str, ...]] = [("base", base)]
    for file in [*weights, *(folder / name for name in _LARGE if (folder / name).exists())]:
        stat = file.stat()
        facts.append((file.name, str(stat.st_size), str(stat.st_mtime_ns)))
    for file in (folder / name for name in _SMALL if (folder / name).exists()):
        facts.append((file.name, hashlib.sha256(file.read_bytes()).hexdigest()))
    return hashlib.sha256(json.dumps(sorted(facts)).encode()).hexdigest()


def same_weights(checkpoints: Mapping[str, Checkpoint]) -> list[tuple[str, ...]]:
    """Names that share a digest: the same model under several names."""
    names: dict[str, list[str]] = {}
    for name in sorted(checkpoints, key=in_order):
        names.setdefault(checkpoints[name].digest, []).append(name)
    return [tuple(same) for same in names.values() if len(same) > 1]


def _json(file: Path, *, optional: bool = False) -> dict[str, Any]:
    """The JSON object of a file; {} of an optional one that is missing."""
    if optional and not file.exists():
        return {}
    try:
        content = json.loads(_text(file))
    except ValueError as error:
        raise DataError(f"{file}: not JSON: {error}; copy or save it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: must be a JSON object, not {type(content).__name__}")
    return content


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 at byte {error.start + 1}; save it again") from error


def _context(config: dict[str, Any], tokenizer: dict[str, Any]) -> int | None:
    """The context length that vLLM serves.

    A sliding window is no limit of it, nor is the tokenizer's, which is often the length of the
    training: that counts only where config.json is silent.
    """
    text = dict_of(config.get("text_config")) or config
    lengths = [n for key in _CONTEXT if (n := count_of(text.get(key)))]
    if not lengths:
        return count_of(tokenizer.get("model_max_length")) or None  # 10**30 says that none is known
    length = count_of(text.get("model_max_length")) or min(lengths)  # Command-R's says the truth
    rope = dict_of(text.get("rope_parameters") or text.get("rope_scaling"))
    kind = rope.get("rope_type", rope.get("type"))
    if kind in ("longrope", "su"):
        key = "original_max_position_embeddings"
        return count_of(text.get(key)) or count_of(rope.get(key)) or length
    # The other kinds, and Gemma 3, have the factor in the length already.
    if kind in ("linear", "dynamic") and "gemma3" not in str(text.get("model_type")):
        return int(length * (number_of(rope.get("factor")) or 1))
    return length


def _special_tokens(folder: Path, tokenizer: dict[str, Any]) -> dict[str, str]:
    """Special tokens by name; each is a text or an object with its `content`."""
    written = _json(folder / "special_tokens_map.json", optional=True) | tokenizer
    texts = {key: dict_of(one).get("content", one) for key, one in written.items()}
    return {key: text for key in _TOKENS if (text := text_of(texts.get(key)))}


class _Added(msgspec.Struct):
    id: int
    content: str


class _Tokenizer(msgspec.Struct):
    """The part of tokenizer.json that is read; the vocabulary of 10 MB is passed over."""

    added_tokens: list[_Added] = []


def _stops(folder: Path, tokenizer: dict[str, Any], tokens: dict[str, str]) -> tuple[str, ...]:
    """Texts of the tokens at which vLLM ends an answer: the tokenizer's eos and the config's."""
    config = _json(folder / "generation_config.json", optional=True)
    if not (folder / "generation_config.json").exists():
        config = _json(folder / "config.json")
        config = dict_of(config.get("text_config")) | config
    ids = config.get("eos_token_id")
    texts: dict[int, str | None] = {}
    if (file := folder / "tokenizer.json").exists():
        try:
            added = msgspec.json.decode(file.read_bytes(), type=_Tokenizer).added_tokens
        except msgspec.MsgspecError as error:
            raise DataError(f"{file}: not a tokenizer: {error}; copy or save it again") from error
        texts = {one.id: one.content for one in added}
    for key, one in dict_of(tokenizer.get("added_tokens_decoder")).items():
        if key.isdecimal():
            texts[int(key)] = text_of(dict_of(one).get("content"))
    ids = [one for one in (ids if isinstance(ids, list) else [ids]) if type(one) is int]
    stops = [tokens.get("eos_token"), *(texts.get(one) or f"token {one}" for one in ids)]
    return tuple(dict.fromkeys(stop for stop in stops if stop))


def _own_template(folder: Path, tokenizer: dict[str, Any]) -> str | None:
    if (file := folder / "chat_template.jinja").exists():
        return text_of(_text(file))
    written = _json(folder / "chat_template.json", optional=True).get("chat_template")
    written = written or tokenizer.get("chat_template")
    if isinstance(written, list):  # of several templates `default` is the one without tools
        written = {dict_of(one).get("name"): dict_of(one).get("template") for one in written}
    return text_of(dict_of(written).get("default", written))


class _Generation(ext.Extension):
    """`{% generation %}` marks answers for training and prints its content."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own declaration)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), True), lineno=line)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """In place of Jinja's own, which escapes HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


_JINJA = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, ext.loopcontrols]
)
_JINJA.filters["tojson"] = _to_json
_JINJA.globals["raise_exception"] = _raise
_JINJA.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)


def render(
    template: str,
    messages: list[dict[str, str]],
    tokens: Mapping[str, str],
    *,
    add_generation_prompt: bool = True,
    where: str = "chat template",
) -> str:
    """The prompt that a model is given for these messages. tokens: see `Checkpoint`.

    DataError with `where` and what the template says, for example that it takes no system role.
    """
    try:
        return _JINJA.from_string(template).render(
            **tokens,
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
        )
    except Exception as error:  # a template is a program of others: it may fail in any way
        roles = ", ".join(message["role"] for message in messages)
        at = f", line {line}" if (line := getattr(error, "lineno", None)) else ""
        raise DataError(
            f"{where}{at}: fails for messages of {roles}: {error}; change answers.system_prompt, "
            "or give another template as answers.chat_template"
        ) from error


def turn_end(template: str, tokens: Mapping[str, str]) -> str | None:
    """What a template writes first after an answer, usually a token: where a model learnt to stop.

    Empty where it writes nothing; None where it shows no answers, so that nobody can tell.
    """
    question, answer = {"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}
    # After the last answer some templates write nothing, and end it by the next turn's beginning.
    for messages in ([question, answer], [question, answer, question]):
        try:
            text = render(template, messages, tokens, add_generation_prompt=False)
        except DataError:
            return None
        _, found, after = text.partition(_ANSWER)
        if not found:
            return None
        if after := after.strip():
            token = re.match(r"<[^<>\s]+>", after)
            return token[0] if token else after.splitlines()[0]
    return ""


def doubts_of(
    checkpoint: Checkpoint,
    template: str | None,
    max_tokens: int,
    longest_prompt_tokens: int | None = None,
    *,
    system_prompt: str | None = None,
) -> list[str]:
    """What may spoil the answers of a checkpoint, one sentence each.

    template: the one given in place of its own. DataError where there is none, or where it fails.
    """
    if not (template := template or checkpoint.template):
        raise DataError(
            f"{checkpoint.path}: no chat template, as base models have none; give a file as "
            "answers.chat_template"
        )
    asked = [{"role": "system", "content": system_prompt}] if system_prompt else []
    asked.append({"role": "user", "content": "?"})
    where = f"chat template of {checkpoint.path}"
    doubts = list(checkpoint.remarks)
    prompt = render(template, asked, checkpoint.tokens, where=where)
    if (system_prompt or "").strip() not in prompt:
        doubts.append("its template ignores answers.system_prompt")
    stops, end = checkpoint.stops, turn_end(template, checkpoint.tokens)
    if end is not None and not any(stop in end for stop in stops):
        doubts.append(
            f"its template ends an answer with {end or 'nothing'!r}, but generation stops at "
            f"{listing([repr(stop) for stop in stops]) or 'no token'}: its answers may never stop; "
            "correct eos_token_id in generation_config.json or give stop in answers.sampling"
        )
    context, longest = checkpoint.context, longest_prompt_tokens or 0
    if context and max_tokens > context:
        doubts.append(
            f"max_tokens {max_tokens:,} is above its context of {context:,} tokens, so vLLM "
            "refuses every question; lower answers.max_tokens"
        )
    elif context and max_tokens + longest > context:
        doubts.append(
            f"max_tokens {max_tokens:,} and the longest question ({count(longest)} tokens) exceed "
            f"its context of {context:,} tokens, so vLLM cuts such answers earlier; lower "
            f"answers.max_tokens to {max(context - longest, 0):,}"
        )
    return doubts


def expand(name: str, folder: str | Path) -> dict[str, Path]:
    """The models of a name with {placeholders} and the folders that fit its path: name -> folder.

    A placeholder stands for one character or more within one part of the path; twice, it is the
    same text. Without placeholders the one folder, whether it is there or not.
    """
    known = set(_PLACEHOLDER.findall(str(folder)))
    if unknown := sorted(set(_PLACEHOLDER.findall(name)) - known):
        raise ConfigError(
            f"answers.models: {name}: {{{unknown[0]}}} is not in its folder {folder}; known there: "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    models: dict[str, Path] = {}
    try:
        found = _fitting(Path(folder))
    except OSError as error:
        raise ConfigError(
            f"answers.models: {name}: {error.filename}: cannot be read: {error.strerror}"
        ) from error
    for path, values in found:
        pieces = enumerate(_PLACEHOLDER.split(name))  # text and placeholders in turn
        made = "".join(values[piece] if place % 2 else piece for place, piece in pieces)
        check_model_name(made, where=f"answers.models: {path}")
        if made in models:
            raise ConfigError(
                f"answers.models: {name}: {models[made]} and {path} would both be {made}; put a "
                "placeholder in which they differ into the name"
            )
        models[made] = path
    return dict(sorted(models.items(), key=lambda item: in_order(item[0])))


def _fitting(folder: Path) -> list[tuple[Path, dict[str, str]]]:
    """Folders that fit a path with placeholders, and what stands for each in them."""
    found: list[tuple[Path, dict[str, str]]] = [(Path(), {})]
    for part in folder.parts:
        if not _PLACEHOLDER.search(part):
            found = [(path / part, values) for path, values in found]
            continue
        if found and not found[0][1] and not found[0][0].is_dir():
            raise ConfigError(f"answers.models: {folder}: no folder {found[0][0]}; correct it")
        found = [
            (entry, values | match.groupdict())
            for path, values in found
            if path.is_dir()
            for entry in path.iterdir()
            if (match := _part_pattern(part, values).fullmatch(entry.name))
        ]
    return [one for one in found if one[0].is_dir() or not one[1]]


def _part_pattern(part: str, values: Mapping[str, str]) -> re.Pattern[str]:
    """What a part of a path looks like, where `values` are the placeholders known from above."""
    pattern, seen = "", set()
    for place, piece in enumerate(_PLACEHOLDER.split(part)):  # text and names in turn
        if place % 2 == 0 or piece in values:
            pattern += re.escape(values[piece] if place % 2 else piece)
        else:  # no hidden folders, as everywhere
            hidden = "" if pattern else r"(?!\.)"
            pattern += f"(?P={piece})" if piece in seen else f"{hidden}(?P<{piece}>.+)"
            seen.add(piece)
    return re.compile(pattern, re.DOTALL)
