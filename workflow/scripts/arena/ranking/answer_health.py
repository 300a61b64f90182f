"""Verdicts by length of the answers (length bias), and verdicts on empty answers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from arena.data.answers import left_out, read_answers
from arena.ranking.agreement import for_the_model
from arena.ranking.judge_health import Share, share
from arena.ranking.votes import ABSENT, Array, Verdicts, Votes

RATIOS = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)  # edges of bins of the length ratio model / baseline


def bin_text(low: float, high: float | None) -> str:
    """`0.5 to 0.8`: a bin of length ratios."""
    if high is None:
        return f"{low:g} and more"
    return f"{low:g} to {high:g}" if low else f"under {high:g}"


def read_lengths(verdicts: Verdicts, files: Mapping[str, Path]) -> tuple[Array, Array, list[str]]:
    """Return characters of answers, [M, Q] of models and [Q] of baselines, and notes.

    0: empty answer; NaN: no answer.
    """
    place = {uid: number for number, uid in enumerate(verdicts.questions)}
    lengths = {model: np.full(len(place), np.nan) for model in files}
    notes, missing = [], []
    for model, path in files.items():
        if not path.is_file():
            missing.append(model)
            continue
        file = read_answers(path)
        notes += left_out(path, file.unreadable)
        for uid, answer in file.answers.items():
            if uid in place:
                lengths[model][place[uid]] = 0 if answer.is_empty else len(answer.text.strip())
    baseline = verdicts.of_baselines(lengths, np.full(len(place), np.nan))
    if missing:
        notes.append(f"no answer file for: {', '.join(missing)}")
    if np.isnan(baseline).all():
        notes.append("no answers of the baseline, so the length bias cannot be computed")
    return np.array([lengths[model] for model in verdicts.models]), baseline, notes


def answer_health(
    verdicts: Verdicts,
    votes: Votes,
    weights: Array,
    lengths: Array,
    baseline: Array,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Relate verdicts of all judges, and votes, to the lengths of answers.

    longer_wins: of decided verdicts, those for the longer answer. bins: mean vote for answers that
    are `low` to `high` times as long as the baseline's. empty_score: mean vote for empty answers;
    empty_wins: of the verdicts on empty answers, those for them.
    """
    strengths = np.moveaxis(for_the_model(verdicts.codes), -1, 0)  # [2, J, M, Q]
    longer = np.sign(lengths - baseline)
    decided = (np.abs(strengths) > 0) & (np.abs(longer) > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.maximum(lengths, 1) / np.maximum(baseline, 1)

    def score(here: Array) -> Share:
        here = here & (votes.votes > 0)
        return share(np.where(here, votes.wins, 0), np.where(here, votes.votes, 0), weights)

    bins = [
        {"low": low, "high": high, "score": score((ratio >= low) & (ratio < high))}
        for low, high in pairwise((0.0, *RATIOS, np.inf))
    ]
    empty = lengths == 0
    on_empty = np.isfinite(strengths) & empty
    judged = (verdicts.codes != ABSENT).any(axis=(0, 3))
    counts = (empty & judged).sum(axis=1).tolist()
    models = {model: count for model, count in zip(verdicts.models, counts, strict=True) if count}
    return {
        "longer_wins": share(decided & (strengths * longer > 0), decided, weights),
        "bins": bins,
        "empty_answers": sum(counts),
        "empty_models": models,
        "empty_score": score(empty),
        "empty_wins": share(on_empty & (strengths > 0), on_empty, weights),
        "notes": notes,
    }
