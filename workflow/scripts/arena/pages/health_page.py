"""The page on the judge's health, from health.json."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arena.pages import health_charts
from arena.pages.html import (
    Card,
    Cell,
    Example,
    Page,
    Part,
    Tab,
    Table,
    common_beginning,
    interval,
    number,
    plain_table,
    word,
)
from arena.pages.judges_page import agreement_table
from arena.ranking.answer_health import bin_text

STATE_WORDS = {
    "ok": "a verdict",
    "unparsed": "no known verdict in the reply",
    "truncated": "reply cut at the token limit before a verdict",
    "too_long": "prompt longer than the judge's context",
    "rejected": "request refused",
    "null": "failed call, written as null",
}


def health_page(health: Mapping[str, Any]) -> Page:
    """Is the judge sound?"""
    names = " and ".join(judge["judge"] for judge in health["judges"])
    about = f"{health['bench']}, judge {names}; {health['level']:.0%} intervals over questions"
    page = Page("Is the judge sound?", about, health["notes"])
    models = [model["model"] for judge in health["judges"] for model in judge["models"]]
    page.beginning = common_beginning(models)
    for judge in health["judges"]:
        parts = [
            Part(cards=list(_cards(judge))),
            Part(
                "Verdicts by label",
                "A judge without position bias gives two mirror images.",
                page.chart(health_charts.labels(judge), health_charts.PLACES),
                table=_labels_table(judge),
            ),
            Part("How games ended", table=_states_table(judge)),
        ]
        if any(model["flips"] is not None for model in judge["models"]):
            text = "Answers of like quality flip more: a high rate in one row alone is no fault."
            names = [model["model"] for model in judge["models"]]
            wins, flips = (page.chart(chart, names) for chart in health_charts.models(judge))
            parts.insert(2, Part("Flips by model", text, flips))
            parts.insert(2, Part("Position bias by model", chart=wins))
        examples = [
            Example(
                f"{one['state']}: {one['model']}, question {one['uid']}, game {one['game']}",
                one["text"] or "(empty reply)",
            )
            for one in health["examples"]
            if one["judge"] == judge["judge"]
        ]
        if examples:
            text = "The ends of some replies, where the verdict should have been."
            parts.append(Part("Replies without a verdict", text, examples=examples))
        parts.append(Part("By model", table=_models_table(judge)))
        page.tabs.append(Tab(judge["judge"], parts))
    if health["agreement"]:
        page.tabs.append(Tab("agreement", [Part(table=agreement_table(health["agreement"]))]))
    if health["answers"]:
        tab = Tab(
            "answers", list(_answer_parts(page, health["answers"])), health["answers"]["notes"]
        )
        page.tabs.append(tab)
    return page


def _cards(judge: Mapping[str, Any]) -> Iterator[Card]:
    a_wins, flips, silent = judge["a_wins"], judge["flips"], _silent(judge)
    if a_wins["value"] is not None:
        # An interval that leaves out 50 is a bias, but only a large one changes verdicts.
        yield _card(
            "Picks the first answer",
            a_wins,
            f"50 % without position bias; strong verdicts {_percent(judge['a_wins_strong'])}, weak "
            f"{_percent(judge['a_wins_weak'])}",
            abs(a_wins["value"] - 50) > 10,
        )
    if flips["value"] is not None:
        meaning = "of questions: the other answer wins when the two are swapped; half flips, a tie "
        meaning += f"when swapped: {_percent(judge['half_flips'])}"
        yield _card("Flips", flips, meaning, flips["value"] > 25)
    if judge["flips_to_a"]["value"] is not None:
        yield _card(
            "Flips that are position bias", judge["flips_to_a"], "named the first one twice"
        )
    if judge["strong"]["value"] is not None:
        yield _card("Strong verdicts", judge["strong"], "each counts several votes")
    share = 100 * silent / judge["games"]
    meaning = f"{silent:,} of {judge['games']:,} games gave no vote"
    yield Card("No verdict", f"{share:.1f} %", meaning, share > 2)


def _card(name: str, share: Mapping[str, Any], meaning: str, alarm: bool = False) -> Card:
    about = f"({share['lower']:.1f} – {share['upper']:.1f}) {meaning}"
    return Card(name, _percent(share), about, alarm)


def _percent(share: Mapping[str, Any]) -> str:
    return "–" if share["value"] is None else f"{share['value']:.1f} %"


def _silent(judge: Mapping[str, Any]) -> int:
    return judge["games"] - judge["states"].get("ok", 0)


def _labels_table(judge: Mapping[str, Any]) -> Table:
    rows = [
        [word(place), *(number(counts[game], 0) for counts in judge["labels"].values())]
        for game, place in enumerate(health_charts.PLACES)
    ]
    return plain_table({"Verdicts": True} | dict.fromkeys(judge["labels"], False), rows)


def _states_table(judge: Mapping[str, Any]) -> Table:
    rows = [
        [
            word(STATE_WORDS[state]),
            Cell(f"{count:,}", count),
            number(100 * count / judge["games"], 2),
        ]
        for state, count in sorted(judge["states"].items(), key=lambda item: -item[1])
    ]
    return plain_table({"Ended with": True, "Games": False, "Share (%)": False}, rows)


def _models_table(judge: Mapping[str, Any]) -> Table:
    names = ("Games", "No verdict", "Truncated", "A wins (%)", "Flips (%)")
    rows = [
        [
            word(model["model"]),
            *(number(model[key], 0) for key in ("games", "no_verdict", "truncated")),
            *(number(model[key]) for key in ("a_wins", "flips")),
        ]
        for model in judge["models"]
    ]
    return plain_table({"Model": True} | dict.fromkeys(names, False), rows)


def _answer_parts(page: Page, answers: Mapping[str, Any]) -> Iterator[Part]:
    cards = []
    longer = answers["longer_wins"]
    if longer["value"] is not None:
        meaning = "of decided verdicts; longer answers may be better ones: see style control"
        cards.append(
            _card("The longer answer wins", longer, meaning, abs(longer["value"] - 50) > 15)
        )
    if answers["empty_answers"]:
        empty = answers["empty_wins"]
        meaning = "were judged as they are"
        cards.append(Card("Empty answers", f"{answers['empty_answers']:,}", meaning))
        if empty["value"] is not None:
            meaning = "of verdicts prefer an empty answer to the baseline's"
            cards.append(_card("Empty answers that won", empty, meaning, empty["value"] > 5))
    yield Part(cards=cards)
    if any(one["score"]["of"] for one in answers["bins"]):
        text = "Mean vote for answers of a given length. Without any tie to length: a level line."
        chart = page.chart(health_charts.lengths(answers["bins"]))
        yield Part("Votes by length", text, chart, table=_lengths_table(answers["bins"]))
    if answers["empty_models"]:
        rows = [[word(model), number(count, 0)] for model, count in answers["empty_models"].items()]
        table = plain_table({"Model": True, "Empty answers": False}, rows)
        yield Part("Empty answers by model", table=table)


def _lengths_table(bins: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            word(bin_text(one["low"], one["high"])),
            interval(one["score"], 1),
            number(one["score"]["of"], 0),
        ]
        for one in bins
        if one["score"]["of"]
    ]
    columns = {"Times the baseline's length": True, "Mean vote (%)": False, "Votes": False}
    return plain_table(columns, rows)
