"""Figures of the judge's health, from health.json."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from arena.pages.charts import BLUE, GREEN, GREY, ORANGE, ROW, WIDTH, names_axis
from arena.ranking.answer_health import bin_text

PLACES = ("A is the baseline", "A is the model")
LABEL_COLOURS = [BLUE, "#7fb8d8", "#d0d7de", "#f2cf80", ORANGE]  # of A>>B to B>>A


def labels(judge: Mapping[str, Any]) -> alt.Chart:
    """The mix of labels in each place of the model; without bias the two are mirror images."""
    values = []
    for game, place in enumerate(("A is the baseline", "A is the model")):
        total = sum(counts[game] for counts in judge["labels"].values())
        for order, (label, counts) in enumerate(judge["labels"].items()):
            share = counts[game] / total if total else 0
            values.append(
                {
                    "game": place,
                    "label": label,
                    "order": order,
                    "verdicts": counts[game],
                    "share": share,
                }
            )
    return (
        alt.Chart(alt.Data(values=values))
        .mark_bar()
        .encode(
            y=alt.Y("game:N", title=None, axis=alt.Axis(labelLimit=0, ticks=False)),
            x=alt.X("share:Q", title="share of verdicts", axis=alt.Axis(format=".0%")),
            order="order:Q",
            color=alt.Color(
                "label:N",
                sort=list(judge["labels"]),
                scale=alt.Scale(domain=list(judge["labels"]), range=LABEL_COLOURS),
                legend=alt.Legend(orient="top", title=None),
            ),
            tooltip=["game:N", "label:N", "verdicts:Q", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=WIDTH, height=alt.Step(30))
    )


def models(judge: Mapping[str, Any]) -> tuple[alt.LayerChart, alt.Chart]:
    """For each model how often A won, and how often the verdict flipped."""
    rows = [row for row in judge["models"] if row["flips"] is not None]
    order = [row["model"] for row in sorted(rows, key=lambda row: -row["flips"])]
    data = alt.Data(values=rows)
    y = alt.Y("model:N", sort=order, title=None, axis=names_axis())
    side = alt.Axis(orient="top" if len(rows) > 30 else "bottom")
    scale = alt.Scale(domain=[0, max([5, *(row["flips"] for row in rows)])], nice=True)
    half = alt.Chart(alt.Data(values=[{"at": 50}])).mark_rule(color=GREY, strokeDash=[4, 4])
    wins = (
        alt.Chart(data)
        .mark_point(filled=True, size=70, color=BLUE, opacity=1)
        .encode(
            y=y,
            x=alt.X("a_wins:Q", title="A wins (%)", scale=alt.Scale(domain=[0, 100]), axis=side),
            tooltip=["model:N", alt.Tooltip("a_wins:Q", format=".1f"), "games:Q"],
        )
    )
    flips = (
        alt.Chart(data)
        .mark_bar(color=ORANGE)
        .encode(
            y=y,
            x=alt.X("flips:Q", title="flipped when swapped (%)", axis=side, scale=scale),
            tooltip=["model:N", alt.Tooltip("flips:Q", format=".1f"), "games:Q"],
        )
    )
    size = {"width": WIDTH, "height": alt.Step(ROW)}
    return (half.encode(x="at:Q") + wins).properties(**size), flips.properties(**size)


def lengths(bins: list[Mapping[str, Any]]) -> alt.LayerChart:
    """Mean vote against the length of the answer as a multiple of the baseline's."""
    values = [
        {"ratio": bin_text(one["low"], one["high"]), **one["score"]}
        for one in bins
        if one["score"]["of"]
    ]
    order = [one["ratio"] for one in values]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("ratio:N", sort=order, title="times the baseline's length", axis=_flat()),
        tooltip=[
            "ratio:N",
            alt.Tooltip("value:Q", format=".1f", title="mean vote (%)"),
            alt.Tooltip("lower:Q", format=".1f"),
            alt.Tooltip("upper:Q", format=".1f"),
            alt.Tooltip("of:Q", title="votes"),
        ],
    )
    y = alt.Y("lower:Q", title="mean vote for the model (%)")
    whiskers = base.mark_rule(strokeWidth=2.5, opacity=0.5, color=GREEN).encode(y=y, y2="upper:Q")
    points = base.mark_point(filled=True, size=80, color=GREEN, opacity=1).encode(y="value:Q")
    return (whiskers + points).properties(width=WIDTH, height=240)


def _flat() -> alt.Axis:
    return alt.Axis(labelAngle=0, ticks=False)
