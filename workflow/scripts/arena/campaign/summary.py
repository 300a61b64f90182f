"""The end of a run's screen: the top of the leaderboard, and where to find everything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from arena.journals.records import read_json
from arena.support.coerce import dict_of, list_of, number_of, text_of
from arena.support.humanize import counted, listing
from arena.support.table import lay_out

TOP = 5


@dataclass(frozen=True)
class Places:
    """root: `<results_dir>/<bench>/<judge>`. monitor: the command that shows this campaign. pilot:
    the notes on it, if it is one. left_out: number of selected models that cannot be judged.
    """

    root: Path
    judgments: str
    monitor: str
    pilot: tuple[str, ...] = ()
    left_out: int = 0


def summary(
    places: Places,
    is_ranked: bool,
    models: Sequence[str],
    missing: Sequence[str],
    elapsed: str,
    kept: str | None,
) -> Iterator[str]:
    """models: those of this run. missing: those of them that were not judged. kept: the finished
    games if the user has stopped the run, else None.
    """
    if is_ranked:
        yield from top(places.root / "leaderboard.json", places.pilot)
    if (is_ranked or missing) and places.left_out:
        yield f"Left out: {counted(places.left_out, 'model')}. Why: see `left out` above."
    if kept is not None:
        yield f"Stopped; {kept} are kept. Run the same command again to continue."
    elif missing:
        yield f"{len(missing)} of {counted(len(models), 'model')} not judged: {listing(missing)}."
        yield f"Why: {places.monitor}"
        yield "Run the same command again to judge them."
    if is_ranked or missing:
        yield f"Leaderboard, journals, logs: {places.root}/   Judgments: {places.judgments}/"
    yield elapsed


def top(path: Path, pilot: Sequence[str] = ()) -> list[str]:
    """The first rows of the overall table; [] if there is no table."""
    table = read_json(path) or {}
    rows = [dict_of(row) for row in list_of(table.get("rows"))]
    rows = [row for row in rows if row.get("category") == "overall" and not row.get("is_plain")]
    if not rows:
        return []
    cells = [["", "model", "score", "interval"]]
    for place, row in enumerate(rows[:TOP], 1):
        score, lower, upper = (number_of(row.get(key)) for key in ("score", "lower", "upper"))
        known = score is not None and lower is not None and upper is not None
        numbers = [f"{score:.1f}", f"{lower:.1f} to {upper:.1f}"] if known else ["–", ""]
        model = (text_of(row.get("model")) or "") + " (baseline)" * bool(row.get("is_baseline"))
        cells.append([str(place), model, *numbers])
    notes = [*pilot, *["a toy judge: these numbers mean nothing"] * bool(table.get("toy"))]
    note = f" ({'; '.join(notes)})" if notes else ""
    return [f"Top {len(cells) - 1} of {len(rows)}{note}:", *lay_out(cells, left=(1,))]
