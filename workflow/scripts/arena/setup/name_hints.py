"""Nearest names for models that have no answers, or no block in the user's api_config.yaml."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from arena.support.humanize import listing
from arena.support.names import did_you_mean

# A look-up takes 1 ms a known name; a list that is wrong altogether needs no more hints than this.
_MOST = 20


class NameHints:
    """folder: of the answer files. known: the blocks of api_config.yaml, empty without one.

    models: all that are to be judged; none of them is suggested for another.
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
        said = "; it is no block of api_config.yaml either" if unknown else ""
        self._given += 1
        others = (self._files | self._known) - self._models if self._given <= _MOST else set()
        return said + did_you_mean(model, sorted(others))

    def notes(self, answered: Iterable[str]) -> list[str]:
        """On the models that have answers and are no blocks of api_config.yaml."""
        unknown = [model for model in answered if self._known and model not in self._known]
        if len(unknown) > _MOST:
            return [f"{len(unknown)} models are no blocks of api_config.yaml: {listing(unknown)}"]
        others = sorted(self._known - self._models)
        note = "no block of api_config.yaml"
        return [f"{model}: {note}{did_you_mean(model, others)}" for model in unknown]
