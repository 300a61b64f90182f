"""Publish a model's judgments, which its batch has made, or say why they are not there."""

import sys
import time
from pathlib import Path

from arena.batch.made import link, whole
from arena.data.layout import Layout
from arena.support.errors import DataError, OpenGames

LATE = 90.0  # s; NFS shows a file of another node after 60 s, unless it is mounted otherwise
LOOK = 0.5  # s


def publish(layout: Layout, model: str, settings: str, batch: str | None, target: Path) -> None:
    """Link made/<model>.jsonl to its place; copied where that is on another file system.

    settings: `Settings.digest` of today. batch: which should have made them, for the reason.
    Raises OpenGames where they were not made, DataError where their inputs have changed since.
    """
    source = layout.made(model)
    made = whole(layout, model, source, settings)
    if made is None and batch and _is_done(layout.played(batch), model):
        print(f"{model}: waiting at most {LATE:g} s for {source}", file=sys.stderr, flush=True)
        until = time.monotonic() + LATE
        while made is None and time.monotonic() < until:
            time.sleep(LOOK)
            made = whole(layout, model, source, settings)
    if made is None:
        raise OpenGames(f"{model}: {_why_not(layout, model, batch)}")
    if changed := made.changed():
        raise DataError(
            f"{model}: {', '.join(changed)} changed while it was judged, so these judgments are "
            "not of today's files. Run the same command again: only changed games are asked"
        )
    link(source, target)


def _is_done(played: Path, model: str) -> bool:
    """Whether the batch says that it has made this model's judgments."""
    return played.exists() and model in played.read_text(encoding="utf-8").splitlines()


def _why_not(layout: Layout, model: str, batch: str | None) -> str:
    # Here: a publication that succeeds needs no record of its batch.
    from arena.journals.records import Status

    status = Status.read(layout.status(batch)) if batch else None
    known = status and status.models.get(model)
    if not known:
        return "no judgments were made"
    open_games = known.games - known.played
    why = known.stop.text if known.stop else "its batch was ended before"
    return f"{open_games} of {known.games} games are open: {why}. Log: {layout.log(batch or '')}"
