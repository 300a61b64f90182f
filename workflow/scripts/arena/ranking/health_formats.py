"""The judge's health as text for terminals and as JSON."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from arena.ranking.agreement import LEVEL, Agreement, Measure
from arena.ranking.answer_health import AnswerHealth, bin_text
from arena.ranking.judge_health import JudgeHealth, Share
from arena.ranking.votes import Example

DIGITS = 4  # of numbers in health.json
STATE_WORDS = {
    "ok": "a verdict",
    "unparsed": "no known verdict in the reply",
    "truncated": "reply cut at the token limit before a verdict",
    "too_long": "prompt longer than the judge's context",
    "rejected": "request refused",
    "null": "failed call, written as null",
}


@dataclass(frozen=True, slots=True)
class Health:
    """Everything about the judges of a bench; `answers` is None where no answer was read."""

    bench: str
    judges: list[JudgeHealth]
    agreement: list[Agreement]
    answers: AnswerHealth | None
    examples: Sequence[Example]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data with rounded numbers: the content of health.json."""
        return plain(asdict(self) | {"level": LEVEL})

    def json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def text(self) -> str:
        parts = [f"NOTE: {note}" for note in self.notes]
        for judge in self.judges:
            parts += [f"##### Judge: {judge.judge} #####", *_judge(judge)]
        if len(self.agreement):
            parts += ["Agreement between judges", agreement_text(self.agreement)]
        if self.answers:
            parts += ["Answers", *_answers(self.answers)]
        if self.examples:
            parts.append("Replies without a verdict (their ends)")
            parts += [
                f"[{one.state}] {one.judge}, {one.model}, question {one.uid}, game {one.game}:\n"
                + "\n".join(f"    {line}" for line in one.text.strip().splitlines() or ["(empty)"])
                for one in self.examples
            ]
        return "\n\n".join(parts) + "\n"


def share_text(share: Share) -> str:
    """`62.1 % (60.9, 63.3) of 6200`."""
    if share.value is None:
        return "nothing to go by"
    return f"{share.value:.1f} % ({share.lower:.1f}, {share.upper:.1f}) of {share.of}"


def agreement_text(agreement: Sequence[Agreement]) -> str:
    """A row a pair of judges."""
    header = [
        "Judge",
        "Other",
        "Games",
        "Same label",
        "Same winner",
        "Kappa",
        "Spearman",
        "Kendall",
    ]
    rows = [
        [one.judge, one.other, str(one.games)]
        + [f"{one.same_label:.1f} %", f"{one.same_winner:.1f} %"]
        + [measure_text(value) for value in (one.kappa, one.spearman, one.kendall)]
        for one in agreement
    ]
    return text_table([header, *rows], left=2)


def measure_text(one: Measure) -> str:
    """`0.62 (0.58, 0.66)`."""
    return "-" if one.value is None else f"{one.value:.2f} ({one.lower:.2f}, {one.upper:.2f})"


def text_table(cells: list[list[str]], left: int = 1) -> str:
    """Columns two blanks apart; the first `left` ones are flush left, as words want to be."""
    cells = [[" ".join(cell.splitlines()) for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _judge(judge: JudgeHealth) -> Iterator[str]:
    ended = [
        [STATE_WORDS[state], str(count), f"{100 * count / judge.games:.2f} %"]
        for state, count in judge.states.items()
    ]
    yield text_table([["Games ended with", "Games", "Share"], *ended])
    header = ["Verdicts", *judge.labels]
    yield text_table(
        [header]
        + [
            [f"A is the {name}", *(str(counts[game]) for counts in judge.labels.values())]
            for game, name in enumerate(("baseline", "model"))
        ]
    )
    lines = {
        "A wins (50: no position bias)": judge.a_wins,
        "  strong verdicts only": judge.a_wins_strong,
        "  weak verdicts only": judge.a_wins_weak,
        "flips: the other answer wins when swapped": judge.flips,
        "  to A twice": judge.flips_to_a,
        "half flips: a tie when swapped": judge.half_flips,
        "strong verdicts": judge.strong,
    }
    yield text_table(
        [[f"{LEVEL:.0%} intervals over questions", ""]]
        + [[name, share_text(value)] for name, value in lines.items()],
        left=2,
    )
    yield text_table(
        [["Model", "Games", "No verdict", "Truncated", "A wins %", "Flips %"]]
        + [
            [
                model.model,
                str(model.games),
                str(model.no_verdict),
                str(model.truncated),
                _number(model.a_wins),
                _number(model.flips),
            ]
            for model in judge.models
        ]
    )


def _answers(health: AnswerHealth) -> Iterator[str]:
    yield from (f"NOTE: {note}" for note in health.notes)
    yield f"the longer answer wins: {share_text(health.longer_wins)} decided verdicts"
    yield text_table(
        [["Times the baseline's length", "Mean vote"]]
        + [
            [bin_text(one.low, one.high), share_text(one.score)]
            for one in health.bins
            if one.score.of
        ],
        left=2,
    )
    if health.empty_answers:
        models = ", ".join(f"{model} ({count})" for model, count in health.empty_models.items())
        yield (
            f"empty answers: {health.empty_answers}, of {models}\n"
            f"their mean vote: {share_text(health.empty_score)}\n"
            f"preferred to the baseline's answer all the same: {share_text(health.empty_wins)}"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def plain(value: Any) -> Any:
    """Plain data for JSON: rounded numbers, None where there is no number."""
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
