"""A user's checkout of Arena-Hard-Auto, read as it is: settings, prompts, endpoints, data.

Two layouts are in use. v2.0: `config/<bench>.yaml`, with system prompts and baselines by category
in `utils/judge_utils.py`. v0.1: `config/judge_config.yaml`, which holds all of it for one category.
Both have `config/api_config.yaml`. Nothing of the checkout is executed: importing its module of
prompts would run all of its code, with its dependencies, in every job.
"""

import ast
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.data.prompts import ANY_CATEGORY, check_template
from arena.data.verdict import compile_pattern
from arena.setup.secrets import check_address
from arena.support.errors import ConfigError
from arena.support.files import load_yaml, read_text
from arena.support.names import did_you_mean

# The OpenAI protocol with an effort instead of a temperature, and the default effort.
THINKING, DEFAULT_EFFORT = "openai_thinking", "medium"
OPENAI_COMPATIBLE = ("openai", THINKING, "vllm", "sglang", "litellm")
_OPENAI_BASE = "https://api.openai.com/v1"  # for `endpoints: null`, as in Arena-Hard-Auto
NO_KEY = "EMPTY"  # what servers without keys accept and clients must send
_PLACEHOLDER = re.compile(r"<[^<>]*>")
# In the original, and in forks that are installed as a package.
_JUDGE_UTILS = ("utils/judge_utils.py", "src/*/utils/judge_utils.py")


@dataclass(frozen=True)
class Upstream:
    """The checkout in `directory`. Raises ConfigError if it is not one."""

    directory: Path

    def __post_init__(self) -> None:
        if not (self.directory / "config").is_dir():
            raise ConfigError(
                f"arena_hard_dir: {self.directory} is not a checkout of Arena-Hard-Auto: "
                "it has no folder config/"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Without cached files: Snakemake pickles the settings into the file of each script, and
        keys must stay in api_config.yaml."""
        return {"directory": self.directory}

    @property
    def api_config_file(self) -> Path:
        return self.directory / "config" / "api_config.yaml"

    @cached_property
    def api_config(self) -> dict[str, dict[str, Any]]:
        """The blocks of api_config.yaml by name, {} without the file.

        `model` is always set: the model's name on the server (v0.1 calls it `model_name`).
        """
        file, blocks = self.api_config_file, {}
        text = read_text(file) if file.is_file() else ""
        loaded = load_yaml(text, file, unique=False) or {}  # as in Arena-Hard-Auto
        if not isinstance(loaded, dict):
            raise ConfigError(f"{file}: must be a mapping, not a {type(loaded).__name__}")
        for name, block in loaded.items():
            if not isinstance(block, dict):
                raise ConfigError(f"{file}: {name}: must be a block of settings")  # it may be a key
            model = block.get("model") or block.get("model_name") or str(name)
            blocks[str(name)] = block | {"model": model}
        return blocks

    def block(self, name: str) -> dict[str, Any]:
        """The block of a model with its numbers checked, {} without one."""
        block = self.api_config.get(name, {})
        _check_numbers(block, f"{self.api_config_file}: {name}")
        return block

    def endpoints(self, name: str, api_type: str | None = None) -> list[dict[str, str | None]]:
        """The endpoints of a block of api_config.yaml, checked: as in config.yaml, with `api_key`.

        api_type: of the config, overrides the block's. `endpoints: null` means OpenAI itself, with
        the key from the environment. Raises ConfigError naming file and key.
        """
        file, blocks = self.api_config_file, self.api_config
        if name not in blocks:
            raise ConfigError(f"{file}: no block {name!r}{did_you_mean(name, blocks)}")
        block, where = blocks[name], f"{file}: {name}"
        if (kind := api_type or block.get("api_type") or "openai") not in OPENAI_COMPATIBLE:
            raise ConfigError(
                f"{where}: api_type: {kind!r} is not OpenAI-compatible (supported: "
                f"{', '.join(OPENAI_COMPATIBLE)}). Use a proxy that speaks the OpenAI protocol, "
                "and set api_base to its address"
            )
        given = block.get("endpoints")
        given = [{"api_base": _OPENAI_BASE}] if given is None else given
        if not isinstance(given, list) or not given:
            raise ConfigError(f"{where}: endpoints: must be null or a list of api_base, api_key")
        return [
            _endpoint(one, block["model"], f"{where}: endpoints[{number}]")
            for number, one in enumerate(given)
        ]

    def settings(self, bench: str) -> dict[str, Any]:
        """The settings of a bench.

        Keys: by_category (baseline and system_prompt by category; "*" alone for v0.1, {} if there
        are none); and if a file of the checkout is for the bench: judge_model, max_tokens,
        reference (a model's name), prompt_template (with our markers), each None if the file lacks
        it; regex_patterns (list); and temperature if the file has it, where null is a value.
        """
        file, raw = self._settings_file(bench)
        found = _normalised(raw, file) if file else {}
        if "system_prompt" in raw:
            return found | {"by_category": {ANY_CATEGORY: _entry(raw, f"{file}", "baseline_model")}}
        code = next((path for glob in _JUDGE_UTILS for path in self.directory.glob(glob)), None)
        table = read_literal(code, "JUDGE_SETTINGS") if code else {}
        if not isinstance(table, dict):
            raise ConfigError(f"{code}: JUDGE_SETTINGS must be a dict of categories")
        entries = {name: _entry(entry, f"{code}: {name}") for name, entry in table.items()}
        return found | {"by_category": entries}

    def _settings_file(self, bench: str) -> tuple[Path | None, dict[str, Any]]:
        """The file of a bench: by file name, then by `bench_name`."""
        found = {}
        for path in sorted((self.directory / "config").glob("*.y*ml")):
            if path.name in ("api_config.yaml", "gen_answer_config.yaml"):
                continue
            raw = load_yaml(read_text(path), path, unique=False)
            raw = raw if isinstance(raw, dict) else {}
            if path.stem == bench or (raw.get("bench_name") == bench and "judge_model" in raw):
                found[path] = raw
        for stem in (bench, "judge_config"):
            found = {path: found[path] for path in found if path.stem == stem} or found
        if len(found) > 1:
            raise ConfigError(
                f"{', '.join(map(str, found))}: all have `bench_name: {bench}`. "
                f"Rename the one to use to {bench}.yaml"
            )
        return next(iter(found.items()), (None, {}))


def _endpoint(entry: Any, model: str, where: str) -> dict[str, str | None]:
    base = entry.get("api_base") if isinstance(entry, dict) else None
    if not isinstance(base, str):
        raise ConfigError(f"{where}: api_base is missing")
    check_address(base, f"{where}: api_base")
    key = None if entry.get("api_key") is None else str(entry["api_key"])
    for wrong, message in (
        (_PLACEHOLDER.search(base), f"api_base still contains a placeholder: {base}"),
        (not re.match("https?://", base), f"api_base is not a URL (http://...): {base}"),
        (_PLACEHOLDER.fullmatch(key or ""), f"api_key is still a placeholder: {key}"),
        (key and not (key.isascii() and key.isprintable()), "api_key: not printable ASCII"),
    ):
        if wrong:
            raise ConfigError(f"{where}: {message}")
    # OPENAI_API_KEY must not be sent to other servers.
    variable = "OPENAI_API_KEY" if base == _OPENAI_BASE else None
    model = entry.get("model_name") or model
    return {"api_base": base, "api_key": key, "api_key_env": variable, "model": model}


def _check_numbers(raw: dict[str, Any], where: str) -> None:
    for key, least in {"temperature": 0, "max_tokens": 1, "parallel": 1}.items():
        value = raw.get(key)
        is_number = type(value) in ((int, float) if key == "temperature" else (int,))
        if value is not None and not (is_number and least <= value < math.inf):
            raise ConfigError(f"{where}: {key}: cannot be {value!r}")


def _normalised(raw: dict[str, Any], file: Path) -> dict[str, Any]:
    """The keys of both layouts under v2.0's names, checked."""
    for key in ("pairwise", "baseline"):  # v0.1 could also grade single answers
        if raw.get(key) is False:
            raise ConfigError(f"{file}: {key}: False is not supported, only pairs of answers")
    _check_numbers(raw, str(file))
    patterns = raw.get("regex_patterns") or raw.get("regex_pattern") or []
    patterns = [patterns] if isinstance(patterns, str) else patterns
    where = f"{file}: regex_patterns"
    if not isinstance(patterns, list) or not all(isinstance(item, str) for item in patterns):
        raise ConfigError(f"{where}: must be a list of regular expressions")
    for pattern in patterns:
        compile_pattern(pattern, where)
    reference = raw.get("ref_model") if raw.get("reference") is True else raw.get("reference")
    texts = {
        "judge_model": raw.get("judge_model"),
        "prompt_template": _only_item(raw.get("prompt_template")),  # v0.1: one template a turn
        "reference": _only_item(reference) or None,
    }
    for key, text in texts.items():
        if not isinstance(text, str | None):
            raise ConfigError(f"{file}: {key}: cannot be {text!r}; write a single text")
    if (template := texts["prompt_template"]) is not None:
        where = f"{file}: prompt_template"
        texts["prompt_template"] = check_template(template, where=where)
    stated = {"temperature": raw["temperature"]} if "temperature" in raw else {}
    return {**texts, **stated, "max_tokens": raw.get("max_tokens"), "regex_patterns": patterns}


def _only_item(value: Any) -> Any:
    """The item of a one-item list, None for an empty list, else the value."""
    return next(iter(value), None) if isinstance(value, list) and len(value) < 2 else value


def _entry(entry: Any, where: str, baseline: str = "baseline") -> dict[str, str]:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: must be a dict of baseline and system_prompt")
    for key in (baseline, "system_prompt"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ConfigError(f"{where}: {key} is missing or not text")
    return {"baseline": entry[baseline], "system_prompt": entry["system_prompt"]}


def endpoints(
    judge: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    upstream: Upstream | None = None,
) -> list[dict[str, str]]:
    """`url`, `key` and `model` (its name there) of every endpoint of a server that already runs.

    From `endpoints` in the config (the key from the environment variable `api_key_env`), else from
    the model's block in api_config.yaml. Raises ConfigError naming what is missing. upstream: has
    read that file already.
    """
    name, ours, result = judge["name"], judge.get("endpoints"), []
    if not (given := ours):
        upstream = upstream or Upstream(Path(judge["api_config"]).parents[1])
        given = upstream.endpoints(name, judge.get("api_type"))
    for number, one in enumerate(given):
        url, variable = one["api_base"], one.get("api_key_env")
        key = one.get("api_key") or (env.get(variable, "") if variable else NO_KEY)
        if not key:
            where = f"endpoints[{number}] ({url}): api_key_env"
            where = where if ours else f"{judge['api_config']}: {name}: no api_key"
            raise ConfigError(
                f"{where}: the environment variable {variable} is not set; export it before you "
                "start snakemake"
            )
        result.append({"url": url.rstrip("/"), "key": key, "model": one.get("model") or name})
    return result


def check_keys(
    judge: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    upstream: Upstream | None = None,
) -> None:
    """Raise ConfigError if a key is missing, before jobs are submitted. upstream: as above."""
    if judge["server"] == "external":
        endpoints(judge, env, upstream)


class _NotLiteral(Exception):
    """Why a value cannot be read, and the line."""


def read_literal(file: str | Path, name: str) -> Any:
    """The value of a module-level name of a Python file, from literals only.

    Supported: constants, lists, tuples, dicts, names assigned above, `+`, f-strings of these,
    subscripts, `.strip()`, and later `NAME[key] = value` or `NAME += value`. Other code is ignored;
    ConfigError with file and line if the value depends on it.
    """
    try:
        tree = ast.parse(read_text(file), filename=str(file))
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{file}{line}: not Python: {error}") from error
    names: dict[str, Any] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets, value):
                for target in targets:
                    _assign(target, value, names)
            case ast.AnnAssign(target, _, ast.expr() as value):
                _assign(target, value, names)
            case ast.AugAssign(target, operator, added):
                value = ast.copy_location(ast.BinOp(target, operator, added), statement)
                _assign(target, value, names)
    if name not in names:
        raise ConfigError(f"{file}: {name} is not assigned at the top level of the file")
    if isinstance(value := names[name], _NotLiteral):
        reason, line = value.args
        raise ConfigError(f"{file}:{line}: {name} cannot be read: {reason}")
    return value


def _assign(target: ast.expr, node: ast.expr, names: dict[str, Any]) -> None:
    """Assign a value, or the reason why it cannot be read."""
    root = target
    while isinstance(root, ast.Subscript):
        root = root.value
    if not isinstance(root, ast.Name):
        return
    try:
        value = _value(node, names)
        if isinstance(target, ast.Subscript):
            _value(target.value, names)[_value(target.slice, names)] = value
        else:
            names[root.id] = value
    except _NotLiteral as error:
        names[root.id] = error
    except (TypeError, LookupError, AttributeError) as error:
        names[root.id] = _NotLiteral(error, node.lineno)


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            unknown = _NotLiteral(f"{name} is not a literal assigned above", node.lineno)
            if isinstance(found := names.get(name, unknown), _NotLiteral):
                raise found
            return found
        case ast.List(items) | ast.Tuple(items):
            return [_value(item, names) for item in items]
        case ast.Dict(keys, values):
            made: dict[Any, Any] = {}
            for key, item in zip(keys, values, strict=True):  # no key: {**other}
                value = _value(item, names)
                made |= value if key is None else {_value(key, names): value}
            return made
        case ast.BinOp(left, ast.Add(), right):
            return _value(left, names) + _value(right, names)
        case ast.JoinedStr(parts):
            return "".join(str(_value(part, names)) for part in parts)
        case ast.FormattedValue(value, -1, None):
            return _value(value, names)
        case ast.Subscript(value, key):
            return _value(value, names)[_value(key, names)]
        case ast.Call(ast.Attribute(value, "strip" | "lstrip" | "rstrip" as strip), [], []):
            return getattr(_value(value, names), strip)()
    raise _NotLiteral(f"{ast.unparse(node)[:60]!r} is not a literal", node.lineno)
