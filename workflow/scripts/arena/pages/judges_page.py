"""The page of several judges: scores side by side, agreement, disputed questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from arena.pages.html import Page, Part, Tab, Table, interval, number, plain_table

MEASURES = {"Cohen's kappa": "kappa", "Spearman's rho": "spearman", "Kendall's tau": "kendall"}


def judges_page(found: Mapping[str, Any], about: str = "", notes: Sequence[str] = ()) -> Page:
    """found: the content of judges.json."""
    page, judges = Page("Several judges", about, notes), found["judges"]
    # With one category the overall table is a copy.
    for share in found["shares"] if len(found["shares"]) > 2 else found["shares"][:1]:
        rows = [
            [
                *(row[key] for key in ("model", "pooled", "mean")),
                *(interval(one, 1) for one in row["by_judge"].values()),
            ]
            for row in found["scores"]
            if row["category"] == share["category"]
        ]
        table = plain_table(("Model", "Pooled", "Mean", *judges), rows)
        page.tabs.append(Tab(share["category"], [Part(text=_share_text(share), table=table)]))
    parts = [Part("Agreement", table=agreement_table(found["agreement"]))]
    rows = [
        [one["uid"], one["category"], number(one["apart"], 2)]
        + [number(one["means"][judge], 2) for judge in judges]
        for one in found["disputed"]
    ]
    if rows:
        text = "Mean verdicts from -2 (strong loss) to 2, and the mean difference between judges."
        table = plain_table(("Question", "Category", "Difference", *judges), rows)
        parts.append(Part("Questions on which the judges differ most", text, table=table))
    page.tabs.append(Tab("agreement", parts))
    return page


def agreement_table(agreement: Sequence[Mapping[str, Any]]) -> Table:
    """One row per pair of judges."""
    keys = ("judge", "other", "games", "same_label", "same_winner")
    columns = ("Judge", "Other", "Games", "Same label (%)", "Same winner (%)", *MEASURES)
    rows = [
        [*(one[key] for key in keys), *(interval(one[key]) for key in MEASURES.values())]
        for one in agreement
    ]
    return plain_table(columns, rows)


def _share_text(share: Mapping[str, Any]) -> str:
    if share["of_scores"] is None:
        return "The judges' share of the variance is not known: they have no model in common."
    text = f"Share of the variance that is due to the judges: {share['of_scores']:.0f} % of a score"
    if share["of_differences"] is not None:
        text += f", {share['of_differences']:.0f} % of a difference between two models"
    return text + ". The rest is due to the choice of questions."
