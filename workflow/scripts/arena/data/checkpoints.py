"""Names of checkpoints: made of the folders they lie in, and read for run and step."""

import re
from collections.abc import Mapping
from pathlib import Path

from arena.data.verdict import compile_pattern
from arena.support.errors import ConfigError
from arena.support.names import check_model_name, in_order

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


def compile_steps(pattern: str) -> re.Pattern:
    """Compile a pattern of checkpoint names: it must have a group `step` and may have `run`."""
    compiled = compile_pattern(pattern, "steps")
    if "step" not in compiled.groupindex:
        raise ConfigError(
            f"steps: {pattern!r} has no group `step`; write for example "
            r"(?P<run>.+)-step(?P<step>\d+)"
        )
    return compiled


def expand(name: str, folder: str | Path) -> dict[str, Path]:
    """Model name -> folder, for a name and a path with the same {placeholders}.

    A placeholder matches one or more characters within one part of the path; where it occurs
    twice, both must be equal. Without placeholders: the one folder, even if it does not exist.
    """
    known = set(_PLACEHOLDER.findall(str(folder)))
    if unknown := sorted(set(_PLACEHOLDER.findall(name)) - known):
        raise ConfigError(
            f"answers.models: {name}: the path {folder} has no placeholder {{{unknown[0]}}}; it "
            f"has {', '.join(sorted(known)) or 'none'}"
        )
    models: dict[str, Path] = {}
    try:
        matches = _matching_folders(Path(folder))
    except OSError as error:
        raise ConfigError(
            f"answers.models: {name}: {error.filename}: cannot be read: {error.strerror}"
        ) from error
    for path, values in matches:
        model = name
        for placeholder, value in values.items():
            model = model.replace(f"{{{placeholder}}}", value)
        check_model_name(model, where=f"answers.models: {path}")
        if model in models:
            raise ConfigError(
                f"answers.models: {name}: {models[model]} and {path} would both be named {model}; "
                "add a placeholder to the name that differs between them"
            )
        models[model] = path
    return dict(sorted(models.items(), key=lambda item: in_order(item[0])))


def _matching_folders(folder: Path) -> list[tuple[Path, dict[str, str]]]:
    """Folders that match a path with placeholders, and the values of these."""
    found: list[tuple[Path, dict[str, str]]] = [(Path(), {})]
    for part in folder.parts:
        if not _PLACEHOLDER.search(part):
            found = [(path / part, values) for path, values in found]
            continue
        if found and not found[0][1] and not found[0][0].is_dir():
            raise ConfigError(f"answers.models: {folder}: no such folder: {found[0][0]}")
        found = [
            (entry, values | match.groupdict())
            for path, values in found
            if path.is_dir()
            for entry in path.iterdir()
            if (match := _part_pattern(part, values).fullmatch(entry.name))
        ]
    return [one for one in found if one[0].is_dir() or not one[1]]


def _part_pattern(part: str, values: Mapping[str, str]) -> re.Pattern[str]:
    """The pattern of one part of a path; `values`: placeholders known from the parts above."""
    pattern, seen = "", set()
    for place, piece in enumerate(_PLACEHOLDER.split(part)):  # text and names in turn
        if place % 2 == 0 or piece in values:
            pattern += re.escape(values[piece] if place % 2 else piece)
        else:
            not_hidden = "" if pattern else r"(?!\.)"
            pattern += f"(?P={piece})" if piece in seen else f"{not_hidden}(?P<{piece}>.+)"
            seen.add(piece)
    return re.compile(pattern, re.DOTALL)
