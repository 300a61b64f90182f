"""The pages of the judge's health, from health.json, and of several judges, from judges.json."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arena.pages.html import Card, Page, Part, Tab, Table, interval, number
from arena.ranking.judge_health import bin_text

MEASURES = {"Cohen's kappa": "kappa", "Spearman's rho": "spearman", "Kendall's tau": "kendall"}
STATE_WORDS = {
    "ok": "verdict",
    "unparsed": "no known verdict in the reply",
    "truncated": "reply reached the token limit before a verdict",
    "too_long": "prompt longer than the judge's context",
    "rejected": "request rejected by the server",
    "null": "failed call, stored as null",
}


def health_page(health: Mapping[str, Any]) -> Page:
    names = " and ".join(judge["judge"] for judge in health["judges"])
    about = f"{health['bench']}, judge {names}; {health['level']:.0%} intervals over questions"
    page = Page("Is the judge sound?", about, health["notes"])
    for judge in health["judges"]:
        examples = [one for one in health["examples"] if one["judge"] == judge["judge"]]
        page.tabs.append(Tab(judge["judge"], list(_judge_parts(page, judge, examples))))
    if health["agreement"]:
        page.tabs.append(Tab("agreement", [Part(table=_agreement_table(health["agreement"]))]))
    if answers := health["answers"]:
        page.tabs.append(Tab("answers", list(_answer_parts(answers)), answers["notes"]))
    return page


def _judge_parts(
    page: Page, judge: Mapping[str, Any], examples: Sequence[Mapping[str, Any]]
) -> Iterator[Part]:
    from arena.pages import charts  # here: Altair takes half a second, also without this page

    yield Part(cards=list(_cards(judge)))
    rows = [
        [place, *(counts[game] for counts in judge["labels"].values())]
        for game, place in enumerate(charts.PLACES)
    ]
    yield Part(
        "Verdicts by label",
        "Without position bias the two rows are mirror images.",
        page.chart(charts.labels(judge), charts.PLACES),
        table=Table(("Verdicts", *judge["labels"]), rows),
    )
    states = [
        (STATE_WORDS[state], count, number(100 * count / judge["games"], 2))
        for state, count in sorted(judge["states"].items(), key=lambda item: -item[1])
    ]
    table = Table(("Result", "Games", "Share (%)"), states)
    yield Part("Results of the games", table=table)
    if examples:
        heads = ("{state}: {model}, question {uid}, game {game}".format(**one) for one in examples)
        ends = (one["text"] or "(empty reply)" for one in examples)
        text = "The ends of some replies, where the verdict should be."
        yield Part("Replies without a verdict", text, examples=[*zip(heads, ends, strict=True)])
    keys = ("model", "games", "no_verdict", "truncated", "a_wins", "flips")
    hint = "answers of similar quality flip more often, which is no problem of the judge"
    columns = ("Model", "Games", "No verdict", "Truncated", "A wins (%)")
    hints = dict.fromkeys(columns, "") | {"Flips (%)": hint}
    table = Table(hints, [[model[key] for key in keys] for model in judge["models"]])
    yield Part("By model", table=table)


def _cards(judge: Mapping[str, Any]) -> Iterator[Card]:
    keys = ("a_wins_strong", "a_wins_weak", "half_flips")
    strong, weak, half = (_percent(judge[key]) for key in keys)
    # An interval without 50 shows a bias, but only a large bias changes scores.
    meaning = f"50 % without position bias; strong verdicts {strong}, weak {weak}"
    yield from _card("Picks the first answer", judge["a_wins"], meaning, low=40, high=60)
    meaning = f"of questions: the other answer wins when swapped; half flips (one tie): {half}"
    yield from _card("Flips", judge["flips"], meaning, high=25)
    meaning = "of flips: the first answer won both games"
    yield from _card("Flips to the first answer", judge["flips_to_a"], meaning)
    yield from _card("Strong verdicts", judge["strong"], "each counts several votes")
    missing = judge["games"] - judge["states"].get("ok", 0)
    share = missing / judge["games"]
    meaning = f"{missing:,} of {judge['games']:,} games gave no vote"
    yield Card("No verdict", f"{100 * share:.1f} %", meaning, share > 0.02)


def _card(
    name: str, share: Mapping[str, Any], meaning: str, low: float = 0, high: float = 100
) -> Iterator[Card]:
    """A card of a share with its interval; alarm outside low to high. None without cases."""
    if share["value"] is not None:
        about = f"({share['lower']:.1f} – {share['upper']:.1f}) {meaning}"
        yield Card(name, _percent(share), about, not low <= share["value"] <= high)


def _percent(share: Mapping[str, Any]) -> str:
    return "–" if share["value"] is None else f"{share['value']:.1f} %"


def _answer_parts(answers: Mapping[str, Any]) -> Iterator[Part]:
    meaning = "of decided verdicts; longer answers may be better, see style control"
    cards = list(_card("The longer answer wins", answers["longer_wins"], meaning, low=35, high=65))
    if count := answers["empty_answers"]:
        cards.append(Card("Empty answers", f"{count:,}", "were judged as well"))
        meaning = "of verdicts prefer the empty answer to the baseline's"
        cards += _card("Empty answers that won", answers["empty_wins"], meaning, high=5)
    yield Part(cards=cards)
    rows = [
        (bin_text(one["low"], one["high"]), interval(one["score"], 1), one["score"]["of"])
        for one in answers["bins"]
        if one["score"]["of"]
    ]
    if rows:
        text = "Mean vote by length of the answer. If length had no effect, all would be equal."
        table = Table(("Times the baseline's length", "Mean vote (%)", "Votes"), rows)
        yield Part("Votes by length", text, table=table)
    if answers["empty_models"]:
        table = Table(("Model", "Empty answers"), list(answers["empty_models"].items()))
        yield Part("Empty answers by model", table=table)


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
        table = Table(("Model", "Pooled", "Mean", *judges), rows)
        page.tabs.append(Tab(share["category"], [Part(text=_share_text(share), table=table)]))
    parts = [Part("Agreement", table=_agreement_table(found["agreement"]))]
    rows = [
        [one["uid"], one["category"], number(one["apart"], 2)]
        + [number(one["means"][judge], 2) for judge in judges]
        for one in found["disputed"]
    ]
    if rows:
        text = "Mean verdicts from -2 (strong loss) to 2, and the mean difference between judges."
        table = Table(("Question", "Category", "Difference", *judges), rows)
        parts.append(Part("Questions on which the judges differ most", text, table=table))
    page.tabs.append(Tab("agreement", parts))
    return page


def _agreement_table(agreement: Sequence[Mapping[str, Any]]) -> Table:
    keys = ("judge", "other", "games", "same_label", "same_winner")
    columns = ("Judge", "Other", "Games", "Same label (%)", "Same winner (%)", *MEASURES)
    rows = [
        [*(one[key] for key in keys), *(interval(one[key]) for key in MEASURES.values())]
        for one in agreement
    ]
    return Table(columns, rows)


def _share_text(share: Mapping[str, Any]) -> str:
    if share["of_scores"] is None:
        return "The judges' share of the variance is not known: they have no model in common."
    text = f"Share of the variance that is due to the judges: {share['of_scores']:.0f} % of a score"
    if share["of_differences"] is not None:
        text += f", {share['of_differences']:.0f} % of a difference between two models"
    return text + ". The rest is due to the choice of questions."
