"""The judge's prompt: a system prompt for each category and one template for the user message.

The template has the markers {QUESTION}, {ANSWER_A}, {ANSWER_B} and, for answers that are compared
with a reference, {REFERENCE}. Other braces are either all doubled, as in `str.format`, or all
single.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from arena.support.errors import ConfigError
from arena.support.files import read_text
from arena.support.names import did_you_mean

T = TypeVar("T")
ANY_CATEGORY = "*"

# Arena-Hard v0.1's names of the markers.
_OLDER = {
    "question_1": "QUESTION",
    "answer_1": "ANSWER_A",
    "answer_2": "ANSWER_B",
    "ref_answer_1": "REFERENCE",
}
_REQUIRED = ("QUESTION", "ANSWER_A", "ANSWER_B")
_MARKERS = (*_REQUIRED, "REFERENCE")
_MARKER = re.compile(r"\{([A-Za-z_0-9]+)\}")
_FORMAT = re.compile(r"\{\{|\}\}|" + _MARKER.pattern)


def of_category(by_category: Mapping[str, T], category: str) -> T | None:
    return by_category.get(category) or by_category.get(ANY_CATEGORY)


def needed_of_category(by_category: Mapping[str, T], category: str, key: str) -> T:
    """As `of_category`; ConfigError if there is none. key: of the config, that names them."""
    if found := of_category(by_category, category):
        return found
    raise ConfigError(
        f"{key}: none for the category {category!r}, only for {', '.join(sorted(by_category))}"
    )


def check_template(template: str, *, where: str = "judge.prompt_template") -> str:
    """Return the template with v0.1's markers renamed; ConfigError for missing or unknown ones."""
    pattern = _pattern(template)
    if pattern is _MARKER and "{{" in template:
        raise ConfigError(
            f"{where}: some literal braces are doubled and some are not; double all of them, as in "
            "str.format"
        )
    written = [found[1] for found in pattern.finditer(template) if found[1]]
    names = {name: _OLDER.get(name, name) for name in written}
    for name in written:
        if names[name] not in _MARKERS:
            raise ConfigError(
                f"{where}: unknown marker {{{name}}}{did_you_mean(name, _MARKERS)} (known: "
                f"{', '.join(_MARKERS)}; double literal braces: {{{{{name}}}}})"
            )
    if missing := [name for name in _REQUIRED if name not in names.values()]:
        raise ConfigError(f"{where}: the marker {{{missing[0]}}} is missing")
    return pattern.sub(lambda found: f"{{{names[found[1]]}}}" if found[1] else found[0], template)


@lru_cache(maxsize=4)  # a run has few templates
def _pattern(template: str) -> re.Pattern:
    """Matches the markers, and doubled braces if all literal braces are doubled."""
    rest = _FORMAT.sub("", template)
    return _MARKER if "{" in rest or "}" in rest else _FORMAT


def asks_for(template: str, name: str) -> bool:
    return any(match[1] == name for match in _pattern(template).finditer(template))


def own_prompts(directory: Path) -> dict[str, Any]:
    """`system.txt` (for every category) and `template.txt` of a folder."""
    system, template = (read_prompt(directory / f"{name}.txt") for name in ("system", "template"))
    return {"system_prompt": {ANY_CATEGORY: system}, "prompt_template": template}


def read_prompt(path: str | Path, where: str = "") -> str:
    """The text of a prompt file without its last newline; ConfigError with `where` if empty."""
    text = read_text(path, where).removesuffix("\n")
    if not text.strip():
        raise ConfigError(f"{where}{path}: the judge's prompt is empty")
    return text


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace the markers by their values; markers within values are not replaced."""

    def value(match: re.Match[str]) -> str:
        return match[0][0] if match[1] is None else values.get(match[1], match[0])

    return _pattern(template).sub(value, template)
