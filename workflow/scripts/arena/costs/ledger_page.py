"""The ledger as a table for `snakemake --report`: one small page without scripts from elsewhere."""

from collections.abc import Iterable
from html import escape

from arena.costs.ledger import TOTAL, Row

_HEADINGS = {
    "batch": "Batch",
    "models": "Models",
    "gpu_hours": "GPU hours",
    "cost": "Cost",
    "start_s": "Start (s)",
    "busy_s": "Busy (s)",
    "idle_s": "Idle (s)",
    "games": "Games",
    "games_per_hour": "Games an hour",
    "prompt_tokens": "Prompt tokens",
    "cached_tokens": "of these cached",
    "completion_tokens": "Completion tokens",
    "failures": "No verdict",
    "retries": "Repeated calls",
    "restarts": "Restarts",
    "jobs": "Jobs",
}
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 1.5rem; color: #1b1f24; background: #fff }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .55rem; text-align: right }
td { white-space: nowrap }
th { vertical-align: bottom; max-width: 6rem }
th:first-child, td:first-child { text-align: left }
thead th { border-bottom: 2px solid #57606a; cursor: pointer; font-weight: 600 }
tbody tr:nth-child(even) { background: #f6f8fa }
tfoot td { border-top: 2px solid #57606a; font-weight: 600 }
.bar { display: flex; width: 9rem; height: .9rem; background: #e7ebef }
.start { background: #e69f00 } .busy { background: #0072b2 } .idle { background: #b8bec5 }
p.key span { display: inline-block; width: .9rem; height: .9rem; margin: 0 .3rem 0 1rem;
  vertical-align: -2px }
"""  # colours of Okabe and Ito: told apart by all common kinds of colour vision
_SORT = """
document.querySelectorAll("thead th").forEach((th, i) => th.addEventListener("click", () => {
  const body = document.querySelector("tbody"), up = th.dataset.up !== "1"; const key = tr => {
  const v = tr.cells[i].dataset.v; return isNaN(v) ? v : Number(v); }; [...body.rows].sort((a, b) =>
  (key(a) < key(b) ? -1 : 1) * (up ? 1 : -1)).forEach(r => body.append(r));
  document.querySelectorAll("thead th").forEach(t => t.dataset.up = ""); th.dataset.up = up ? "1" :
  "0";
}));
"""


def page(rows: Iterable[Row], title: str) -> str:
    """A whole HTML page: a sortable row a batch, the total below, and how each batch spent its
    time.
    """
    rows = list(rows)
    shown = [column for column in _HEADINGS if column != "cost" or rows[-1].cost is not None]
    head = "".join(f"<th>{_HEADINGS[column]}</th>" for column in shown)
    head = head.replace("</th>", "</th><th>Time held</th>", 1)
    lines = {row.batch: _line(row, shown) for row in rows}
    body = "\n".join(line for batch, line in lines.items() if batch != TOTAL)
    return f"""<!doctype html>
<html lang="en"><head><meta
charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1> <p class="key">Time held:<span class="start"></span>starting<span
class="busy"></span>busy <span class="idle"></span>idle</p> <div
class="wide"><table><thead><tr>{head}</tr></thead> <tbody> {body}
</tbody><tfoot>{lines[TOTAL]}</tfoot></table></div> <script>{_SORT}</script></body></html>
"""


def _line(row: Row, columns: list[str]) -> str:
    values = {column: getattr(row, column) for column in columns}
    first, *cells = (
        f'<td data-v="{escape(str(-1 if value is None else value))}">{_text(column, value)}</td>'
        for column, value in values.items()
    )
    held = row.start_s + row.busy_s + row.idle_s
    parts = [(name, getattr(row, f"{name}_s")) for name in ("start", "busy", "idle")]
    bar = "".join(
        f'<span class="{name}" style="width:{100 * seconds / held:.1f}%" '
        f'title="{name} {seconds:,.0f} s"></span>'
        for name, seconds in parts
        if held
    )
    time = f'<td data-v="{held}"><div class="bar">{bar}</div></td>'
    return f"<tr>{first}{time}{''.join(cells)}</tr>"


def _text(column: str, value: object) -> str:
    if value is None:
        return "–"
    if column in ("gpu_hours", "cost"):
        return f"{value:,.2f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else escape(str(value))
