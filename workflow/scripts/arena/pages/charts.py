"""Figures as Vega-Lite charts, from the rows of leaderboard.json, differences.csv and curves.csv.

Every chart works without colour vision (Okabe and Ito's colours, and shapes or positions beside
them), and every mark says its numbers when pointed at.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from arena.pages.text import csv_text

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#e69f00", "#009e73", "#8c959f"
COLOURS = [BLUE, "#d55e00", GREEN, "#cc79a7", ORANGE, "#56b4e9", "#000000", "#b3a100"]
WIDTH = 640
ROW = 20  # pixels of a model's row; its name is 12 high
MATRIX_COLUMNS = (
    *("model", "other", "difference", "lower", "upper", "questions"),
    *("told_apart", "p_adjusted"),
)
SMALLEST_CELL, LARGEST_CELL, MATRIX = 9, 30, 1000  # pixels of a cell and of all of them
CELL = 200  # pixels of a run's own plot
MOST_RUNS = 8  # as many as there are colours; more get a plot each

Rows = Sequence[dict[str, Any]]


def intervals(rows: Rows, level: float) -> alt.LayerChart:
    """Scores with their intervals, best first; the baseline's 50 as a line."""
    shown = [row for row in rows if row["score"] is not None]
    order = [row["model"] for row in shown]
    data = _data(shown, kind=lambda row: "baseline" if row["is_baseline"] else "model")
    y = alt.Y("model:N", sort=order, title=None, axis=names_axis())
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["model", "baseline"], range=[BLUE, "#d55e00"]),
        legend=None,
    )
    tips = [
        alt.Tooltip("model:N"),
        alt.Tooltip("score:Q", format=".1f"),
        alt.Tooltip("lower:Q", format=".1f", title=f"lower ({level:.0%})"),
        alt.Tooltip("upper:Q", format=".1f", title=f"upper ({level:.0%})"),
        alt.Tooltip("ranks:N", title="ranks it may have"),
        alt.Tooltip("questions:Q"),
        alt.Tooltip("games:Q"),
    ]
    base = alt.Chart(data).encode(y=y, color=colour, tooltip=tips)
    axis = alt.Axis(orient=_side(shown))
    x = alt.X("lower:Q", title="Score (%)", scale=alt.Scale(zero=False, nice=True), axis=axis)
    whiskers = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=x, x2="upper:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x="score:Q", shape="kind:N")
    return (_line_at_50() + whiskers + points.encode(shape=_shape())).properties(
        width=WIDTH, height=alt.Step(ROW)
    )


def difference_matrix(pairs: Rows, order: Sequence[str]) -> alt.LayerChart:
    """Who is better than whom: two cells a pair; a dot where they cannot be told apart."""
    cell = min(LARGEST_CELL, max(SMALLEST_CELL, MATRIX / max(len(order), 1)))
    short = [
        one | {key: one[key] and round(one[key], 1) for key in ("difference", "lower", "upper")}
        for pair in pairs
        for one in (pair, _turned(pair))
    ]
    # As CSV: thousands of pairs, whose keys would be most of the page.
    text = csv_text(MATRIX_COLUMNS, short, cell=lambda value: value)
    data = alt.Data(values=text, format=alt.CsvDataFormat(type="csv"))
    most = max((abs(pair["difference"]) for pair in pairs), default=1) or 1
    names = {"labelFontSize": min(12, cell), "labelOverlap": False}
    place = {"sort": list(order), "scale": alt.Scale(domain=list(order), paddingInner=0.06)}
    base = alt.Chart(data).encode(
        x=alt.X(
            "other:N", title="... than this", axis=names_axis(labelAngle=-60, **names), **place
        ),
        y=alt.Y("model:N", title="how much better this is ...", axis=names_axis(**names), **place),
        tooltip=[
            alt.Tooltip("model:N"),
            alt.Tooltip("other:N", title="minus"),
            alt.Tooltip("difference:Q", format="+.1f"),
            alt.Tooltip("lower:Q", format="+.1f"),
            alt.Tooltip("upper:Q", format="+.1f"),
            alt.Tooltip("questions:Q", title="shared questions"),
            alt.Tooltip("told_apart:N", title="told apart"),
            alt.Tooltip("p_adjusted:Q", title="p, adjusted", format=".2g"),
        ],
    )
    scale = alt.Scale(
        domain=[-most, 0, most], range=["#d55e00", "#f7f7f7", BLUE], interpolate="rgb"
    )
    legend = alt.Legend(orient="top", gradientLength=200)  # at the side a wide matrix hides it
    colour = alt.Color("difference:Q", scale=scale, title="points", legend=legend)
    cells = base.mark_rect().encode(color=colour)
    dots = base.transform_filter("datum.told_apart == 'no'").mark_circle(
        size=max(cell, 9), color="#57606a", opacity=0.8
    )
    return (cells + dots).properties(width=alt.Step(cell), height=alt.Step(cell))


def _turned(pair: dict[str, Any]) -> dict[str, Any]:
    """The same pair from the other model's side."""
    turned = pair | {"model": pair["other"], "other": pair["model"]}
    turned["difference"] = 0 - pair["difference"]  # 0, not -0
    if pair["lower"] is not None:
        turned["lower"], turned["upper"] = 0 - pair["upper"], 0 - pair["lower"]
    return turned


def curves(points: Rows, level: float) -> alt.LayerChart:
    """Score against step, one line a run with its band; drag and scroll to look closer."""
    runs = sorted({point["run"] for point in points})
    if len(runs) > MOST_RUNS:
        return _small_curves(points, level)
    colour = alt.Color(
        "run:N",
        title="run",
        scale=alt.Scale(domain=runs, range=[COLOURS[i % len(COLOURS)] for i in range(len(runs))]),
        # Above, a column: beside the plot it would leave none on a telephone.
        legend=alt.Legend(orient="top", columns=1, labelLimit=0, symbolOpacity=1)
        if runs != [""]
        else None,
    )
    pick = alt.selection_point(fields=["run"], bind="legend")
    # What can be zoomed is clipped at the axes: room for whole marks at the ends.
    room = alt.Scale(zero=False, nice=False, padding=10)
    steps = alt.Axis(format="~s", grid=False)
    base = alt.Chart(alt.Data(values=list(points))).encode(
        x=alt.X("step:Q", title="training step", axis=steps, scale=room),
        color=colour,
        opacity=alt.condition(pick, alt.value(1), alt.value(0.12)),
    )
    y = alt.Y("lower:Q", title="Score (%)", scale=room)
    shades = alt.condition(pick, alt.value(0.18), alt.value(0.03))
    band = base.mark_area().encode(y=y, y2="upper:Q", opacity=shades)
    line = base.mark_line(strokeWidth=2).encode(y="score:Q")
    dots = base.mark_point(filled=True, size=60).encode(
        y="score:Q",
        shape=alt.Shape("run:N", legend=None),
        tooltip=_curve_tips(level),
    )
    zoom = alt.selection_interval(bind="scales")
    return (band + line + dots.add_params(pick, zoom)).properties(width=WIDTH, height=380)


def _small_curves(points: Rows, level: float) -> alt.FacetChart:
    """A plot a run, the other runs in grey behind it, all with the same scales."""
    x = alt.X("step:Q", title=None, axis=alt.Axis(format="~s", grid=False, tickCount=4))
    scale = alt.Scale(zero=False)
    every = alt.Data(
        values=[{key: point[key] for key in ("run", "step", "score")} for point in points]
    )
    # `detail` under another name than the facet's, which would pick its own run only.
    others = (
        alt.Chart(every)
        .transform_calculate(other="datum.run")
        .mark_line(strokeWidth=1, color=GREY, opacity=0.35)
        .encode(x=x, y=alt.Y("score:Q", title="Score (%)", scale=scale), detail="other:N")
    )
    base = alt.Chart().encode(x=x)
    band = base.mark_area(opacity=0.25, color=BLUE).encode(
        y=alt.Y("lower:Q", title=""), y2="upper:Q"
    )
    line = base.mark_line(strokeWidth=2.5, color=BLUE).encode(y="score:Q")
    dots = base.mark_point(filled=True, size=45, color=BLUE, opacity=1).encode(
        y="score:Q", tooltip=_curve_tips(level)
    )
    runs = alt.Facet("run:N", title=None, header=alt.Header(labelLimit=0, labelFontWeight="bold"))
    return (
        alt.layer(others, band, line, dots, data=alt.Data(values=list(points)))
        .properties(width=CELL, height=CELL * 2 // 3)
        .facet(runs, columns=4)
    )


def _curve_tips(level: float) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("model:N"),
        alt.Tooltip("step:Q", format=","),
        alt.Tooltip("score:Q", format=".1f"),
        alt.Tooltip("lower:Q", format=".1f", title=f"lower ({level:.0%})"),
        alt.Tooltip("upper:Q", format=".1f", title=f"upper ({level:.0%})"),
    ]


def outcomes(rows: Rows) -> alt.Chart:
    """Shares of games won, tied and lost against the baseline, most wins first."""
    values = []
    shown = [row for row in rows if row["games"]]
    for row in shown:
        lost = row["games"] - row["won"] - row["tied"]
        for place, (outcome, games) in enumerate(
            (("won", row["won"]), ("tied", row["tied"]), ("lost", lost))
        ):
            values.append(
                {
                    "model": row["model"],
                    "outcome": outcome,
                    "place": place,
                    "games": games,
                    "share": games / row["games"],
                }
            )
    order = sorted(shown, key=lambda row: -(row["won"] + row["tied"] / 2) / row["games"])
    return (
        alt.Chart(alt.Data(values=values))
        .mark_bar()
        .encode(
            y=alt.Y("model:N", sort=[row["model"] for row in order], title=None, axis=names_axis()),
            x=alt.X(
                "share:Q",
                title="share of games",
                axis=alt.Axis(format=".0%", orient=_side(shown)),
            ),
            order="place:Q",
            color=alt.Color(
                "outcome:N",
                scale=alt.Scale(domain=["won", "tied", "lost"], range=[BLUE, "#d0d7de", ORANGE]),
                legend=alt.Legend(orient="top", title=None),
            ),
            tooltip=[
                "model:N",
                "outcome:N",
                "games:Q",
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
        .properties(width=WIDTH, height=alt.Step(ROW))
    )


def by_category(rows: Rows) -> alt.LayerChart:
    """One line a model: its score in each category, with intervals."""
    shown = [row for row in rows if row["score"] is not None and not row["is_baseline"]]
    names = list(dict.fromkeys(row["category"] for row in shown))
    means: dict[str, list[float]] = {}
    for row in shown:
        means.setdefault(row["model"], []).append(row["score"])
    order = sorted(means, key=lambda model: -sum(means[model]) / len(means[model]))
    legend = alt.Legend(orient="top", columns=1, title=None, symbolOpacity=1)
    colour = alt.Color(
        "category:N",
        scale=alt.Scale(domain=names, range=[COLOURS[i % len(COLOURS)] for i in range(len(names))]),
        legend=legend,
    )
    base = alt.Chart(alt.Data(values=list(shown))).encode(
        y=alt.Y("model:N", sort=order, title=None, axis=names_axis()),
        yOffset=alt.YOffset("category:N", sort=names),
        color=colour,
        tooltip=[
            "model:N",
            "category:N",
            alt.Tooltip("score:Q", format=".1f"),
            alt.Tooltip("lower:Q", format=".1f"),
            alt.Tooltip("upper:Q", format=".1f"),
        ],
    )
    whiskers = base.mark_rule(strokeWidth=2, opacity=0.55).encode(
        x=alt.X(
            "lower:Q",
            title="Score (%)",
            scale=alt.Scale(zero=False),
            axis=alt.Axis(orient=_side(order)),
        ),
        x2="upper:Q",
    )
    shape = alt.Shape("category:N", scale=alt.Scale(domain=names), legend=legend)
    points = base.mark_point(filled=True, size=55, opacity=1).encode(x="score:Q", shape=shape)
    return (_line_at_50() + whiskers + points).properties(
        width=WIDTH, height=alt.Step(ROW * (1 + 0.4 * (len(names) - 1)), **{"for": "position"})
    )


def _data(rows: Rows, **columns) -> alt.Data:
    """Inline data of `rows` with further columns; ranks as text."""
    values = []
    for row in rows:
        best, worst = row["best_rank"], row["worst_rank"]
        ranks = f"{best}" if best == worst else f"{best}–{worst}"
        values.append({**row, "ranks": ranks, **{key: of(row) for key, of in columns.items()}})
    return alt.Data(values=values)


def _line_at_50() -> alt.Chart:
    rule = alt.Chart(alt.Data(values=[{"at": 50}])).mark_rule(color=GREY, strokeDash=[4, 4])
    return rule.encode(x="at:Q")


def _shape() -> alt.Shape:
    scale = alt.Scale(domain=["model", "baseline"], range=["circle", "diamond"])
    return alt.Shape("kind:N", scale=scale, legend=None)


def _side(rows: Sequence[Any]) -> str:
    """Where a scale of scores stands: above a list that is longer than a screen."""
    return "top" if len(rows) > 30 else "bottom"


def names_axis(**options: Any) -> alt.Axis:
    """An axis of models' names, which may be long and are never cut: the page makes room."""
    plain = {"labelLimit": 0, "maxExtent": 2000, "labelExpr": "datum.label", "labelPadding": 8}
    return alt.Axis(ticks=False, domain=False, **plain, **options)


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The chart as plain Vega-Lite, in the report's fonts."""
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
    axis = {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "gridColor": "#eaeef2",
    }
    styled = chart.configure(font=font, background="transparent").configure_axis(**axis)
    return styled.configure_view(stroke=None).to_dict()
