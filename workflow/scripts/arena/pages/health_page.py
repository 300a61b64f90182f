"""The page of the judge's health, from health.json."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arena.pages import charts
from arena.pages.html import Card, Page, Part, Tab, interval, number, plain_table
from arena.pages.judges_page import agreement_table
from arena.ranking.answer_health import bin_text

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
    models = [model["model"] for judge in health["judges"] for model in judge["models"]]
    page = Page("Is the judge sound?", about, health["notes"], models=models)
    for judge in health["judges"]:
        examples = [one for one in health["examples"] if one["judge"] == judge["judge"]]
        page.tabs.append(Tab(judge["judge"], list(_judge_parts(page, judge, examples))))
    if health["agreement"]:
        page.tabs.append(Tab("agreement", [Part(table=agreement_table(health["agreement"]))]))
    if answers := health["answers"]:
        page.tabs.append(Tab("answers", list(_answer_parts(page, answers)), answers["notes"]))
    return page


def _judge_parts(
    page: Page, judge: Mapping[str, Any], examples: Sequence[Mapping[str, Any]]
) -> Iterator[Part]:
    yield Part(cards=list(_cards(judge)))
    rows = [
        [place, *(counts[game] for counts in judge["labels"].values())]
        for game, place in enumerate(charts.PLACES)
    ]
    yield Part(
        "Verdicts by label",
        "Without position bias the two rows are mirror images.",
        page.chart(charts.labels(judge), charts.PLACES),
        table=plain_table(("Verdicts", *judge["labels"]), rows),
    )
    if any(model["flips"] is not None for model in judge["models"]):
        names = [model["model"] for model in judge["models"]]
        wins, flips = (page.chart(chart, names) for chart in charts.flips(judge))
        yield Part("Position bias by model", chart=wins)
        text = (
            "Verdicts on answers of similar quality flip more often, so a high rate for a single "
            "model is no problem of the judge."
        )
        yield Part("Flips by model", text, flips)
    states = [
        (STATE_WORDS[state], count, number(100 * count / judge["games"], 2))
        for state, count in sorted(judge["states"].items(), key=lambda item: -item[1])
    ]
    table = plain_table(("Result", "Games", "Share (%)"), states)
    yield Part("Results of the games", table=table)
    if examples:
        heads = ("{state}: {model}, question {uid}, game {game}".format(**one) for one in examples)
        ends = (one["text"] or "(empty reply)" for one in examples)
        text = "The ends of some replies, where the verdict should be."
        yield Part("Replies without a verdict", text, examples=[*zip(heads, ends, strict=True)])
    keys = ("model", "games", "no_verdict", "truncated", "a_wins", "flips")
    columns = ("Model", "Games", "No verdict", "Truncated", "A wins (%)", "Flips (%)")
    table = plain_table(columns, [[model[key] for key in keys] for model in judge["models"]])
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


def _answer_parts(page: Page, answers: Mapping[str, Any]) -> Iterator[Part]:
    meaning = "of decided verdicts; longer answers may be better, see style control"
    longer = answers["longer_wins"]
    cards = list(_card("The longer answer wins", longer, meaning, low=35, high=65))
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
        table = plain_table(("Times the baseline's length", "Mean vote (%)", "Votes"), rows)
        chart = page.chart(charts.lengths(answers["bins"]))
        yield Part("Votes by length", text, chart, table=table)
    if answers["empty_models"]:
        table = plain_table(("Model", "Empty answers"), list(answers["empty_models"].items()))
        yield Part("Empty answers by model", table=table)
