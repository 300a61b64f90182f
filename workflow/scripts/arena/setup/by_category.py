"""What a judge is told of each category, and which model is compared with: config, then checkout.

"*" stands for every category that is not named. What no question asks for is left out, so that it
changes no digest and asks for no answers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arena.data.prompts import ANY_CATEGORY, asks_for, check_template, own_prompts, read_prompt
from arena.data.questions import Pilot, Question, read_questions
from arena.data.verdict import DEFAULT_PATTERNS
from arena.setup.pattern_check import check_patterns
from arena.support.errors import ArenaError, ConfigError
from arena.support.names import check_model_name, did_you_mean

Entries = Mapping[str, Mapping[str, str]]  # category -> baseline, system_prompt; of the checkout


def questions_of(path: Path) -> list[Question]:
    """The questions; none where they cannot be read, which validation tells."""
    try:
        return read_questions(path)
    except ArenaError:
        return []


def choose_pilot(
    config: Mapping[str, Any], seed: int, bench: Sequence[Question]
) -> tuple[Pilot | None, frozenset[str]]:
    """The part of the bench that `questions` and `categories` ask for, None where that is all of
    it; and its categories. ConfigError for a category that no question has.
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
    baselines = _asked_for(_merged(entries, "baseline", ours), asked)
    if not baselines:
        raise ConfigError("config: baseline is missing: the model that all are compared with")
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

    judge: the config's block. theirs: the settings of the checkout. ConfigError also where our own
    words would be mixed with Arena-Hard-Auto's: nobody could compare such scores.
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
            f"arena_hard_dir: {checkout} has system prompts but no prompt template for this bench: "
            "name its settings file config/<bench>.yaml, or give it `bench_name: <bench>`, or set "
            "judge.prompt_template"
        )
    if not (their_system or their_template):
        system = own.system | system
    elif ANY_CATEGORY not in system and (missing := sorted(asked.difference(system))):
        known = f"only for {', '.join(sorted(system))}" if system else "nor for any other"
        raise ConfigError(
            f"arena_hard_dir: {checkout} has no system prompt for the category {missing[0]!r} of "
            f"the questions ({known}); give one: judge.system_prompt, {{{missing[0]}: FILE}}"
        )
    template = check_template(template or their_template or own.template)
    shown, reference = asks_for(template, "REFERENCE"), judge.get("reference")
    if shown and not (reference or theirs.get("reference")):
        raise ConfigError(
            "config: judge.reference is missing: the model whose answers fill {REFERENCE} of the "
            "prompt template"
        )
    if reference and not shown:
        raise ConfigError(
            f"config: judge.reference: {reference} would never be seen: the prompt template has no "
            "{REFERENCE}"
        )
    patterns = judge.get("patterns") or theirs.get("regex_patterns") or list(DEFAULT_PATTERNS)
    check_patterns(patterns)  # refuses a bad one now, not in a job
    return {
        "system_prompt": _asked_for(system, asked),
        "prompt_template": template,
        "patterns": patterns,
    }


def _by_category(
    given: str | Mapping[str, str] | None, asked: set[str], key: str
) -> dict[str, str]:
    """A value of the config by category; ConfigError for one that no question has."""
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


def _asked_for(by_category: dict[str, str], asked: set[str]) -> dict[str, str]:
    """The entries that count: of the categories asked for, and "*" where one is not named."""
    rest = {ANY_CATEGORY} if asked - by_category.keys() else set()
    kept = {name: value for name, value in by_category.items() if name in asked | rest}
    return kept if asked else by_category
