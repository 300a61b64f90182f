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
    number,
    plain_table,
    word,
)
from arena.ranking.agreement import Measure
from arena.ranking.health_formats import STATE_WORDS, measure_text


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
        page.tabs.append(Tab("agreement", [Part(table=_agreement_table(health["agreement"]))]))
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
            "50 % without position bias",
            abs(a_wins["value"] - 50) > 10,
        )
    if flips["value"] is not None:
        meaning = "of questions: the other answer wins when the two are swapped"
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
    interval = f"({share['lower']:.1f} – {share['upper']:.1f}) {meaning}"
    return Card(name, f"{share['value']:.1f} %", interval, alarm)


def _silent(judge: Mapping[str, Any]) -> int:
    return judge["games"] - judge["states"].get("ok", 0)


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


def _agreement_table(agreement: Sequence[Mapping[str, Any]]) -> Table:
    numbers = ("Games", "Same label (%)", "Same winner (%)")
    measures = {"Cohen's kappa": "kappa", "Spearman's rho": "spearman", "Kendall's tau": "kendall"}
    rows = [
        [
            word(one["judge"]),
            word(one["other"]),
            number(one["games"], 0),
            number(one["same_label"]),
            number(one["same_winner"]),
            *(_measure(one[key]) for key in measures.values()),
        ]
        for one in agreement
    ]
    columns = dict.fromkeys((*numbers, *measures), False)
    return plain_table({"Judge": True, "Other": True} | columns, rows)


def _measure(one: Mapping[str, Any]) -> Cell:
    value = one["value"]
    return number(None) if value is None else Cell(measure_text(Measure(**one)), value)


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
        yield Part("Votes by length", text, chart)
    if answers["empty_models"]:
        rows = [[word(model), number(count, 0)] for model, count in answers["empty_models"].items()]
        table = plain_table({"Model": True, "Empty answers": False}, rows)
        yield Part("Empty answers by model", table=table)
