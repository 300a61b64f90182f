"""Tables as text: columns for a terminal, CSV for a spreadsheet."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arena.support.humanize import csv_cell


def text_table(cells: Sequence[Sequence[str]], words: Sequence[bool]) -> str:
    """Columns two blanks apart; words are flush left, numbers flush right."""
    cells = [[" ".join(cell.splitlines()) for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if is_word else cell.rjust(width)
            for cell, width, is_word in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in cells
    )


def csv_text(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    cell: Callable[[Any], Any] = csv_cell,
) -> str:
    """Rows as CSV with a header; other keys are left out, None is an empty cell.

    cell: makes cells safe for spreadsheets, as strangers choose names that begin with `=`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, columns))
    writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()
