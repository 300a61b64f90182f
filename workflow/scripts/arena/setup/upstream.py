"""A user's checkout of Arena-Hard-Auto, read as it is: settings, prompts, endpoints, data.

Two layouts are in use. v2.0: `config/<bench>.yaml`, with system prompts and baselines by category
in `utils/judge_utils.py`. v0.1: `config/judge_config.yaml`, which holds all of it for one category.
Both have `config/api_config.yaml`. Nothing of the checkout is executed (see `python_literals`).
"""

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.data.prompts import ANY_CATEGORY, check_template
from arena.data.verdict import compile_pattern
from arena.setup.secrets import check_address
from arena.support.errors import ConfigError
from arena.support.files import load_yaml, read_text
from arena.support.names import did_you_mean
from arena.support.python_literals import read_literal

# The OpenAI protocol with an effort instead of a temperature, and the default effort.
THINKING, DEFAULT_EFFORT = "openai_thinking", "medium"
OPENAI_COMPATIBLE = ("openai", THINKING, "vllm", "sglang", "litellm")
OPENAI_BASE = "https://api.openai.com/v1"  # for `endpoints: null`, as in Arena-Hard-Auto
_PLACEHOLDER = re.compile(r"<[^<>]*>")
# Type and minimum of numbers in api_config.yaml and settings files.
_NUMBERS = {"temperature": (float, 0), "max_tokens": (int, 1), "parallel": (int, 1)}
# In the original, and in forks that are installed as a package.
_JUDGE_UTILS = ("utils/judge_utils.py", "src/*/utils/judge_utils.py")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a model. api_key: None for the client's default (OPENAI_API_KEY).

    model: the model's name on this server, often not the name of the block.
    """

    api_base: str
    api_key: str | None = field(repr=False)  # never in a message or a log
    model: str


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
        """The blocks of api_config.yaml by name, {} without the file."""
        return read_api_config(self.api_config_file) if self.api_config_file.is_file() else {}

    def block(self, name: str) -> dict[str, Any]:
        """The block of a model with its numbers checked, {} without one."""
        block = self.api_config.get(name, {})
        _check_numbers(block, f"{self.api_config_file}: {name}")
        return block

    def settings(self, bench: str) -> dict[str, Any]:
        """The settings of a bench, {} if no file of the checkout is for it.

        Keys: judge_model, max_tokens, reference (a model's name), prompt_template (with our
        markers), each None if the file lacks it; regex_patterns (list); and temperature if the
        file has it, where null is a value.
        """
        file, raw = self._settings_file(bench)
        return _normalised(raw, file) if file else {}

    def judge_settings(self, bench: str) -> dict[str, dict[str, str]]:
        """Baseline and system prompt by category: "*" alone for v0.1, {} if it has neither."""
        file, raw = self._settings_file(bench)
        if "system_prompt" in raw:
            return {ANY_CATEGORY: _entry(raw, f"{file}", "baseline_model")}
        code = next((path for glob in _JUDGE_UTILS for path in self.directory.glob(glob)), None)
        if code is None:
            return {}
        table = read_literal(code, "JUDGE_SETTINGS")
        if not isinstance(table, dict):
            raise ConfigError(f"{code}: JUDGE_SETTINGS must be a dict of categories")
        return {name: _entry(entry, f"{code}: {name}") for name, entry in table.items()}

    def _settings_file(self, bench: str) -> tuple[Path | None, dict[str, Any]]:
        """The file of a bench: by file name, then by `bench_name`."""
        others = {}
        for path in sorted((self.directory / "config").glob("*.y*ml")):
            if path.name in ("api_config.yaml", "gen_answer_config.yaml"):
                continue
            raw = load_yaml(read_text(path), path)
            if isinstance(raw, dict) and path.stem == bench:
                return path, raw
            if isinstance(raw, dict) and raw.get("bench_name") == bench and "judge_model" in raw:
                others[path] = raw
        others = {path: others[path] for path in others if path.stem == "judge_config"} or others
        if len(others) > 1:
            raise ConfigError(
                f"{', '.join(map(str, others))}: all have `bench_name: {bench}`. "
                f"Rename the one to use to {bench}.yaml"
            )
        return next(iter(others.items()), (None, {}))


def read_api_config(file: Path) -> dict[str, dict[str, Any]]:
    """The blocks of an api_config.yaml by name.

    `model` is always set: the model's name on the server (v0.1 calls it `model_name`).
    """
    loaded = load_yaml(read_text(file), file) or {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: must be a mapping, not a {type(loaded).__name__}")
    for name, block in loaded.items():
        if not isinstance(block, dict):
            raise ConfigError(f"{file}: {name}: must be a block of settings, not {block!r}")
    return {
        str(name): block | {"model": block.get("model") or block.get("model_name") or str(name)}
        for name, block in loaded.items()
    }


def checked_api_config(
    upstream: Upstream | None, name: str, api_type: str | None, missing: str
) -> str:
    """Path of the api_config.yaml whose block serves a model; the server reads the keys from there.

    Raises ConfigError for a block that cannot be used, or with the text `missing` without one.
    """
    if upstream is None or name not in upstream.api_config:
        place = f", or a block {name!r} in {upstream.api_config_file}" if upstream else ""
        raise ConfigError(f"config: {missing}{place}")
    read_endpoints(upstream.api_config_file, name, api_type)
    return str(upstream.api_config_file)


def read_endpoints(file: str | Path, name: str, api_type: str | None = None) -> list[Endpoint]:
    """The addresses and keys of a block of api_config.yaml, checked.

    api_type: of the config, overrides the block's. `endpoints: null` means OpenAI itself, with the
    key from the environment. Raises ConfigError naming file and key.
    """
    file = Path(file)
    blocks = read_api_config(file)
    if name not in blocks:
        raise ConfigError(f"{file}: no block {name!r}{did_you_mean(name, blocks)}")
    block = blocks[name]
    check_api_type(api_type or block.get("api_type"), f"{file}: {name}: api_type")
    given, where = block.get("endpoints"), f"{file}: {name}: endpoints"
    if given is None:
        return [Endpoint(OPENAI_BASE, None, block["model"])]
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}: must be null or a list of api_base, api_key")
    return [_endpoint(one, block["model"], f"{where}[{i}]") for i, one in enumerate(given)]


def _endpoint(entry: Any, model: str, where: str) -> Endpoint:
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
    return Endpoint(base, key, entry.get("model_name") or model)


def check_api_type(api_type: Any, where: str) -> None:
    """Raise ConfigError for an `api_type` that is not the OpenAI protocol; None is accepted."""
    if api_type is not None and api_type not in OPENAI_COMPATIBLE:
        raise ConfigError(
            f"{where}: {api_type!r} is not OpenAI-compatible (supported: "
            f"{', '.join(OPENAI_COMPATIBLE)}). Use a proxy that speaks the OpenAI protocol, and "
            "set api_base to its address"
        )


def _check_numbers(raw: dict[str, Any], where: str) -> None:
    for key, (kind, least) in _NUMBERS.items():
        value = raw.get(key)
        number = isinstance(value, (int, kind)) and not isinstance(value, bool)
        if value is not None and not (number and least <= value < math.inf):
            raise ConfigError(f"{where}: {key}: cannot be {value!r}")


def _normalised(raw: dict[str, Any], file: Path) -> dict[str, Any]:
    """The keys of both layouts under v2.0's names, checked."""
    for key in ("pairwise", "baseline"):  # v0.1 could also grade single answers
        if raw.get(key) is False:
            raise ConfigError(f"{file}: {key}: False is not supported, only pairs of answers")
    _check_numbers(raw, str(file))
    patterns = raw.get("regex_patterns") or raw.get("regex_pattern") or []
    patterns = [patterns] if isinstance(patterns, str) else patterns
    _check_patterns(patterns, f"{file}: regex_patterns")
    reference = raw.get("ref_model") if raw.get("reference") is True else raw.get("reference")
    texts = {
        "judge_model": raw.get("judge_model"),
        "prompt_template": _only_item(raw.get("prompt_template")),  # v0.1: one template a turn
        "reference": _only_item(reference) or None,
    }
    for key, text in texts.items():
        if not isinstance(text or "", str):
            raise ConfigError(f"{file}: {key}: cannot be {text!r}; write a single text")
    if (template := texts["prompt_template"]) is not None:
        where = f"{file}: prompt_template"
        texts["prompt_template"] = check_template(template, where=where)
    stated = {"temperature": raw["temperature"]} if "temperature" in raw else {}
    return {**texts, **stated, "max_tokens": raw.get("max_tokens"), "regex_patterns": patterns}


def _only_item(value: Any) -> Any:
    """The item of a one-item list, None for an empty list, else the value."""
    return next(iter(value), None) if isinstance(value, list) and len(value) < 2 else value


def _check_patterns(patterns: Any, where: str) -> None:
    if not isinstance(patterns, list) or not all(isinstance(item, str) for item in patterns):
        raise ConfigError(f"{where}: must be a list of regular expressions")
    for pattern in patterns:
        if (groups := compile_pattern(pattern, where).groups) != 1:
            raise ConfigError(f"{where}: {pattern!r} must have 1 group (the label), not {groups}")


def _entry(entry: Any, where: str, baseline: str = "baseline") -> dict[str, str]:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: must be a dict of baseline and system_prompt")
    for key in (baseline, "system_prompt"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ConfigError(f"{where}: {key} is missing or not text")
    return {"baseline": entry[baseline], "system_prompt": entry["system_prompt"]}
