"""Publish the judgments, or answers, of a model that its batch has made, or say what is missing."""

import sys
import time
from pathlib import Path

from arena.batch.made import complete_record, link
from arena.data.layout import Layout
from arena.support.errors import DataError, OpenGames

LATE = 90.0  # s; by default NFS shows another node's file after at most 60 s
POLL = 0.5  # s


def publish(layout: Layout, model: str, settings: str, batch: str | None, target: Path) -> None:
    """Link made/<model>.jsonl to its place, or copy it to another file system.

    settings: the current `Settings.digest`. batch: the one that should have made them.
    Raises OpenGames if they were not made, DataError if their inputs have changed since.
    """
    source = layout.made(model)
    made = complete_record(layout, model, source, settings)
    if made is None and batch and _is_done(layout.played(batch), model):
        print(f"{model}: waiting at most {LATE:g} s for {source}", file=sys.stderr, flush=True)
        until = time.monotonic() + LATE
        while made is None and time.monotonic() < until:
            time.sleep(POLL)
            made = complete_record(layout, model, source, settings)
    if made is None:
        raise OpenGames(f"{model}: {_why_not(layout, model, batch)}")
    if changed := made.changed():
        raise DataError(
            f"{model}: {', '.join(changed)} changed while the batch was running, so its results "
            "do not match the current files. Run the same command again: only what changed is asked"
        )
    link(source, target)


def _is_done(played: Path, model: str) -> bool:
    """Whether the batch says that it has made this model's judgments."""
    return played.exists() and model in played.read_text(encoding="utf-8").splitlines()


def _why_not(layout: Layout, model: str, batch: str | None) -> str:
    # Imported here, because a publication that succeeds needs no records of its batch.
    from arena.journals.records import BatchPlan, Status, read_json

    if not batch:
        return "no judgments were made"
    stage = BatchPlan.from_json(read_json(layout.batch(batch)) or {}, batch).stage
    status = Status.read(layout.status(batch))
    known = status and status.models.get(model)
    if not known:
        return f"no {stage.product} were made. Log: {layout.log(batch)}"
    left = f"{known.games - known.played} of {known.games} {stage.request}s are open"
    why = known.stop.text if known.stop else "its batch ended early"
    return f"{left}: {why}. Log: {layout.log(batch)}"
