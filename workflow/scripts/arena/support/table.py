"""Plain tables for terminals and log files, with as many columns as fit."""

import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from arena.support.humanize import printable
from arena.support.names import common_beginning, without

WHOLE_NAMES = 100  # width from which columns are dropped before names are shortened
# Blue and orange, which colour-blind people can distinguish; marks and words repeat the meaning.
COLOURS = {"done": "38;5;33", "partial": "38;5;172", "grave": "1;38;5;172", "dim": "2", "head": "1"}
_ESCAPE = re.compile(r"\x1b\[[\d;]*m")


@dataclass(frozen=True)
class Style:
    """How lines are drawn. unicode: marks and bars beyond ASCII. whole: unlimited width, for files
    and pipes.
    """

    width: int = 80
    colour: bool = False
    unicode: bool = True
    whole: bool = False

    @property
    def dots(self) -> str:
        return "…" if self.unicode else "~"

    def paint(self, text: str, kind: str) -> str:
        painted = self.colour and text and kind in COLOURS
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if painted else text

    def mark(self, kind: str) -> str:
        """One character for done, partial, missing, grave or note."""
        marks = {"done": "✓+", "partial": "◐~", "missing": "·.", "grave": "✗!", "note": "!-"}
        return marks.get(kind, "  ")[0 if self.unicode else 1]

    def bar(self, part: float, width: int) -> str:
        """A bar of which `part` (0 to 1) is full; completely full or empty only for 1 and 0."""
        filled = min(width - (part < 1), max(int(part > 0), round(part * width)))
        full, empty = ("█", "░") if self.unicode else ("#", ".")
        return self.paint(full * filled, "done") + self.paint(empty * (width - filled), "dim")

    def fit(self, text: str, width: int) -> str:
        """Cut in the middle. Not for names, which often differ only there."""
        if self.whole or len(text) <= width:
            return text
        head = (width - 1) // 2
        return text[:head] + self.dots + text[len(text) - width + head + 1 :]

    def plain(self, text: str) -> str:
        """The text, with characters beyond ASCII escaped if the style has no unicode."""
        ascii_text = text.replace("–", "-").encode("ascii", "backslashreplace").decode()
        return text if self.unicode else ascii_text

    def wrap(self, text: str, first: str, then: str) -> list[str]:
        """Break at blanks; long words, such as paths, stay whole so that they can be copied."""
        wrapper = textwrap.TextWrapper(self.width, first, then, break_on_hyphens=False)
        wrapper.break_long_words = False
        return wrapper.wrap(printable(text)) or [first]


@dataclass(frozen=True)
class Column:
    """text: row -> cell. kind: row -> colour. least: width of terminals that show it. key: what a
    page sorts by, instead of the text's number.

    If the table is too wide: shrinks: cells are cut in the middle; names: their common prefix is
    left out; spare: the column is dropped, the largest number first.
    """

    title: str
    text: Callable[[Any], str]
    kind: Callable[[Any], str] = lambda _: ""
    right: bool = True
    least: int = 0
    shrinks: bool = False
    names: bool = False
    spare: int = 0
    key: Callable[[Any], float | None] | None = None


def lay_out(
    rows: Sequence[Sequence[str]], left: Collection[int] = (0,), gap: str = "  "
) -> list[str]:
    """Lines of columns as wide as their widest cell. left: numbers of the left-aligned columns.

    A line break in a cell becomes a blank.
    """
    rows = [[" ".join(cell.splitlines()) for cell in row] for row in rows]
    widths = [max(map(visible, column)) for column in zip(*rows, strict=True)]

    def padded(number: int, cell: str) -> str:
        room = " " * (widths[number] - visible(cell))
        return cell + room if number in left else room + cell

    return [gap.join(padded(*one) for one in enumerate(row)).rstrip() for row in rows]


def table(columns: Sequence[Column], rows: Iterable[Any], style: Style) -> list[str]:
    """Lines of a table that fits the terminal, if that is possible without cutting names."""
    rows, note = list(rows), []
    shown = {
        column: [re.sub("[\n\t]", " ", printable(column.text(row))) for row in rows]
        for column in columns
        if column.least <= style.width
    }

    def width(column: Column) -> int:
        return max(len(column.title), *map(len, shown[column]), 0)

    def over() -> int:
        return 0 if style.whole else sum(map(width, shown)) + len(shown) - 1 - style.width

    def drop() -> None:
        for spare in sorted({column.spare for column in shown} - {0}, reverse=True):
            if over() > 0:
                for column in [column for column in shown if column.spare == spare]:
                    del shown[column]

    def shorten() -> None:
        for column in [column for column in shown if column.names and over() > 0]:
            if beginning := common_beginning(shown[column]):
                shown[column] = without(beginning, shown[column], style.dots)
                note.append(style.paint(f"  {style.dots} stands for {beginning}", "dim"))

    for make_room in (drop, shorten) if style.width >= WHOLE_NAMES else (shorten, drop):
        make_room()
    for column in [column for column in shown if column.shrinks and over() > 0]:
        most = max(8, width(column) - over())  # 8 characters still distinguish most reasons
        shown[column] = [style.fit(cell, most) for cell in shown[column]]
    lines = [[style.paint(column.title, "dim") for column in shown]]
    for number, row in enumerate(rows):
        cells = ((cells[number], column.kind(row)) for column, cells in shown.items())
        lines.append([style.paint(*cell) for cell in cells])
    left = [i for i, column in enumerate(shown) if not column.right]
    return [*lay_out(lines, left, gap=" "), *note]


def cut(line: str, width: int) -> str:
    """At most so many visible characters of a line; its escape sequences are all kept."""
    left, kept = width, ""
    for part in re.split(f"({_ESCAPE.pattern})", line):
        if _ESCAPE.fullmatch(part):
            kept += part
        else:
            kept, left = kept + part[:left], left - len(part[:left])
    return kept


def visible(line: str) -> int:
    """Number of visible characters of a line."""
    return len(_ESCAPE.sub("", line))
