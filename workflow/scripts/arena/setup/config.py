"""Check config.yaml against its schema, with errors that name the key and what to write instead."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from arena.support.errors import ConfigError


def check_config(config: dict[str, Any], schema_file: Path) -> dict[str, Any]:
    """Refuse a config that the schema does not allow; return it with every value in its type.

    Raises
    ------
    ConfigError
        With one line a problem, each naming its key.
    """
    schema = yaml.safe_load(schema_file.read_text(encoding="utf-8"))
    config = _typed(config, schema)
    problems = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda e: list(e.path))
    if problems:
        lines = [line for problem in problems for line in _explain(problem)]
        raise ConfigError("config: " + "\n        ".join(lines))
    return config


def _typed(value: Any, schema: dict[str, Any]) -> Any:
    """Read again what `--config 'judge={temperature: 0.5}'` leaves as text."""
    if isinstance(value, dict):
        rest = schema.get("additionalProperties")
        rest = rest if isinstance(rest, dict) else {}
        known = schema.get("properties", {})
        return {key: _typed(item, known.get(key, rest)) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item, schema.get("items", {})) for item in value]
    types = schema.get("type", "string")
    if isinstance(value, str) and ("string" not in types or ("null" in types and value == "null")):
        return yaml.safe_load(value)
    return value


def _explain(problem: ValidationError) -> list[str]:
    where = ".".join(str(part) for part in problem.path)
    if problem.validator == "additionalProperties":
        known = problem.schema.get("properties", {})
        unknown = [key for key in problem.instance if key not in known]
        return [_unknown(key, where, known) for key in unknown]
    if problem.validator == "required":
        missing = [key for key in problem.validator_value if key not in problem.instance]
        told = problem.schema["properties"]
        return [
            f"{_join(where, key)} is missing. {told[key].get('description', '')}" for key in missing
        ]
    hint = problem.schema.get("description", "")
    return [f"{where or 'the file'}: {problem.message}. {hint}".rstrip()]


def _unknown(key: str, where: str, known: dict[str, Any]) -> str:
    name = _join(where, key)
    if where == "judge.endpoints" or key == "api_key":
        return (
            f"{name}: keys never stand in config.yaml; name the variable that holds it: api_key_env"
        )
    close = difflib.get_close_matches(str(key), list(known), n=1, cutoff=0.5)
    if close:
        return f"{name} is not a key; did you mean {_join(where, close[0])}?"
    return f"{name} is not a key; known here: {', '.join(known)}"


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else str(key)
