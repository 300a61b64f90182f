"""The judge's prompt: a system prompt for each category and one template for the user message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

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


@dataclass(frozen=True, slots=True)
class Prompts:
    """system: category -> text, with "*" for all others.

    template: with {QUESTION}, {ANSWER_A}, {ANSWER_B} and, for answers that are compared with a
    reference, {REFERENCE}. Other braces are either all doubled, as in `str.format`, or all single.
    """

    system: dict[str, str]
    template: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", check_template(self.template))


def of_category(by_category: Mapping[str, T], category: str) -> T | None:
    return by_category.get(category) or by_category.get(ANY_CATEGORY)


def check_template(template: str, *, where: str = "judge.prompt_template") -> str:
    """Return the template with v0.1's markers renamed; ConfigError for missing or unknown ones."""
    pattern = _pattern(template)
    if pattern is _MARKER and "{{" in template:
        raise ConfigError(
            f"{where}: some literal braces are doubled and some are not; double all of them, as in "
            "str.format"
        )

    def rename(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        name = _OLDER.get(match[1], match[1])
        if name not in _MARKERS:
            raise ConfigError(
                f"{where}: unknown marker {match[0]}{did_you_mean(match[1], _MARKERS)} (known: "
                f"{', '.join(_MARKERS)}; double literal braces: {{{match[0]}}})"
            )
        return "{" + name + "}"

    template = pattern.sub(rename, template)
    missing = [name for name in _REQUIRED if not asks_for(template, name)]
    if missing:
        raise ConfigError(f"{where}: the marker {{{missing[0]}}} is missing")
    return template


@lru_cache(maxsize=4)  # a run has few templates
def _pattern(template: str) -> re.Pattern:
    """Matches the markers, and doubled braces if all literal braces are doubled."""
    rest = _FORMAT.sub("", template)
    return _MARKER if "{" in rest or "}" in rest else _FORMAT


def asks_for(template: str, name: str) -> bool:
    return any(match[1] == name for match in _pattern(template).finditer(template))


def own_prompts(directory: str | Path) -> Prompts:
    """Read `system.txt` (for every category) and `template.txt` of a folder."""
    system, template = (read_prompt(Path(directory, f"{n}.txt")) for n in ("system", "template"))
    return Prompts({ANY_CATEGORY: system}, template)


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


def messages(
    prompts: Prompts,
    category: str,
    question: str,
    answer_a: str,
    answer_b: str,
    reference: str | None = None,
) -> list[dict[str, str]]:
    """The messages of one game; ConfigError if the template needs a reference and has none."""
    if asks_for(prompts.template, "REFERENCE") and reference is None:
        raise ConfigError(
            "judge.prompt_template has {REFERENCE}, but there is no reference answer; "
            "set judge.reference to the model whose answers are the references"
        )
    if not (system := of_category(prompts.system, category)):
        raise ConfigError(
            f"no system prompt for the category {category!r}; known are "
            f"{', '.join(sorted(prompts.system))}{did_you_mean(category, prompts.system)}. "
            "Set judge.system_prompt"
        )
    values = {"QUESTION": question, "ANSWER_A": answer_a, "ANSWER_B": answer_b}
    values["REFERENCE"] = reference or ""
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": fill(prompts.template, values)},
    ]
