"""Pages of the report: self-contained HTML files with sortable tables and charts."""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from arena.support.humanize import printable
from arena.support.table import lay_out

if TYPE_CHECKING:
    from altair import TopLevelMixin

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"  # as in style.css


class Cell(NamedTuple):
    """key: sort key; "" is always last. Drawn instead of the text: bar, a score with its lower and
    upper bound in percent; stretches, a bar in parts: class in style.css that sets the colour,
    percent of the bar, tooltip.
    """

    text: str
    key: float | str = ""
    style: str = ""
    bar: tuple[float, float, float] | None = None
    stretches: Sequence[tuple[str, float, str]] = ()


Value = Cell | str | float | None  # integers are shown without decimals, other numbers with one


class Table:
    """columns: names, or name -> tooltip. baselines: indices of rows. total: the last row is a
    total, which is not sorted. words: indices of the columns of texts, which are left-aligned.
    """

    def __init__(
        self,
        columns: Sequence[str] | Mapping[str, str],
        rows: Sequence[Sequence[Value]],
        baselines: Collection[int] = (),
        total: bool = False,
    ) -> None:
        hints = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, "")
        self.columns = [(name, hints[name]) for name in columns]
        self.rows = [[_cell(value) for value in row] for row in rows]
        self.words = [i for i, cell in enumerate(next(iter(self.rows), ())) if cell.style == "word"]
        self.total = self.rows.pop() if total else None
        self.baselines = baselines


class Card(NamedTuple):
    """A number with an explanation; alarm: it is highlighted."""

    name: str
    value: str
    meaning: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A section of a tab: heading and content."""

    title: str = ""
    text: str = ""
    chart: int | None = None  # index in Page.charts
    key: Sequence[str] = ()  # legend of the bars: names of stretches
    table: Table | None = None
    cards: Sequence[Card] = ()
    remarks: Sequence[tuple[str, bool]] = ()  # text, and whether it is serious
    # A map: heading -> squares, each with its tooltip and the percentage that is filled.
    tiles: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    examples: Sequence[tuple[str, str]] = ()  # title and text


@dataclass(slots=True)
class Tab:
    name: str
    parts: list[Part] = field(default_factory=list)
    notes: Sequence[str] = ()


@dataclass(slots=True)
class Page:
    """refresh: seconds until the page reloads itself; None: never. written: seconds since 1970."""

    title: str
    about: str
    notes: Sequence[str] = ()
    tabs: list[Tab] = field(default_factory=list)
    charts: list[dict[str, Any]] = field(default_factory=list)
    refresh: float | None = None
    written: float = 0

    def chart(self, chart: "TopLevelMixin", names: Sequence[str] = ()) -> int:
        """Add a chart and return its index for Part; `names`: labels of its axis."""
        letters = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500}
        styled = chart.configure(font=FONT, background="transparent", view={"stroke": None})
        styled = styled.configure_axis(gridColor="#eaeef2", **letters)
        # With these the page's script fits a chart into the available width.
        sizes = {"names": max(map(len, names), default=0), "rows": len(names)}
        self.charts.append(_printable(styled.to_dict()) | {"usermeta": sizes})
        return len(self.charts) - 1

    def text(self) -> str:
        """The page without charts, for a terminal."""
        lines = [*(f"NOTE: {note}" for note in self.notes), self.title, self.about]
        for tab in self.tabs:
            lines += [f"##### {tab.name} #####", *(f"NOTE: {note}" for note in tab.notes)]
            for part in tab.parts:
                if part.cards or part.table or part.examples:
                    lines += [part.title, part.text]
                if part.cards:
                    cells = [[one.name, one.value, one.meaning] for one in part.cards]
                    lines += ["\n".join(lay_out(cells, (0, 2)))]
                if part.table:
                    heads = [name for name, _ in part.table.columns]
                    rows = [[cell.text for cell in row] for row in part.table.rows]
                    lines += ["\n".join(lay_out([heads, *rows], part.table.words))]
                lines += [f"{title}\n{indent(text, '    ')}" for title, text in part.examples]
        return printable("\n\n".join(filter(None, lines))) + "\n"

    def html(self) -> str:
        vega = _vega() if self.charts else ""
        return templates().get_template("page.html").render(page=self, vega=vega)


def span(first: int | None, last: int | None, dash: str = "–") -> str:
    """`3` or `3–5`; a dash for None."""
    if first is None:
        return dash
    return f"{first}" if first == last else f"{first}{dash}{last}"


def number(value: float | None, digits: int = 1) -> Cell:
    """A cell of a number; a dash for None."""
    return Cell("–") if value is None else Cell(f"{value:,.{digits}f}", value)


def between(lower: float | None, upper: float | None, spec: str = ".1f") -> Cell:
    """A cell of an interval, sorted by its width; a dash for None."""
    if lower is None or upper is None:
        return Cell("–")
    return Cell(f"{lower:{spec}} – {upper:{spec}}", upper - lower)


def interval(one: Mapping[str, Any], digits: int = 2) -> Cell:
    """A cell of a value with its interval: `0.62 (0.58, 0.66)`; without one, of the value."""
    if one["lower"] is None:
        return number(one["value"], digits)
    value, lower, upper = (f"{one[key]:.{digits}f}" for key in ("value", "lower", "upper"))
    return Cell(f"{value} ({lower}, {upper})", one["value"])


def _cell(value: Value) -> Cell:
    if isinstance(value, Cell):
        return value
    if isinstance(value, str):
        return Cell(value, value, "word")
    return number(value, 0 if isinstance(value, int) else 1)


@functools.cache
def templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # model names and judges' replies are untrusted
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
    """Vega, Vega-Lite and vega-embed as one script, from an installed package."""
    import vl_convert  # megabytes, which pages without charts do not need

    # A closing tag inside a string would end the script.
    return vl_convert.javascript_bundle().replace("</script", "<\\/script")  # type: ignore[call-arg]
