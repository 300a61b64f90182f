"""Notes on settings that are allowed, but perhaps not meant: other prompts, names, paths."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from arena.data.prompts import of_category
from arena.setup.settings import Settings
from arena.support.humanize import listing
from arena.support.names import did_you_mean

# A look-up takes 1 ms per known name; for a list that is wrong altogether 20 hints are enough.
_MOST = 20


def notes_on(settings: Settings, answered: Iterable[str]) -> Iterator[str]:
    """Warnings about jobs that would fail, and about answered models without a block."""
    known = settings.upstream.api_config if settings.upstream else {}
    unknown = [model for model in answered if known and model not in known]
    others = sorted({*known}.difference(settings.selected))
    if others and len(unknown) <= _MOST:
        for model in unknown:
            yield f"{model}: no block in api_config.yaml{did_you_mean(model, others)}"
    elif unknown:
        yield f"{listing(unknown)}: no block in api_config.yaml"
    walltime = settings.walltime
    least = walltime["start_minutes"] + walltime["minutes_per_model"]
    if walltime["max_minutes"] < least:
        yield (
            f"walltime.max_minutes: {walltime['max_minutes']:g} is less than start_minutes + "
            f"minutes_per_model ({least:g}): a job may time out before it has judged one model"
        )
    path = settings.judge["path"] if settings.judge["server"] == "vllm" else None
    # a name on the Hugging Face hub is org/name; every other path with a slash is a folder
    if path and (path[0] in "/.~" or path.count("/") > 1) and not Path(path).exists():
        yield f"judge.path: {path} does not exist on this machine; it must exist on the GPU nodes"


class NameHints:
    """For models without answers: the nearest answer file, or block of api_config.yaml, of a model
    that is not judged itself.
    """

    def __init__(self, settings: Settings) -> None:
        files = {path.stem for path in settings.answers_dir.glob("*.jsonl")}
        files.update(settings.upstream.api_config if settings.upstream else ())
        self._others = sorted(files.difference(settings.selected))
        self._left = _MOST

    def near(self, model: str) -> str:
        self._left -= 1
        return did_you_mean(model, self._others) if self._left >= 0 else ""


def prompt_differences(settings: Settings) -> list[str]:
    """One line per difference; a single line if there is none, or nothing to compare with."""
    if settings.upstream is None:
        return [
            "the judge prompt is this project's own: scores are not comparable with published ones "
            "(set arena_hard_dir to use Arena-Hard-Auto's)"
        ]
    directory, bench = settings.upstream.directory, settings.bench
    theirs = settings.upstream.settings(bench)
    if not theirs["by_category"] and not theirs.get("prompt_template"):
        return [
            f"{directory} has no prompts for {bench}, so the judge prompt is this project's own or "
            "yours: scores are not comparable with published ones"
        ]
    found = list(_differences(settings, theirs))
    return found or [f"the judge prompt is that of {directory}"]


def _differences(settings: Settings, theirs: Mapping[str, Any]) -> Iterator[str]:
    prompts = settings.prompts
    for category in sorted(settings.categories):
        if not (entry := of_category(theirs["by_category"], category)):
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
    thinks = "reasoning_effort" in settings.judge["sampling"]
    for key in ("temperature", "max_tokens", "reference"):
        used = settings.judge[key]
        if key == "temperature" and used is None and thinks:
            continue  # Arena-Hard-Auto sends none either
        if theirs.get(key) is not None and theirs[key] != used:
            yield f"{key}: {used}, in the checkout {theirs[key]}"


def _difference(what: str, used: str, theirs: str) -> Iterator[str]:
    if used != theirs:
        lines = difflib.ndiff(theirs.splitlines(), used.splitlines())
        changed = sorted((line for line in lines if line[0] in "+-"), key=itemgetter(0))  # ours: +
        first = next((line for line in changed if line[1:].strip()), "only blanks")
        yield f"{what} differs from the checkout's by {len(changed)} lines; first: {first[:60]!r}"
