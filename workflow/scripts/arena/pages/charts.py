"""Vega-Lite charts of the rows of leaderboard.json, differences.csv, curves.csv and health.json.

Colours are Okabe and Ito's, which are safe for colour blindness; every mark has a tooltip.
"""

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import altair as alt
from pandas import DataFrame, concat

from arena.pages.html import span

BLUE, ORANGE, RED, GREY = "#0072b2", "#e69f00", "#d55e00", "#8c959f"
COLOURS = [BLUE, RED, "#009e73", "#cc79a7", ORANGE, "#56b4e9", "#000000", "#b3a100"]
LABEL_COLOURS = [BLUE, "#7fb8d8", "#d0d7de", "#f2cf80", ORANGE]  # A>>B to B>>A
PLACES = ("A is the baseline", "A is the model")  # first and second game
WIDTH = 640
ROW = 20  # pixels of a model's row; its name has 12
SMALLEST_CELL, LARGEST_CELL, MATRIX = 9, 30, 1000  # pixels of a cell and of the whole matrix
CELL = 200  # pixels of the plot of one run
MOST_RUNS = len(COLOURS)  # in one plot; with more, each run has its own

Rows = Sequence[dict[str, Any]]


def intervals(rows: Rows, level: float) -> alt.LayerChart:
    """Scores with their intervals, best first; the baseline's 50 is a line."""
    kinds = ["model", "baseline"]
    shown = [
        row
        | {"kind": kinds[row["is_baseline"]], "ranks": span(row["best_rank"], row["worst_rank"])}
        for row in rows
        if row["score"] is not None
    ]
    base = _chart(shown).encode(
        y=_names([row["model"] for row in shown]),
        color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[BLUE, RED]), legend=None),
        tooltip=_tips(
            *(("model:N",), *_scores(level), ("ranks:N", "", "range of ranks")),
            *(("questions:Q",), ("games:Q",)),
        ),
    )
    scale = alt.Scale(domain=kinds, range=["circle", "diamond"])
    shape = alt.Shape("kind:N", scale=scale, legend=None)
    return _scored(base, shape, shown).properties(width=WIDTH, height=alt.Step(ROW))


def difference_matrix(pairs: Rows, order: Sequence[str]) -> alt.LayerChart:
    """Differences, two cells per pair, with a dot where the pair is not significantly different."""
    cell = min(LARGEST_CELL, max(SMALLEST_CELL, MATRIX / max(len(order), 1)))
    numbers = dict.fromkeys(("difference", "lower", "upper"), float)
    columns = ["model", "other", *numbers, "questions", "told_apart", "p_adjusted"]
    one = DataFrame(pairs, columns=columns).astype(numbers)
    turned = {"model": one.other, "other": one.model, "difference": 0 - one.difference}  # no -0
    other = one.assign(**turned, lower=0 - one.upper, upper=0 - one.lower)
    # CSV, because JSON would repeat the keys of thousands of pairs.
    text = concat([one, other]).round(dict.fromkeys(numbers, 1)).to_csv(index=False)
    data = alt.Data(values=text, format=alt.CsvDataFormat(type="csv"))
    most = max((abs(pair["difference"]) for pair in pairs), default=1) or 1
    names = {"labelFontSize": min(12, cell), "labelOverlap": False}
    place = {"sort": list(order), "scale": alt.Scale(domain=list(order), paddingInner=0.06)}
    across = _names_axis(labelAngle=-60, **names)
    base = alt.Chart(data).encode(
        x=alt.X("other:N", title="... than this", axis=across, **place),
        y=alt.Y("model:N", title="how much better this is ...", axis=_names_axis(**names), **place),
        tooltip=_tips(
            *(("model:N",), ("other:N", "", "minus")),
            *((f"{key}:Q", "+.1f") for key in numbers),
            *(("questions:Q", "", "shared questions"), ("told_apart:N", "", "significant")),
            ("p_adjusted:Q", ".2g", "p adjusted"),
        ),
    )
    colours = [RED, "#f7f7f7", BLUE]
    scale = alt.Scale(domain=[-most, 0, most], range=colours, interpolate="rgb")
    legend = alt.Legend(orient="top", gradientLength=200)  # at the side it scrolls out of view
    colour = alt.Color("difference:Q", scale=scale, title="points", legend=legend)
    dots = base.transform_filter("datum.told_apart == 'no'").mark_circle(
        size=max(cell, 9), color="#57606a", opacity=0.8
    )
    size = {"width": alt.Step(cell), "height": alt.Step(cell)}
    return (base.mark_rect().encode(color=colour) + dots).properties(**size)


def curves(points: Rows, level: float) -> alt.LayerChart | alt.FacetChart:
    """Score against step, one line with band per run; drag and scroll to zoom."""
    runs = list(dict.fromkeys(point["run"] for point in points))
    tips = _tips(("model:N",), ("step:Q", ","), *_scores(level))
    if len(runs) > MOST_RUNS:
        return _small_curves(points, runs, tips)
    # At the top, as a legend at the side leaves no room for the plot on a phone.
    legend = alt.Legend(orient="top", columns=1, labelLimit=0, symbolOpacity=1)
    pick = alt.selection_point(fields=["run"], bind="legend")
    # A zoomable plot is clipped at its axes, so marks at the ends need padding.
    room = alt.Scale(zero=False, nice=False, padding=10)
    steps = alt.Axis(format="~s", grid=False)
    colours = alt.Scale(domain=runs, range=COLOURS)
    base = _chart(points).encode(
        x=alt.X("step:Q", title="training step", axis=steps, scale=room),
        color=alt.Color(
            "run:N", title="run", scale=colours, legend=legend if runs != [""] else None
        ),
        opacity=alt.condition(pick, alt.value(1), alt.value(0.12)),
    )
    shades = alt.condition(pick, alt.value(0.18), alt.value(0.03))
    y = alt.Y("lower:Q", title="Score (%)", scale=room)
    band = base.mark_area().encode(y=y, y2="upper:Q", opacity=shades)
    line = base.mark_line(strokeWidth=2).encode(y="score:Q")
    dots = base.mark_point(filled=True, size=60).encode(
        y="score:Q", shape=alt.Shape("run:N", legend=None), tooltip=tips
    )
    zoom = alt.selection_interval(bind="scales")
    return (band + line + dots.add_params(pick, zoom)).properties(width=WIDTH, height=380)


def speeds(points: Rows, what: str) -> alt.LayerChart:
    """Games or answers per second by time: all batches together, and each one in grey."""
    hint = _tips(("batch:N",), ("time:T", "%d %b %H:%M:%S"), ("speed:Q", ".2f", f"{what}/s"))
    axis = alt.Axis(grid=False, labelOverlap=True, tickCount=6)
    base = _chart(points).encode(
        x=alt.X("time:T", title=None, axis=axis), y=alt.Y("speed:Q", title=f"{what}/s")
    )
    each, whole = base.transform_filter("datum.batch"), base.transform_filter("!datum.batch")
    near = each.mark_point(opacity=0, size=80).encode(detail="batch:N", tooltip=hint)
    lines = each.mark_line(strokeWidth=1, color=GREY).encode(detail="batch:N")
    total = whole.mark_line(strokeWidth=2.5, color=BLUE)
    return (lines + total + near).properties(width=WIDTH, height=220)


def _small_curves(points: Rows, runs: list[str], tips: list[alt.Tooltip]) -> alt.FacetChart:
    """One plot per run with the other runs in grey, all with the same scales."""
    x = alt.X("step:Q", title=None, axis=alt.Axis(format="~s", grid=False, tickCount=4))
    y = alt.Y("score:Q", title="Score (%)", scale=alt.Scale(zero=False))
    # `detail` by another field than the facet's, which would select only its own run.
    others = (
        _chart([{key: point[key] for key in ("run", "step", "score")} for point in points])
        .transform_calculate(other="datum.run")
        .mark_line(strokeWidth=1, color=GREY, opacity=0.35)
        .encode(x=x, y=y, detail="other:N")
    )
    base = alt.Chart().encode(x=x)
    low = alt.Y("lower:Q", title="")
    band = base.mark_area(opacity=0.25, color=BLUE).encode(y=low, y2="upper:Q")
    line = base.mark_line(strokeWidth=2.5, color=BLUE).encode(y="score:Q")
    dots = base.mark_point(filled=True, size=45, opacity=1, color=BLUE)
    dots = dots.encode(y="score:Q", tooltip=tips)
    header = alt.Header(labelLimit=0, labelFontWeight="bold")
    facet = alt.Facet("run:N", title=None, sort=runs, header=header)
    layers = alt.layer(others, band, line, dots, data=alt.Data(values=list(points)))
    return layers.properties(width=CELL, height=CELL * 2 // 3).facet(facet, columns=4)


def outcomes(rows: Rows) -> alt.Chart:
    """Shares of games won, tied and lost against the baseline, most wins first."""
    shown = [row for row in rows if row["games"]]
    shown.sort(key=lambda row: -(row["won"] + row["tied"] / 2) / row["games"])
    counts = {row["model"]: {key: row[key] for key in ("won", "tied", "lost")} for row in shown}
    return _bars(counts, "model", "outcome", [BLUE, "#d0d7de", ORANGE], "games", ROW)


def labels(judge: Mapping[str, Any]) -> alt.Chart:
    """Shares of labels in both games; without position bias they are mirror images."""
    counts = {
        place: {label: games[game] for label, games in judge["labels"].items()}
        for game, place in enumerate(PLACES)
    }
    return _bars(counts, "game", "label", LABEL_COLOURS, "verdicts", 30)


def _bars(
    counts: Mapping[str, Mapping[str, int]],
    whole: str,
    part: str,
    colours: Sequence[str],
    what: str,
    step: int,
) -> alt.Chart:
    """Stacked bars; counts: name of the bar (`whole`) -> name of the `part` -> number of `what`."""
    values = [
        {whole: name, part: kind, "place": place, "games": number, "share": number / total}
        for name, parts in counts.items()
        if (total := max(sum(parts.values()), 1))
        for place, (kind, number) in enumerate(parts.items())
    ]
    scale = alt.Scale(domain=list(next(iter(counts.values()), ())), range=list(colours))
    bars = _chart(values).encode(
        x=alt.X("share:Q", title=f"share of {what}", axis=_side(counts, format=".0%")),
        y=_names(list(counts), whole),
        order="place:Q",
        color=alt.Color(f"{part}:N", scale=scale, legend=alt.Legend(orient="top", title=None)),
        tooltip=_tips((f"{whole}:N",), (f"{part}:N",), ("games:Q", "", what), ("share:Q", ".1%")),
    )
    return bars.mark_bar().properties(width=WIDTH, height=alt.Step(step))


def by_category(rows: Rows) -> alt.LayerChart:
    """Scores in each category with intervals, one row per model."""
    shown = [row for row in rows if row["score"] is not None and not row["is_baseline"]]
    names = list(dict.fromkeys(row["category"] for row in shown))
    means = DataFrame(shown, columns=["model", "score"]).groupby("model", sort=False).mean()
    order = list(means.sort_values("score", ascending=False, kind="stable").index)
    legend = alt.Legend(orient="top", columns=1, title=None, symbolOpacity=1)
    scale = alt.Scale(domain=names, range=COLOURS)
    base = _chart(shown).encode(
        y=_names(order),
        yOffset=alt.YOffset("category:N", sort=names),
        color=alt.Color("category:N", scale=scale, legend=legend),
        tooltip=_tips(("model:N",), ("category:N",), *_scores()),
    )
    shape = alt.Shape("category:N", scale=alt.Scale(domain=names), legend=legend)
    height = alt.Step(ROW * (1 + 0.4 * (len(names) - 1)), **{"for": "position"})
    return _scored(base, shape, order).properties(width=WIDTH, height=height)


def _chart(rows: Rows) -> alt.Chart:
    return alt.Chart(alt.Data(values=list(rows)))


def _scored(base: alt.Chart, shape: alt.Shape, rows: Sized) -> alt.LayerChart:
    """Scores with their intervals and a line at 50."""
    x = alt.X("lower:Q", title="Score (%)", scale=alt.Scale(zero=False), axis=_side(rows))
    whiskers = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=x, x2="upper:Q")
    points = base.mark_point(filled=True, size=60, opacity=1).encode(x="score:Q", shape=shape)
    line = _chart([{"at": 50}]).mark_rule(color=GREY, strokeDash=[4, 4]).encode(x="at:Q")
    return line + whiskers + points


def _names(order: Sequence[str], field: str = "model") -> alt.Y:
    return alt.Y(f"{field}:N", sort=list(order), title=None, axis=_names_axis())


def _tips(*fields: tuple[str, ...]) -> list[alt.Tooltip]:
    """Tooltips from (field, format, title); format and title may be missing or empty."""
    keys = ("format", "title")
    return [
        alt.Tooltip(name, **{key: one for key, one in zip(keys, rest, strict=False) if one})
        for name, *rest in fields
    ]


def _scores(level: float | None = None) -> Iterator[tuple[str, ...]]:
    yield ("score:Q", ".1f")
    for end in ("lower", "upper"):
        yield (f"{end}:Q", ".1f", f"{end} ({level:.0%})" if level else "")


def _side(rows: Sized, **options: str) -> alt.Axis:
    """A horizontal axis, at the top if the list is longer than a screen."""
    return alt.Axis(orient="top" if len(rows) > 30 else "bottom", **options)


def _names_axis(**options: Any) -> alt.Axis:
    """An axis of models' names, which are never cut, however long they are."""
    plain = {"labelLimit": 0, "maxExtent": 2000, "labelPadding": 8}
    return alt.Axis(ticks=False, domain=False, **plain, **options)
