"""The report's pages, from the files that show_result and judge_health wrote."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arena.pages import charts
from arena.pages.formats import POWER
from arena.pages.health_page import health_page
from arena.pages.html import Cell, Page, Part, Tab, Value, between, number, plain_table, span
from arena.pages.judges_page import judges_page
from arena.ranking.votes import OVERALL
from arena.support.errors import DataError
from arena.support.humanize import csv_cell

MATRIX_MODELS = 150  # 22,500 cells; beyond that neither browser nor eye follows
TEXTS = ("category", "model", "other", "run", "told_apart")  # columns of CSV that are no numbers

Rows = list[dict[str, Any]]


def make_pages(folder: Path) -> dict[str, Page]:
    """Return page name -> page, from leaderboard.json, differences.csv, curves.csv, health.json.

    Raises DataError naming the command that writes what is missing.
    """
    for name in ("leaderboard.json", "differences.csv", "health.json"):
        if not (folder / name).is_file():
            command = "judge_health.py" if name == "health.json" else "show_result.py"
            raise DataError(f"{folder / name}: no such file; {command} --out {folder} writes it")
    board = json.loads((folder / "leaderboard.json").read_bytes())
    # A name that a spreadsheet would compute stands in CSV with an apostrophe in front.
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
        pages["judges"] = judges_page(found, _page("", board).about, board["notes"])
    pages["judge_health"] = health_page(json.loads((folder / "health.json").read_bytes()))
    return pages


def read_csv(path: Path, names: Mapping[str, str]) -> Rows:
    """Read our own CSV, empty cells as None. names: cell -> the name that it stands for."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                key: names.get(text, text) if key in TEXTS else float(text) if text else None
                for key, text in row.items()
            }
            for row in csv.DictReader(file)
        ]


def leaderboard_page(board: Mapping[str, Any]) -> Page:
    """The table itself: sortable, searchable, an interval drawn in every row."""
    page = _page("Leaderboard", board)
    level = f"{board['level']:.0%}"
    how = ", for all models at once" if board["ranks"] == "simultaneous" else ", pair by pair"
    controlled = bool(board["control_features"])
    tokens = any(row["avg_tokens"] is not None for row in board["rows"])
    ranks = f"ranks that the data allow: below who is surely better, above who is worse{how}"
    columns = {
        **{"Rank": ranks, "Model": ""},
        "Score (%)": "mean vote against the baseline; 50 is as good as the baseline",
        f"{level} interval": f"{board['rounds']} resamples",
        "0 – 50 – 100": "bar: score; line: interval; middle: as good as the baseline",
        **{"Won · tied · lost": "games", "Questions": "", "Games": ""},
        **({"Without style control": ""} if controlled else {}),
        **({"Tokens": "of the model's answers, on average"} if tokens else {}),
    }
    for category, rows in _by_category(board):
        about = board["categories"][category]
        cells = [_leaderboard_row(row, controlled, tokens) for row in rows]
        table = plain_table(columns, cells, [i for i, row in enumerate(rows) if row["is_baseline"]])
        text = POWER.format(**about) if about["detectable"] else ""
        tab = Tab(category, [Part(text=text, table=table)], about["notes"])
        if about["style"]:
            tab.parts.append(_style_part(about["style"], level))
        page.tabs.append(tab)
    return page


def _leaderboard_row(row: Mapping[str, Any], controlled: bool, tokens: bool) -> list[Value]:
    score, best, worst = row["score"], row["best_rank"], row["worst_rank"]
    model = row["model"] + " (baseline)" * (row["is_baseline"] and row["model"][0] != "(")
    interval = between(row["lower"], row["upper"])
    # Without an interval the bar's line has no length.
    ends = (score, score) if row["lower"] is None else (row["lower"], row["upper"])
    won = Cell(f"{row['won']:,} · {row['tied']:,} · {row['lost']:,}", row["won"])
    strong, bar = Cell("–"), Cell("–")
    if score is not None:
        strong = Cell(f"{score:.1f}{'*' * row['is_plain']}", score, "strong")
        bar = Cell(interval.text, score, bar=(score, *ends))
    return [
        Cell("–") if best is None else Cell(span(best, worst), best + worst / 1e4),
        *(model, strong, interval, bar),
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
        "Change of the log-odds of a vote for a standard deviation more of this than the baseline. "
        "Above 0 the judge rewards it; an interval on both sides of 0 says that it may not care."
    )
    columns = ("Style column", "Coefficient", f"{level} interval")
    return Part("What the judge rewards", text, table=plain_table(columns, rows))


def intervals_page(board: Mapping[str, Any]) -> Page:
    """Scores with intervals as a chart."""
    page = _page("Scores with intervals", board)
    for category, rows in _by_category(board):
        chart = page.chart(charts.intervals(rows, board["level"]), _names(rows))
        page.tabs.append(Tab(category, [Part(chart=chart)]))
    return page


def differences_page(board: Mapping[str, Any], pairs: Rows) -> Page:
    """Every model against every other, and the groups that cannot be told apart."""
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
                "Blue: the model of the row is better, orange: it is worse. A dot: the data cannot "
                f"tell the two apart, {'all pairs taken at once' if at_once else 'pair by pair'}. "
                "The models stand in the order of the leaderboard."
            )
            if len(names) < len(scored):
                text += f" The best {len(names)} models are shown; differences.csv has all pairs."
            chart = page.chart(charts.difference_matrix(shown, list(names)), list(names))
            # With style control, or single votes drawn, a difference is one of scores.
            paired = board["ci"] == "questions" and not board["control_features"]
            what = "on the same questions" if paired else "of the scores"
            parts.append(Part(f"Differences {what}", text, chart))
        groups = enumerate(board["categories"][category]["groups"], 1)
        cells = [(place, ", ".join(group), len(group)) for place, group in groups]
        text = "Neighbours in the table among whom no pair can be told apart. Groups may overlap."
        parts.append(Part("Groups", text, table=plain_table(("Group", "Models", "Size"), cells)))
        page.tabs.append(Tab(category, parts))
    return page


def categories_page(board: Mapping[str, Any]) -> Page:
    """Games won, tied and lost; with several categories also the scores side by side."""
    page = _page("Wins by category", board)
    shown = list(_by_category(board))
    if len(shown) > 1:
        rows = [row for category, some in shown for row in some if category != OVERALL]
        chart = page.chart(charts.by_category(rows), _names(shown[0][1]))
        text = "Each category against its own baseline; the dashed line is as good as that."
        page.tabs.append(Tab("side by side", [Part("Score in each category", text, chart)]))
    for category, rows in shown:
        chart = page.chart(charts.outcomes(rows), _names(rows))
        page.tabs.append(Tab(category, [Part("Games won, tied and lost", chart=chart)]))
    return page


def curves_page(board: Mapping[str, Any], points: Rows) -> Page:
    """Checkpoints of runs: score against step."""
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
                Cell(f"{one['step']:,g}", one["step"]),
                *(one["model"], one["score"], between(one["lower"], one["upper"])),
            )
            for one in some
        ]
        text = "Click a run in the legend to single it out; scroll and drag to look closer."
        if many:
            text = "A plot a run, with the other runs in grey; all have the same scales."
        parts = [Part(text=text, chart=chart), Part(table=plain_table(columns, cells))]
        page.tabs.append(Tab(category, parts, list(_not_drawn(rows, some))))
    if not page.tabs:
        nothing = "No judged model has a name that the pattern of steps matches."
        page.tabs.append(Tab("overall", [Part(text=nothing)]))
    return page


def _not_drawn(rows: Rows, drawn: Rows) -> Iterator[str]:
    """Say which models are on no curve, and why."""
    known = {one["model"] for one in drawn} | {row["model"] for row in rows if row["is_baseline"]}
    for why, scored in (("their names match no step", True), ("they have no score", False)):
        rest = [row["model"] for row in rows if (row["score"] is not None) == scored]
        if models := [model for model in rest if model not in known]:
            yield f"Not on a curve, for {why}: {', '.join(models)}"


def _page(title: str, board: Mapping[str, Any]) -> Page:
    style = ", ".join(board["control_features"])
    drawn = "questions" if board["ci"] == "questions" else "votes"
    about = (
        f"{board['bench']}, judge {' + '.join(board['judges'])}, rule {board['rule']}; "
        f"{board['level']:.0%} intervals from {board['rounds']} resamples of {drawn}"
    ) + (f"; style control: {style}" if style else "")
    names = [row["model"] for row in board["rows"] if not row["is_baseline"]]
    return Page(title, about, board["notes"], models=names)


def _names(rows: Rows) -> list[str]:
    return [row["model"] for row in rows]


def _by_category(board: Mapping[str, Any]) -> Iterator[tuple[str, Rows]]:
    """Category and its rows, overall first; with one category, that one alone."""
    names = list(board["categories"])
    shown = [OVERALL, *(name for name in names if name != OVERALL)] if len(names) > 2 else names[:1]
    for name in shown:
        yield name, [row for row in board["rows"] if row["category"] == name]
