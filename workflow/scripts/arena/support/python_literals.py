"""Values of a Python file, read without running it.

Arena-Hard-Auto keeps its judge prompts in a Python module. Importing it would run all of its code,
with its dependencies, in every job.
"""

import ast
from pathlib import Path
from typing import Any

from arena.support.errors import ConfigError
from arena.support.files import read_text


class _NotLiteral(Exception):
    """Why a value cannot be read, and the line."""


def read_literal(file: str | Path, name: str) -> Any:
    """The value of a module-level name, from literals only.

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
