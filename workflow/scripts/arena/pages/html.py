"""Pages of the report: whole HTML files, tables to sort and charts, nothing loaded from afar."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from arena.pages.text import text_table
from arena.support.humanize import printable

if TYPE_CHECKING:
    from altair import TopLevelMixin

TEMPLATES = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Column:
    """word: its cells are text, flush left. hint: shown when pointed at."""

    name: str
    word: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a bar, `share` percent of it; its name is its colour, by the page's style."""

    name: str
    share: float
    hint: str


@dataclass(frozen=True, slots=True)
class Cell:
    """key: what the column is sorted by; "" stands last. Drawn instead of the text: bar, a score
    with its lower and upper bound in percent; stretches, a bar in parts.
    """

    text: str
    key: float | str = ""
    style: str = ""
    bar: tuple[float, float, float] | None = None
    stretches: Sequence[Stretch] = ()


@dataclass(frozen=True, slots=True)
class TableRow:
    cells: Sequence[Cell]
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """total: stays below, however the rows are sorted."""

    columns: Sequence[Column]
    rows: Sequence[TableRow]
    total: TableRow | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A number at a glance; alarm: it deserves a look."""

    name: str
    value: str
    meaning: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A heading with what stands under it; `chart` is a number of the page's charts, `key` names
    the stretches of the bars.
    """

    title: str = ""
    text: str = ""
    chart: int | None = None
    key: Sequence[str] = ()
    table: Table | None = None
    cards: Sequence[Card] = ()
    examples: Sequence[tuple[str, str]] = ()  # title and text


@dataclass(slots=True)
class Tab:
    name: str
    parts: list[Part] = field(default_factory=list)
    notes: Sequence[str] = ()


@dataclass(slots=True)
class Page:
    title: str
    about: str
    notes: Sequence[str] = ()
    tabs: list[Tab] = field(default_factory=list)
    charts: list[dict[str, Any]] = field(default_factory=list)
    beginning: str = ""  # of most models' names: charts leave it out where there is no room

    def chart(self, chart: "TopLevelMixin", names: Sequence[str] = ()) -> int:
        """Take a chart in, and return its number for Part; `names`: that stand beside it."""
        from arena.pages.charts import CELL, specification  # here: Altair takes half a second

        drawn = _printable(specification(chart))
        # For the page, which fits a chart into the room that it finds.
        saved = len(self.beginning) - 1  # an ellipsis stands for it
        short = [len(name) - saved * name.startswith(self.beginning or "\n") for name in names]
        drawn["usermeta"] = {
            "names": max(map(len, names), default=0),
            "short": max(short, default=0),
            "rows": len(names),
            "cell": CELL,
        }
        self.charts.append(drawn)
        return len(self.charts) - 1

    def text(self) -> str:
        """The page for a terminal: all but its charts."""
        lines = [*(f"NOTE: {note}" for note in self.notes), self.title, self.about]
        for tab in self.tabs:
            lines += [f"##### {tab.name} #####", *(f"NOTE: {note}" for note in tab.notes)]
            for part in tab.parts:
                if part.cards or part.table or part.examples:
                    lines += [part.title, part.text]
                if part.cards:
                    cells = [[one.name, one.value, one.meaning] for one in part.cards]
                    lines.append(text_table(cells, (True, False, True)))
                if part.table:
                    heads = [column.name for column in part.table.columns]
                    rows = [[cell.text for cell in row.cells] for row in part.table.rows]
                    words = [column.word for column in part.table.columns]
                    lines.append(text_table([heads, *rows], words))
                lines += [f"{title}\n{indent(text, '    ')}" for title, text in part.examples]
        return printable("\n\n".join(filter(None, lines))) + "\n"

    def html(self) -> str:
        vega = _vega() if self.charts else ""
        return templates().get_template("page.html").render(page=self, vega=vega)


def common_beginning(names: Sequence[str]) -> str:
    """What three or more names begin with, up to a separator; "" where that saves nothing."""
    least, most = min(names, default=""), max(names, default="")
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(least, most, strict=False))
    shared = "".join(letter for letter, _ in pairs)
    cut = re.match(r".*[-_./:+@]", shared)
    return cut[0] if len(names) > 2 and cut and len(cut[0]) > 3 else ""


def number(value: float | None, digits: int = 1) -> Cell:
    """A cell of a number; a dash where there is none."""
    return Cell("–") if value is None else Cell(f"{value:.{digits}f}", value)


def between(lower: float | None, upper: float | None, spec: str = ".1f") -> Cell:
    """A cell of an interval, sorted by its width; a dash where there is none."""
    if lower is None or upper is None:
        return Cell("–")
    return Cell(f"{lower:{spec}} – {upper:{spec}}", upper - lower)


def word(text: str) -> Cell:
    """A cell of text."""
    return Cell(text, text, "word")


def interval(one: Mapping[str, Any], digits: int = 2) -> Cell:
    """A cell of a value with its interval: `0.62 (0.58, 0.66)`."""
    if one["value"] is None:
        return Cell("–")
    value, lower, upper = (f"{one[key]:.{digits}f}" for key in ("value", "lower", "upper"))
    return Cell(f"{value} ({lower}, {upper})", one["value"])


def plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell | str | float | None]]
) -> Table:
    """A table of cells and of plain values; counts are shown whole, other numbers with a digit."""
    cells = [[_cell(value) for value in row] for row in rows]
    words = [cell.style == "word" for cell in cells[0]] if cells else [False] * len(columns)
    return Table(list(map(Column, columns, words)), list(map(TableRow, cells)))


def _cell(value: Cell | str | float | None) -> Cell:
    if isinstance(value, Cell):
        return value
    if isinstance(value, str):
        return word(value)
    return number(value, 0 if isinstance(value, int) else 1)


@functools.cache
def templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,  # names of models and replies of judges are strangers' text
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _printable(value: Any) -> Any:
    """Plain data without control characters."""
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return printable(value) if isinstance(value, str) else value


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script, from the package that is installed here."""
    import vl_convert  # here: pages without a chart, such as the ledger, need no megabytes of it

    # A closing tag inside a string of the script would end the script.
    return vl_convert.javascript_bundle().replace("</script", "<\\/script")  # type: ignore[call-arg]
