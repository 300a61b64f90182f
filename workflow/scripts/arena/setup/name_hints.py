"""Nearest names for models that have no answers, or no block in the user's api_config.yaml."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from arena.support.humanize import listing
from arena.support.names import did_you_mean

# A look-up takes 1 ms per known name; for a list that is wrong altogether 20 hints are enough.
_MOST = 20


class NameHints:
    """folder: of the answer files. known: the blocks of api_config.yaml, empty without one.

    models: all that are judged; none of them is suggested in place of another.
    """

    def __init__(self, folder: Path, known: Iterable[str], models: Iterable[str]) -> None:
        self._folder, self._known, self._models = folder, set(known), set(models)
        self._given = 0

    @cached_property
    def _files(self) -> set[str]:
        return {path.stem for path in self._folder.glob("*.jsonl")}

    def near(self, model: str) -> str:
        """For a model without answers: the nearest answer file or block."""
        unknown = self._known and model not in self._known
        note = "; api_config.yaml has no such block either" if unknown else ""
        self._given += 1
        others = (self._files | self._known) - self._models if self._given <= _MOST else set()
        return note + did_you_mean(model, sorted(others))

    def notes(self, answered: Iterable[str]) -> list[str]:
        """On the models that have answers, but no block in api_config.yaml."""
        unknown = [model for model in answered if self._known and model not in self._known]
        if len(unknown) > _MOST:
            return [f"{len(unknown)} models have no block in api_config.yaml: {listing(unknown)}"]
        others = sorted(self._known - self._models)
        note = "no block in api_config.yaml"
        return [f"{model}: {note}{did_you_mean(model, others)}" for model in unknown]
