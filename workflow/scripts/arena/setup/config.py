"""Read config.yaml and check it, with errors that name the key and what to write instead."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from arena.setup.resolve import WORKFLOW, resolve
from arena.setup.secrets import check_block, without_secrets
from arena.setup.settings import Settings
from arena.support.errors import ConfigError
from arena.support.files import load_yaml, read_text
from arena.support.names import nearest


def load_settings(configfile: Path, overrides: list[str]) -> Settings:
    """Read a config file as Snakemake does; `overrides` are KEY=VALUE as in `snakemake --config`.

    Paths in it are relative to the working directory. Raises ConfigError.
    """
    if not configfile.exists():
        raise ConfigError(
            f"{configfile}: No such file or directory. Run this in the folder where Snakemake runs,"
            " or use --configfile for another file, or --results for a results folder"
        )
    config = load_yaml(read_text(configfile), configfile)
    if not isinstance(config, dict):
        raise ConfigError(f"{configfile}: contains no settings (KEY: VALUE)")
    for override in overrides:
        key, sign, value = override.partition("=")
        if not sign:
            raise ConfigError(f"--config {override}: write KEY=VALUE")
        config = _merge(config, {key: load_yaml(value, f"--config {key}")})
    return resolve(check_config(config))


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Merge like Snakemake: blocks key by key, everything else is replaced."""
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(old.get(key), dict)
        merged[key] = _merge(old[key], value) if both else value
    return merged


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """Check a config against the schema; returns it with every value in its type.

    Raises ConfigError with one line per problem, each naming its key.
    """
    schema_file = WORKFLOW / "schemas" / "config.schema.yaml"
    schema = load_yaml(read_text(schema_file), schema_file)
    config = _typed(config, schema, "")
    for block in ("judge", "answers"):
        if isinstance(config.get(block), dict):
            check_block(block, config[block])
    formats = Draft202012Validator.FORMAT_CHECKER
    found = Draft202012Validator(schema, format_checker=formats).iter_errors(config)
    problems = sorted(found, key=lambda problem: list(map(str, problem.path)))
    if problems:
        paths = list(_paths(schema, ""))
        # jsonschema reports each missing key by itself, `_explain` all of a block at once
        lines = dict.fromkeys(line for problem in problems for line in _explain(problem, paths))
        raise ConfigError(without_secrets("config: " + "\n        ".join(lines)))
    return config


def _typed(value: Any, schema: dict[str, Any], where: str) -> Any:
    """Values as plain JSON: whole numbers as integers, and YAML of texts parsed, which Snakemake
    leaves as text in `--config 'judge={temperature: 0.5}'`.
    """
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties") or {}
        return {
            str(key): _typed(item, known.get(key, rest), _join(where, key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_typed(item, schema.get("items", {}), where) for item in value]
    types = schema.get("type", "string")
    if isinstance(value, str) and ("string" not in types or ("null" in types and value == "null")):
        read = load_yaml(value, f"config: {where}")
        return read if isinstance(read, str) else _typed(read, schema, where)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"config: {where}: {value} is not a finite number")
        is_whole = value.is_integer() and "integer" in types and "number" not in types
        return int(value) if is_whole else value
    if value is None or isinstance(value, str | int):
        return value
    raise ConfigError(f"config: {where}: YAML reads {value} as a {type(value).__name__}; quote it")


def _paths(schema: dict[str, Any], where: str) -> Iterator[str]:
    """The path of every key (judge.name), outer blocks first."""
    inner = schema.get("items", schema).get("properties", {})
    yield from (_join(where, key) for key in inner)
    for key, child in inner.items():
        yield from _paths(child, _join(where, key))


def _explain(problem: ValidationError, paths: list[str]) -> list[str]:
    where = ".".join(str(part) for part in problem.path)
    if problem.validator == "additionalProperties":
        known = problem.schema.get("properties", {})
        return [_unknown(key, where, known, paths) for key in problem.instance if key not in known]
    if problem.validator == "required":
        keys = problem.schema["properties"]
        missing = [key for key in problem.validator_value if key not in problem.instance]
        return [f"{_join(where, key)} is missing. {keys[key]['description']}" for key in missing]
    hint = problem.schema.get("description", "")
    return [f"{where or 'the file'}: {problem.message}. {hint}".rstrip()]


def _unknown(key: str, where: str, known: dict[str, Any], paths: list[str]) -> str:
    name = _join(where, key)
    if key == "api_key":
        return (
            f"{name}: do not write keys into config.yaml; set api_key_env to the name of the "
            "environment variable that contains it"
        )
    # The most similar key of all blocks; of equal ones that of this block, then the outermost.
    places = {path.rpartition(".")[2]: path for path in reversed(paths)}
    places |= {other: _join(where, other) for other in known}
    near = nearest(key, places)
    hint = f"did you mean {places[near]}?" if near else f"the keys here are {', '.join(known)}"
    return f"{name} is not a key; {hint}"


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
