"""What the answers' length has to do with the verdicts, and how empty answers fared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from arena.data.answers import left_out, read_answers
from arena.ranking.agreement import from_the_model
from arena.ranking.judge_health import Share, share
from arena.ranking.votes import ABSENT, Verdicts, Votes

# Ends of the bins of length ratios, model / baseline: about equal is within a fifth.
RATIOS = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Characters of answers, NaN: no answer; and which of them are empty."""

    model: np.ndarray  # [M, Q]
    baseline: np.ndarray  # [Q], of the category's baseline
    empty: np.ndarray  # [M, Q]


@dataclass(frozen=True, slots=True)
class LengthBin:
    """Mean vote for models whose answers are `low` to `high` times as long as the baseline's."""

    low: float
    high: float | None
    score: Share


@dataclass(frozen=True, slots=True)
class AnswerHealth:
    """How lengths and empty answers were judged.

    longer_wins: of decided verdicts, those for the longer answer. empty_score: mean vote of empty
    answers that were judged; empty_wins: of the verdicts on them, those that preferred them to the
    baseline's.
    """

    longer_wins: Share
    bins: list[LengthBin]
    empty_answers: int
    empty_models: dict[str, int]
    empty_score: Share
    empty_wins: Share
    notes: list[str]


def bin_text(low: float, high: float | None) -> str:
    """How many times as long as the baseline's answer."""
    if high is None:
        return f"{low:g} and more"
    return f"{low:g} to {high:g}" if low else f"under {high:g}"


def read_lengths(verdicts: Verdicts, files: Mapping[str, Path]) -> tuple[Lengths, list[str]]:
    """Read the lengths of answers, a file at a time. Models without a file are noted."""
    place = {uid: number for number, uid in enumerate(verdicts.questions)}
    lengths, empty, missing, notes = {}, {}, [], []
    for model, path in files.items():
        lengths[model] = np.full(len(place), np.nan)
        empty[model] = np.zeros(len(place), dtype=bool)
        if not path.is_file():
            missing.append(model)
            continue
        file = read_answers(path)
        notes += left_out(path, file.problems_of("unreadable"))
        for uid, answer in file.answers.items():
            if uid in place:
                empty[model][place[uid]] = answer.is_empty
                lengths[model][place[uid]] = 0 if answer.is_empty else len(answer.text.strip())
    baseline = np.full(len(place), np.nan)
    for number, category in enumerate(verdicts.categories):
        name = verdicts.baselines[category]
        if name in lengths:
            baseline = np.where(verdicts.category == number, lengths[name], baseline)
    if missing:
        notes.append(f"no answers to look at: {', '.join(missing)}")
    if np.isnan(baseline).all():
        notes.append("the baseline's answers are not known: no length bias")
    table = Lengths(
        np.array([lengths[model] for model in verdicts.models]),
        baseline,
        np.array([empty[model] for model in verdicts.models]),
    )
    return table, notes


def answer_health(
    verdicts: Verdicts, votes: Votes, lengths: Lengths, notes: Sequence[str], weights: np.ndarray
) -> AnswerHealth:
    """Relate verdicts of all judges, and votes, to the lengths of answers."""
    seen = from_the_model(verdicts.codes)  # [J, M, Q, 2]
    longer = np.sign(lengths.model - lengths.baseline)[None, :, :, None]
    decided = (np.abs(seen) > 0) & (np.abs(longer) > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.maximum(lengths.model, 1) / np.maximum(lengths.baseline, 1)
    ends = (0.0, *RATIOS, np.inf)
    bins = []
    for low, high in pairwise(ends):
        inside = (ratio >= low) & (ratio < high) & (votes.votes > 0)
        score = share(np.where(inside, votes.wins, 0), np.where(inside, votes.votes, 0), weights)
        bins.append(LengthBin(low, None if high == np.inf else high, score))
    empty = lengths.empty & (votes.votes > 0)
    on_empty = ~np.isnan(seen) & lengths.empty[None, :, :, None]
    judged = (verdicts.codes != ABSENT).any(axis=(0, 3))
    counts = (lengths.empty & judged).sum(axis=1)
    return AnswerHealth(
        longer_wins=share(*_by_question(decided & (seen * longer > 0), decided), weights),
        bins=bins,
        empty_answers=int(counts.sum()),
        empty_models={
            model: int(count) for model, count in zip(verdicts.models, counts, strict=True) if count
        },
        empty_score=share(np.where(empty, votes.wins, 0), np.where(empty, votes.votes, 0), weights),
        empty_wins=share(*_by_question(on_empty & (seen > 0), on_empty), weights),
        notes=list(notes),
    )


def _by_question(*counts: np.ndarray) -> list[np.ndarray]:
    """[J, M, Q, 2] as [..., Q]."""
    return [np.moveaxis(count, 2, -1) for count in counts]
