"""How the prompt in use differs from that of the user's Arena-Hard-Auto checkout."""

import difflib
from collections.abc import Iterator

from arena.data.prompts import ANY_CATEGORY
from arena.setup.settings import Settings


def prompt_differences(settings: Settings) -> list[str]:
    """One line a difference; a single line where there is none, or nothing to compare with."""
    if settings.upstream is None:
        return [
            "the judge prompt is this project's own: scores are not comparable with published ones "
            "(set arena_hard_dir to use Arena-Hard-Auto's)"
        ]
    found = list(_differences(settings))
    return found or [f"the judge prompt is that of {settings.upstream.directory}"]


def _differences(settings: Settings) -> Iterator[str]:
    theirs = settings.upstream.judge_settings(settings.bench)
    ours = settings.prompts["system_prompt"]
    for category, entry in theirs.items():
        used = ours.get(category, ours.get(ANY_CATEGORY, ""))
        yield from _difference(f"system prompt of {category}", used, entry["system_prompt"])
        baseline = settings.baselines.get(category, settings.baselines.get(ANY_CATEGORY))
        if baseline != entry["baseline"]:
            yield f"baseline of {category}: {baseline}, in the checkout {entry['baseline']}"
    given = settings.upstream.settings(settings.bench)
    template = given.get("prompt_template")
    if template:
        yield from _difference("prompt template", settings.prompts["prompt_template"], template)
    for key in ("temperature", "max_tokens", "reference"):
        if given.get(key) is not None and given[key] != settings.judge[key]:
            yield f"{key}: {settings.judge[key]}, in the checkout {given[key]}"


def _difference(what: str, used: str, theirs: str) -> Iterator[str]:
    if used == theirs:
        return
    lines = list(difflib.unified_diff(theirs.splitlines(), used.splitlines(), lineterm="", n=0))[2:]
    gone = [line[1:] for line in lines if line.startswith("-")]
    new = [line[1:] for line in lines if line.startswith("+")]
    first = next((line for line in new or gone if line.strip()), "only blanks")
    yield (
        f"{what} differs from the checkout's: {len(gone)} lines of it changed or gone, {len(new)} "
        f"new; first: {first.strip()[:60]!r}"
    )
