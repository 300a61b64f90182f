"""Several judges as a page and as a file: scores side by side, agreement, disputed questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from arena.pages.html import Page, Part, Tab, Table, interval, number, plain_table, word
from arena.pages.text import csv_text

ENDS = {"": "value", " lower": "lower", " upper": "upper"}


def judges_page(found: Mapping[str, Any], about: str = "", notes: Sequence[str] = ()) -> Page:
    """From judges.json."""
    page, judges = Page("Several judges", about, notes), found["judges"]
    # With one category the overall table is the same.
    for share in found["shares"] if len(found["shares"]) > 2 else found["shares"][:1]:
        rows = [
            [
                word(row["model"]),
                number(row["pooled"]),
                number(row["mean"]),
                *(interval(one, 1) for one in row["by_judge"].values()),
            ]
            for row in found["scores"]
            if row["category"] == share["category"]
        ]
        columns = {"Model": True} | dict.fromkeys(["Pooled", "Mean", *judges], False)
        part = Part(text=_share_text(share), table=plain_table(columns, rows))
        page.tabs.append(Tab(share["category"], [part]))
    parts = [Part("Agreement", table=agreement_table(found["agreement"]))]
    rows = [
        [word(one["uid"]), word(one["category"]), number(one["apart"], 2)]
        + [number(one["means"][judge], 2) for judge in judges]
        for one in found["disputed"]
    ]
    if rows:
        text = (
            "A judge's mean verdict, from -2 (strong loss) to 2, and how far the judges lie apart."
        )
        columns = {"Question": True, "Category": True} | dict.fromkeys(["Apart", *judges], False)
        title = "Questions on which the judges differ most"
        parts.append(Part(title, text, table=plain_table(columns, rows)))
    page.tabs.append(Tab("agreement", parts))
    return page


def judges_csv(found: Mapping[str, Any]) -> str:
    """A row a model and category, a column a judge with its bounds beside it."""
    columns = ["category", "model", "pooled", "mean"]
    columns += [f"{judge}{end}" for judge in found["judges"] for end in ENDS]
    rows = [
        row
        | {
            f"{judge}{end}": values[key]
            for judge, values in row["by_judge"].items()
            for end, key in ENDS.items()
        }
        for row in found["scores"]
    ]
    return csv_text(columns, rows)


def agreement_table(agreement: Sequence[Mapping[str, Any]]) -> Table:
    """A row a pair of judges."""
    numbers = ("Games", "Same label (%)", "Same winner (%)")
    measures = {"Cohen's kappa": "kappa", "Spearman's rho": "spearman", "Kendall's tau": "kendall"}
    rows = [
        [
            word(one["judge"]),
            word(one["other"]),
            number(one["games"], 0),
            number(one["same_label"]),
            number(one["same_winner"]),
            *(interval(one[key]) for key in measures.values()),
        ]
        for one in agreement
    ]
    columns = dict.fromkeys((*numbers, *measures), False)
    return plain_table({"Judge": True, "Other": True} | columns, rows)


def _share_text(share: Mapping[str, Any]) -> str:
    if share["of_scores"] is None:
        return "The judges' share of the uncertainty is not known: they have no model in common."
    text = f"The judges' share of the variance of a mean score: {share['of_scores']:.0f} %"
    if share["of_differences"] is not None:
        text += f", of a difference between two models: {share['of_differences']:.0f} %"
    return text + ". The rest comes from the choice of questions."
