"""Differences between the prompt in use and that of the user's Arena-Hard-Auto checkout."""

import difflib
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

from arena.data.prompts import of_category
from arena.setup.settings import Settings


def prompt_differences(settings: Settings) -> list[str]:
    """One line per difference; a single line if there is none, or nothing to compare with."""
    if settings.upstream is None:
        return [
            "the judge prompt is this project's own: scores are not comparable with published ones "
            "(set arena_hard_dir to use Arena-Hard-Auto's)"
        ]
    directory, bench = settings.upstream.directory, settings.bench
    entries, theirs = settings.upstream.judge_settings(bench), settings.upstream.settings(bench)
    if not entries and not theirs.get("prompt_template"):
        return [
            f"{directory} has no prompts for {bench}, so the judge prompt is this project's own or "
            "yours: scores are not comparable with published ones"
        ]
    found = list(_differences(settings, entries, theirs))
    return found or [f"the judge prompt is that of {directory}"]


def _differences(
    settings: Settings, entries: Mapping[str, Mapping[str, str]], theirs: Mapping[str, Any]
) -> Iterator[str]:
    prompts = settings.prompts
    for category in sorted(settings.categories):
        if not (entry := of_category(entries, category)):
            yield f"system prompt of {category}: the checkout has none"
            continue
        used = of_category(prompts["system_prompt"], category) or ""
        yield from _difference(f"system prompt of {category}", used, entry["system_prompt"])
        baseline = of_category(settings.baselines, category)
        if baseline != entry["baseline"]:
            yield f"baseline of {category}: {baseline}, in the checkout {entry['baseline']}"
    if template := theirs.get("prompt_template"):
        yield from _difference("prompt template", prompts["prompt_template"], template)
    else:
        yield "prompt template: the checkout has none for this bench"
    for key in ("temperature", "max_tokens", "reference"):
        if key == "temperature" and "reasoning_effort" in settings.judge["sampling"]:
            continue  # Arena-Hard-Auto sends none either
        if theirs.get(key) is not None and theirs[key] != settings.judge[key]:
            yield f"{key}: {settings.judge[key]}, in the checkout {theirs[key]}"


def _difference(what: str, used: str, theirs: str) -> Iterator[str]:
    if used != theirs:
        lines = difflib.ndiff(theirs.splitlines(), used.splitlines())
        changed = sorted((line for line in lines if line[0] in "+-"), key=itemgetter(0))  # ours: +
        first = next((line for line in changed if line[1:].strip()), "only blanks")
        yield f"{what} differs from the checkout's by {len(changed)} lines; first: {first[:60]!r}"
