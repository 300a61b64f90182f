"""The report's pages, from the files that show_result and judge_health wrote."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arena.pages import charts
from arena.pages.formats import POWER, RANKS, heading
from arena.pages.health_page import health_page, judges_page
from arena.pages.html import Cell, Page, Part, Tab, Table, Value, between, number, span
from arena.ranking.leaderboard import title
from arena.ranking.votes import OVERALL
from arena.support.errors import DataError
from arena.support.humanize import csv_cell

MATRIX_MODELS = 150  # 22,500 cells; more are slow in a browser and cannot be read
TEXTS = ("category", "model", "other", "run", "told_apart")  # columns that are not numbers
UNSCORED = Part(text="No model has a score here.")  # Vega draws a chart of nothing infinitely high

Rows = list[dict[str, Any]]


def make_pages(folder: Path) -> dict[str, Page]:
    """Return page name -> page, from leaderboard.json, differences.csv, curves.csv, health.json."""
    for name in ("leaderboard.json", "differences.csv", "health.json"):
        if not (folder / name).is_file():
            command = "judge_health.py" if name == "health.json" else "show_result.py"
            raise DataError(f"{folder / name}: no such file; run {command} --out {folder}")
    board = json.loads((folder / "leaderboard.json").read_bytes())
    # Names that look like formulas have an apostrophe in front in CSV.
    names = {
        csv_cell(name): name for row in board["rows"] for name in (row["model"], row["category"])
    }
    pages = {
        "leaderboard": leaderboard_page(board),
        "intervals": intervals_page(board),
        "differences": differences_page(board, read_csv(folder / "differences.csv", names)),
        "categories": categories_page(board),
    }
    if (folder / "curves.csv").exists():
        pages["curves"] = curves_page(board, read_csv(folder / "curves.csv", names))
    if (folder / "judges.json").exists():
        found = json.loads((folder / "judges.json").read_bytes())
        pages["judges"] = judges_page(found, heading(board), board["notes"])
    pages["judge_health"] = health_page(json.loads((folder / "health.json").read_bytes()))
    return pages


def read_csv(path: Path, names: Mapping[str, str]) -> Rows:
    """Read CSV that show_result wrote; empty cells are None. names: cell -> original name."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                key: names.get(text, text) if key in TEXTS else float(text) if text else None
                for key, text in row.items()
            }
            for row in csv.DictReader(file)
        ]


def leaderboard_page(board: Mapping[str, Any]) -> Page:
    page = _page("Leaderboard", board)
    level = f"{board['level']:.0%}"
    controlled = bool(board["control_features"])
    tokens = any(row["avg_tokens"] is not None for row in board["rows"])
    columns = {
        **{"Rank": RANKS[board["ranks"]].format(board["level"]), "Model": ""},
        "Score (%)": "mean vote against the baseline; 50: as good as the baseline",
        f"{level} interval": f"{board['rounds']} resamples",
        "0 – 50 – 100": "bar: score; line: interval; center: as good as the baseline",
        **{"Won · tied · lost": "number of games", "Questions": "", "Games": ""},
        **({"Without style control": ""} if controlled else {}),
        **({"Tokens": "mean tokens of the model's answers"} if tokens else {}),
    }
    for category, rows in _by_category(board):
        about = board["categories"][category]
        cells = [_leaderboard_row(row, controlled, tokens) for row in rows]
        table = Table(columns, cells, [i for i, row in enumerate(rows) if row["is_baseline"]])
        text = POWER.format(**about) if about["detectable"] else ""
        tab = Tab(category, [Part(text=text, table=table)], about["notes"])
        if about["style"]:
            tab.parts.append(_style_part(about["style"], level))
        page.tabs.append(tab)
    return page


def _leaderboard_row(row: Mapping[str, Any], controlled: bool, tokens: bool) -> list[Value]:
    score, best, worst = row["score"], row["best_rank"], row["worst_rank"]
    interval = between(row["lower"], row["upper"])
    ends = (score, score) if row["lower"] is None else (row["lower"], row["upper"])
    won = Cell(f"{row['won']:,} · {row['tied']:,} · {row['lost']:,}", row["won"])
    strong, bar = Cell("–"), Cell("–")
    if score is not None:
        strong = Cell(f"{score:.1f}{'*' * row['is_plain']}", score, "strong")
        bar = Cell(interval.text, score, bar=(score, *ends))
    return [
        Cell(span(best, worst), "" if best is None else best + worst / 1e4),
        *(title(row["model"], row["is_baseline"]), strong, interval, bar),
        *([None] * 3 if row["is_baseline"] else [won, row["questions"], row["games"]]),
        *[row["plain_score"]] * controlled,
        *[row["avg_tokens"] and int(row["avg_tokens"])] * tokens,
    ]


def _style_part(style: Rows, level: str) -> Part:
    rows = [
        (one["column"], number(one["value"], 3), between(one["lower"], one["upper"], "+.3f"))
        for one in style
    ]
    text = (
        "Change of the log-odds of a vote if the style difference to the baseline grows by one "
        "standard deviation. Above 0: the judge prefers more of it. If the interval contains 0, "
        "the effect is not significant."
    )
    columns = ("Style column", "Coefficient", f"{level} interval")
    return Part("Effect of style on votes", text, table=Table(columns, rows))


def intervals_page(board: Mapping[str, Any]) -> Page:
    page = _page("Scores with intervals", board)
    for category, rows in _by_category(board):
        part = UNSCORED
        if any(row["games"] for row in rows):
            part = Part(chart=page.chart(charts.intervals(rows, board["level"]), _names(rows)))
        page.tabs.append(Tab(category, [part]))
    return page


def differences_page(board: Mapping[str, Any], pairs: Rows) -> Page:
    page = _page("Who is better than whom", board)
    for category, rows in _by_category(board):
        scored = [row["model"] for row in rows if row["score"] is not None]
        names = dict.fromkeys(scored[:MATRIX_MODELS])
        shown = [
            pair
            for pair in pairs
            if pair["category"] == category and pair["difference"] is not None
            if {pair["model"], pair["other"]} <= names.keys()
        ]
        parts: list[Part] = []
        if shown:
            at_once = board["ranks"] == "simultaneous"
            text = (
                "Blue: the model of the row is better; orange: it is worse. A dot: the two are not "
                f"significantly different ({'all pairs at once' if at_once else 'single pairs'}). "
                "The models are in the order of the leaderboard."
            )
            if len(names) < len(scored):
                text += f" The best {len(names)} models are shown; differences.csv has all pairs."
            chart = page.chart(charts.difference_matrix(shown, list(names)), list(names))
            paired = board["ci"] == "questions" and not board["control_features"]  # Options.paired
            what = "on the same questions" if paired else "of the scores"
            parts.append(Part(f"Differences {what}", text, chart))
        groups = enumerate(board["categories"][category]["groups"], 1)
        cells = [(place, ", ".join(group), len(group)) for place, group in groups]
        text = (
            "Neighbours in the leaderboard of which no pair is significantly different. Groups may "
            "overlap."
        )
        parts.append(Part("Groups", text, table=Table(("Group", "Models", "Size"), cells)))
        page.tabs.append(Tab(category, parts))
    return page


def categories_page(board: Mapping[str, Any]) -> Page:
    """Games won, tied and lost; with several categories also the scores side by side."""
    page = _page("Wins by category", board)
    shown = list(_by_category(board))
    rows = [row for category, some in shown for row in some if category != OVERALL]
    if len(shown) > 1 and any(row["games"] for row in rows):
        chart = page.chart(charts.by_category(rows), _names(shown[0][1]))
        text = "The dashed line is the baseline of each category."
        page.tabs.append(Tab("side by side", [Part("Scores by category", text, chart)]))
    for category, rows in shown:
        part = UNSCORED
        if any(row["games"] for row in rows):
            chart = page.chart(charts.outcomes(rows), _names(rows))
            part = Part("Games won, tied and lost", chart=chart)
        page.tabs.append(Tab(category, [part]))
    return page


def curves_page(board: Mapping[str, Any], points: Rows) -> Page:
    page = _page("Score over training", board)
    for category, rows in _by_category(board):
        some = [one for one in points if one["category"] == category and one["score"] is not None]
        if not some:
            continue
        runs = {one["run"] for one in some}
        many = len(runs) > charts.MOST_RUNS
        chart = page.chart(charts.curves(some, board["level"]), list(runs) if many else ())
        columns = ("Run", "Step", "Model", "Score (%)", "Interval")
        cells = [
            (
                one["run"] or "–",
                Cell(f"{one['step']:,.15g}", one["step"]),
                *(one["model"], one["score"], between(one["lower"], one["upper"])),
            )
            for one in some
        ]
        text = "Click a run in the legend to highlight it; scroll and drag to zoom."
        if many:
            text = "One plot per run, with the other runs in grey; all have the same scales."
        parts = [Part(text=text, chart=chart), Part(table=Table(columns, cells))]
        page.tabs.append(Tab(category, parts, list(_not_drawn(rows, some))))
    if not page.tabs:
        nothing = "No name of a judged model matches the pattern `steps`."
        page.tabs.append(Tab(OVERALL, [Part(text=nothing)]))
    return page


def _not_drawn(rows: Rows, drawn: Rows) -> Iterator[str]:
    known = {one["model"] for one in drawn}
    rest = [row for row in rows if row["model"] not in known and not row["is_baseline"]]
    for why, scored in (("their names have no step", True), ("they have no score", False)):
        if models := [row["model"] for row in rest if (row["score"] is not None) == scored]:
            yield f"Not on a curve, because {why}: {', '.join(models)}"


def _page(name: str, board: Mapping[str, Any]) -> Page:
    return Page(name, heading(board), board["notes"])


def _names(rows: Rows) -> list[str]:
    return [row["model"] for row in rows]


def _by_category(board: Mapping[str, Any]) -> Iterator[tuple[str, Rows]]:
    """Yield category and its rows, overall first; a single category without overall."""
    names = list(board["categories"])
    shown = [OVERALL, *(name for name in names if name != OVERALL)] if len(names) > 2 else names[:1]
    for name in shown:
        yield name, [row for row in board["rows"] if row["category"] == name]
