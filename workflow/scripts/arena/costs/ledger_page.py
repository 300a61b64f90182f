"""The ledger as a page of the report: a row a batch, how each spent its time, and the total."""

from collections.abc import Iterable, Sequence

from arena.costs.ledger import Row
from arena.pages.html import Cell, Column, Page, Part, Stretch, Tab, Table, TableRow, word

# column of the ledger -> heading, what it means
_HEADINGS = {
    "batch": ("Batch", ""),
    "models": ("Models", "that shared its judge server"),
    "gpu_hours": ("GPU hours", "by Slurm's accounting, else by what the batch wrote down"),
    "cost": ("Cost", "GPU hours times their price"),
    "start_s": ("Start (s)", "from the judge's launch until it answered"),
    "busy_s": ("Busy (s)", "at least one game was open"),
    "idle_s": ("Idle (s)", "held, but nobody asked"),
    "games": ("Games", ""),
    "games_per_hour": ("Games an hour", "of busy time"),
    "prompt_tokens": ("Prompt tokens", "by the server's own count"),
    "cached_tokens": ("of these cached", "not computed again: models share their beginnings"),
    "completion_tokens": ("Completion tokens", ""),
    "failures": ("No verdict", "games that ended in any state but ok"),
    "asked_again": ("Asked again", "games that had ended without a verdict before"),
    "retries": ("Repeated calls", "that failed and were made again"),
    "restarts": ("Restarts", "of the judge"),
    "jobs": ("Jobs", "1, and one for each retry or requeue"),
    "source": ("Source", "of the GPU hours: Slurm's accounting, or the batch's own record"),
}
_STRETCHES = {"start_s": "starting", "busy_s": "busy", "idle_s": "idle"}


def ledger_page(rows: Iterable[Row], title: str, notes: Sequence[str] = ()) -> Page:
    """A sortable row a batch and the total, which the last of `rows` is."""
    *batches, total = rows
    shown = [column for column in _HEADINGS if column != "cost" or total.cost is not None]
    columns = []
    for column in shown:
        name, hint = _HEADINGS[column]
        columns.append(Column(name, word=column in ("batch", "source"), hint=hint))
    columns.insert(1, Column("Time held", hint="point at a stretch to read its seconds"))
    table = Table(columns, [_line(row, shown) for row in batches], total=_line(total, shown))
    part = Part(key=list(_STRETCHES.values()), table=table)
    about = "One row for each batch of models that shared a judge server."
    return Page(title, about, notes, [Tab("ledger", [part])])


def _line(row: Row, columns: Sequence[str]) -> TableRow:
    batch, *cells = (_cell(column, getattr(row, column)) for column in columns)
    held = row.start_s + row.busy_s + row.idle_s
    stretches = [
        Stretch(name, 100 * getattr(row, column) / held, f"{name} {getattr(row, column):,.0f} s")
        for column, name in _STRETCHES.items()
        if held
    ]
    return TableRow([batch, Cell("", held, stretches=stretches), *cells])


def _cell(column: str, value: str | float | None) -> Cell:
    if value is None:
        return Cell("–")
    if isinstance(value, str):
        return word(value)
    return Cell(f"{value:,.{2 if column in ('gpu_hours', 'cost') else 0}f}", value)
