"""Values of a Python file, read without running it.

Arena-Hard-Auto keeps its judge prompts in a Python module. It is the user's file, but importing it
would run whatever is in it, with its dependencies, in every job.
"""

import ast
from pathlib import Path
from typing import Any

from arena.support.errors import ConfigError


class _NotLiteral(Exception):
    def __init__(self, node: ast.AST, reason: str) -> None:
        super().__init__(reason)
        self.line = getattr(node, "lineno", 0)


def read_literal(file: str | Path, name: str) -> Any:
    """The value of a module-level name, from literals alone.

    Understood: constants, lists, tuples, dicts, names assigned above, `+`, f-strings of these,
    subscripts, `.strip()`, and later `NAME[key] = value` or `NAME += value`. What else stands in
    the file is passed over, unless the value is made of it: then ConfigError names file and line.
    """
    file = Path(file)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{file}{line}: not Python: {error}") from error
    values: dict[str, Any] = {}
    for statement in tree.body:
        _execute(statement, values)
    if name not in values:
        raise ConfigError(f"{file}: {name} is not assigned at the top level of the file")
    value = values[name]
    if isinstance(value, _NotLiteral):
        raise ConfigError(f"{file}:{value.line}: {name} cannot be read: {value}") from value
    return value


def _execute(statement: ast.stmt, values: dict[str, Any]) -> None:
    """Take over an assignment; one that cannot be read is remembered as such."""
    if isinstance(statement, ast.Assign):
        targets, node = statement.targets, statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets, node = [statement.target], statement.value
    elif isinstance(statement, ast.AugAssign):
        targets = [statement.target]
        node = ast.copy_location(
            ast.BinOp(statement.target, statement.op, statement.value), statement
        )
    else:
        return
    for target in targets:
        root = target
        while isinstance(root, ast.Subscript):
            root = root.value
        if not isinstance(root, ast.Name):
            continue
        try:
            value = _evaluate(node, values)
            if target is root:
                values[root.id] = value
            else:
                holder = _evaluate(target.value, values)
                holder[_evaluate(target.slice, values)] = value
        except _NotLiteral as error:
            values[root.id] = error
        except (TypeError, LookupError) as error:
            values[root.id] = _NotLiteral(statement, str(error))


def _evaluate(node: ast.expr, values: dict[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            if node.id not in values:
                raise _NotLiteral(node, f"{node.id} is not a literal assigned above")
            if isinstance(values[node.id], _NotLiteral):
                raise values[node.id]
            return values[node.id]
        case ast.List() | ast.Tuple():
            return [_evaluate(item, values) for item in node.elts]
        case ast.Dict():
            result = {}
            for key, value in zip(node.keys, node.values, strict=True):
                if key is None:  # {**other}
                    result |= _evaluate(value, values)
                else:
                    result[_evaluate(key, values)] = _evaluate(value, values)
            return result
        case ast.BinOp(op=ast.Add()):
            return _evaluate(node.left, values) + _evaluate(node.right, values)
        case ast.JoinedStr():
            return "".join(str(_evaluate(item, values)) for item in node.values)
        case ast.FormattedValue(conversion=-1, format_spec=None):
            return _evaluate(node.value, values)
        case ast.Subscript():
            return _evaluate(node.value, values)[_evaluate(node.slice, values)]
        case ast.Call(func=ast.Attribute(attr="strip" | "lstrip" | "rstrip"), args=[], keywords=[]):
            return getattr(_evaluate(node.func.value, values), node.func.attr)()
        case _:
            raise _NotLiteral(node, f"{ast.unparse(node)[:60]!r} is not a literal")
