"""The ledger as a page of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from arena.pages.html import Cell, Page, Part, Stretch, Tab, Value, number, plain_table

# column of the ledger -> heading, what it means
_HEADINGS = {
    "batch": ("Batch", ""),
    "models": ("Models", "that shared its judge server"),
    "gpu_hours": ("GPU hours", "by Slurm's accounting, else by the batch's own record"),
    "cost": ("Cost", "GPU hours times their price"),
    "start_s": ("Start (s)", "from the judge's launch until it was ready"),
    "busy_s": ("Busy (s)", "at least one game was open"),
    "idle_s": ("Idle (s)", "the job ran without an open game"),
    "games": ("Games", ""),
    "games_per_hour": ("Games per hour", "of busy time"),
    "prompt_tokens": ("Prompt tokens", "as counted by the server"),
    "cached_tokens": ("of these cached", "prefixes that prompts share, computed once"),
    "completion_tokens": ("Completion tokens", ""),
    "failures": ("No verdict", "games that ended in any state but ok"),
    "asked_again": ("Asked again", "games that had ended without a verdict before"),
    "retries": ("Retries", "calls that failed and were repeated"),
    "restarts": ("Restarts", "of the judge"),
    "jobs": ("Jobs", "one for each attempt"),
    "source": ("Source", "of the GPU hours: Slurm's accounting, or the batch's own record"),
}
_STRETCHES = {"start_s": "starting", "busy_s": "busy", "idle_s": "idle"}


def ledger_page(rows: pd.DataFrame, title: str, notes: Sequence[str] = ()) -> Page:
    """rows: of `ledger`; the last one is the total."""
    shown = [column for column in _HEADINGS if column != "cost" or rows.cost.notna().any()]
    batch, *others = (_HEADINGS[column] for column in shown)
    columns = dict([batch, ("Job time", "point at a part to see its seconds"), *others])
    lines = [_line(row, shown) for row in rows.to_dict("records")]
    table = plain_table(columns, lines, total=True)
    about = "One row for each batch of models that shared a judge server."
    part = Part(key=list(_STRETCHES.values()), table=table)
    return Page(title, about, notes, [Tab("ledger", [part])])


def _line(row: Mapping[str, Any], columns: Sequence[str]) -> list[Value]:
    batch, *cells = (_cell(column, row[column]) for column in columns)
    held = sum(row[column] for column in _STRETCHES)
    stretches = [
        Stretch(name, 100 * row[column] / held, f"{name} {row[column]:,.0f} s")
        for column, name in _STRETCHES.items()
        if held
    ]
    return [batch, Cell("", held, stretches=stretches), *cells]


def _cell(column: str, value: str | float) -> Value:
    if isinstance(value, str):
        return value
    return number(None if pd.isna(value) else value, 2 if column in ("gpu_hours", "cost") else 0)
