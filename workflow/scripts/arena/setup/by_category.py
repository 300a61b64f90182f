"""Prompts and baseline of each category, and the pilot: from the config, then from the checkout.

"*" stands for every category without an entry. Entries of categories that no question has are left
out, so that they change no digest and need no answers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arena.data.prompts import ANY_CATEGORY, asks_for, check_template, own_prompts, read_prompt
from arena.data.questions import Pilot, Question
from arena.data.verdict import DEFAULT_PATTERNS
from arena.setup.pattern_check import check_patterns
from arena.support.errors import ConfigError
from arena.support.names import check_model_name, did_you_mean

Entries = Mapping[str, Mapping[str, str]]  # of the checkout: category -> baseline, system_prompt


def choose_pilot(
    config: Mapping[str, Any], seed: int, bench: Sequence[Question]
) -> tuple[Pilot | None, frozenset[str]]:
    """The pilot that `questions` and `categories` describe, None if it has all questions; and the
    categories of its questions. Raises ConfigError for a category that no question has.
    """
    number, named = config.get("questions"), config.get("categories") or ()
    categories = sorted({named} if isinstance(named, str) else set(named))
    known = {question.category for question in bench}
    for category in categories if bench else ():
        _check_category(category, known, "categories")
    pilot = Pilot(number, categories, 0 if number is None else seed)
    chosen = pilot.choose(bench)
    whole = len(chosen) == len(bench)
    return None if whole else pilot, frozenset(question.category for question in chosen)


def choose_baselines(
    given: str | Mapping[str, str] | None, entries: Entries, asked: set[str]
) -> dict[str, str]:
    """Category -> model."""
    ours = _by_category(given, asked, "baseline")
    baselines = _used(_merged(entries, "baseline", ours), asked)
    if not baselines:
        raise ConfigError(
            "config: baseline is missing: the model that all others are compared with"
        )
    for model in baselines.values():
        check_model_name(model, where="config: baseline")
    return baselines


def choose_prompts(
    judge: Mapping[str, Any],
    theirs: Mapping[str, Any],
    entries: Entries,
    asked: set[str],
    checkout: Path | None,
    prompts_dir: Path,
) -> dict[str, Any]:
    """System prompt by category, user template, patterns: as texts.

    judge: the config's block. theirs: the settings of the checkout. Raises ConfigError also where
    our own prompts would be mixed with Arena-Hard-Auto's: such scores could not be compared.
    """
    own = own_prompts(prompts_dir)
    files = _by_category(judge.get("system_prompt"), asked, "judge.system_prompt")
    ours = {
        name: read_prompt(file, "config: judge.system_prompt: ") for name, file in files.items()
    }
    system = _merged(entries, "system_prompt", ours)
    template, their_template = None, theirs.get("prompt_template")
    if file := judge.get("prompt_template"):
        template, their_template = read_prompt(file, "config: judge.prompt_template: "), None
    their_system = bool(entries) and ANY_CATEGORY not in ours
    if their_system and not (template or their_template):
        raise ConfigError(
            f"arena_hard_dir: {checkout} has system prompts but no prompt template for this bench. "
            "Rename its settings file to config/<bench>.yaml, add `bench_name: <bench>` to it, or "
            "set judge.prompt_template"
        )
    if not (their_system or their_template):
        system = own.system | system
    elif ANY_CATEGORY not in system and (missing := sorted(asked.difference(system))):
        raise ConfigError(
            f"arena_hard_dir: {checkout} has no system prompt for the category {missing[0]!r} (it "
            f"has: {', '.join(sorted(system)) or 'none'}). Set judge.system_prompt: "
            f"{{{missing[0]}: FILE}}"
        )
    template = check_template(template or their_template or own.template)
    used, reference = asks_for(template, "REFERENCE"), judge.get("reference")
    if used and not (reference or theirs.get("reference")):
        raise ConfigError(
            "config: judge.reference is missing: the model whose answers replace {REFERENCE} in "
            "the prompt template"
        )
    if reference and not used:
        raise ConfigError(
            f"config: judge.reference: {reference} is not used, because the prompt template has no "
            "{REFERENCE}"
        )
    patterns = judge.get("patterns") or theirs.get("regex_patterns") or list(DEFAULT_PATTERNS)
    check_patterns(patterns)  # an error now, not in a job
    return {
        "system_prompt": _used(system, asked),
        "prompt_template": template,
        "patterns": patterns,
    }


def _by_category(
    given: str | Mapping[str, str] | None, asked: set[str], key: str
) -> dict[str, str]:
    """A value of the config by category. Raises ConfigError for one that no question has."""
    by_category = {ANY_CATEGORY: given} if isinstance(given, str) and given else dict(given or {})
    for category in by_category if asked else ():
        _check_category(category, asked | {ANY_CATEGORY}, key)
    return by_category


def _check_category(category: str, known: set[str], key: str) -> None:
    known_names = ", ".join(sorted(known - {ANY_CATEGORY}))
    if category not in known:
        raise ConfigError(
            f"config: {key}: the questions have no category {category!r}"
            f"{did_you_mean(category, known)} (they have {known_names})"
        )


def _merged(entries: Entries, key: str, ours: dict[str, str]) -> dict[str, str]:
    theirs = {} if ANY_CATEGORY in ours else {name: entry[key] for name, entry in entries.items()}
    return theirs | ours


def _used(by_category: dict[str, str], asked: set[str]) -> dict[str, str]:
    """The entries of the categories asked, and "*" if one of these has none; all if unknown."""
    used = asked | ({ANY_CATEGORY} if asked - by_category.keys() else set())
    return {name: text for name, text in by_category.items() if name in used or not asked}
