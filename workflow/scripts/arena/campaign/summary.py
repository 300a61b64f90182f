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
    """root: `<results_dir>/<bench>/<judge>`. monitor: the command that shows this campaign."""

    root: Path
    judgments: str
    monitor: str


def summary(
    places: Places, is_ranked: bool, models: Sequence[str], missing: Sequence[str], elapsed: str
) -> Iterator[str]:
    """models: those of this run. missing: those of them that were not judged."""
    if is_ranked:
        yield from top(places.root / "leaderboard.json")
    if missing:
        yield f"{len(missing)} of {counted(len(models), 'model')} not judged: {listing(missing)}."
        yield f"Why: {places.monitor}"
        yield "Run the same command again to judge them."
    if is_ranked or missing:
        yield f"Leaderboard, journals, logs: {places.root}/   Judgments: {places.judgments}/"
    yield elapsed


def top(path: Path) -> list[str]:
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
        cells.append([str(place), text_of(row.get("model")) or "", *numbers])
    toy = " (a toy judge: these numbers mean nothing)" if table.get("toy") else ""
    return [f"Top {len(cells) - 1} of {len(rows)}{toy}:", *lay_out(cells, left=(1,))]
