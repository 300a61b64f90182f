"""Agreement of judges on single games and on the order of models, and disputed questions.

Intervals resample questions. Resampling adds noise, which lowers rank correlations, so their
intervals are too low; they are extended to contain the value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from arena.ranking.intervals import Strata, percentiles, resampled_scores, strata_of
from arena.ranking.votes import ABSENT, Array, Verdicts, count_votes

STRENGTH = np.array([2, 1, 0, -1, -2])  # of VERDICTS, for A
LEVEL = 0.90
FEWEST = 3  # models for a rank correlation: that of two is always 1 or -1
DISPUTED = 20  # number of questions listed


@dataclass(frozen=True, slots=True)
class Measure:
    """A value with its interval over questions; None where it is not defined."""

    value: float | None
    lower: float | None
    upper: float | None


def agreements(verdicts: Verdicts, weights: Array, weight: float = 3) -> list[dict[str, Any]]:
    """Return the agreement of every pair of judges with common games.

    same_label, same_winner: percent of games. kappa: Cohen's, on win, tie and loss (1 perfect, 0
    chance). spearman, kendall: of the models' scores on these games (Kendall's tau-b), for three
    models or more. weights: [rounds, Q], of resamples; weight: votes of a strong verdict.
    """
    strata = strata_of(verdicts.category)
    found = []
    for one, two in combinations(range(len(verdicts.judges)), 2):
        codes = verdicts.codes[[one, two]]
        both = np.asarray((codes >= 0).all(axis=0))
        games = int(both.sum())
        if not games:
            continue
        codes = np.where(both, codes, ABSENT)
        table = _confusion(codes, both)
        all_games = table.sum(axis=0)
        spearman, kendall = _order(codes, weights, strata, weight)
        found.append(
            {
                "judge": verdicts.judges[one],
                "other": verdicts.judges[two],
                "games": games,
                "same_label": 100 * float((both & (codes[0] == codes[1])).sum() / games),
                "same_winner": 100 * float(np.trace(all_games) / games),
                "kappa": measure(_kappa(all_games), _kappa(np.tensordot(weights, table, 1))),
                "spearman": spearman,
                "kendall": kendall,
            }
        )
    return found


def disputed(verdicts: Verdicts, most: int = DISPUTED) -> list[dict[str, Any]]:
    """Return the questions on which the judges differ most, the worst first.

    apart: difference between two judges' verdicts, in steps of the five labels (0-4), as a mean
    over pairs of judges and models. means: each judge's mean verdict, from -2 to 2.
    """
    strengths = for_the_model(verdicts.codes).mean(axis=-1)  # [J, M, Q], NaN unless both are known
    pairs = [np.abs(one - two) for one, two in combinations(strengths, 2)]
    apart = _mean(np.array(pairs).reshape(-1, strengths.shape[-1])).tolist()
    means = np.array([_mean(judge) for judge in strengths]).T.tolist()  # [Q, J]
    order = [q for q, value in enumerate(apart) if value > 0]
    order.sort(key=lambda q: (-apart[q], verdicts.questions[q]))
    return [
        {
            "uid": verdicts.questions[q],
            "category": verdicts.categories[verdicts.category[q]],
            "apart": apart[q],
            "means": dict(zip(verdicts.judges, means[q], strict=True)),
        }
        for q in order[:most]
    ]


def rank_correlations(one: Array, two: Array) -> tuple[float, float]:
    """Spearman's rho (ties share their mean rank) and Kendall's tau-b; NaN where all are tied."""
    signs = [np.sign(scores[:, None] - scores) for scores in (one, two)]
    ranks = [sign.sum(axis=1) for sign in signs]  # twice the rank, around 0
    spearman, kendall = (
        float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())) for x, y in (ranks, signs)
    )
    return spearman, kendall


def measure(value: Array | float, resamples: Array) -> Measure:
    """A value with the percentile interval of its resamples [rounds], without undefined ones."""
    at, known = float(value), resamples[np.isfinite(resamples)]
    if not np.isfinite(at) or not known.size:
        return Measure(None, None, None)
    lower, upper = percentiles(known[:, None], LEVEL)
    return Measure(at, min(float(lower[0]), at), max(float(upper[0]), at))


def for_the_model(codes: Array) -> Array:
    """Strengths of verdicts [..., 2], from -2 to 2, positive for the model; NaN without verdict."""
    strengths = np.where(codes >= 0, STRENGTH[np.maximum(codes, 0)], np.nan)
    strengths[..., 0] *= -1
    return strengths


def _confusion(codes: Array, both: Array) -> Array:
    """Number of games by question and by the two judges' winners, [Q, 3, 3]."""
    winners = np.sign(STRENGTH[np.maximum(codes, 0)])
    one, two = (winner[..., None] == [1, 0, -1] for winner in winners)  # [M, Q, 2, 3]
    return np.einsum("mqgi,mqgj,mqg->qij", *(part.astype(int) for part in (one, two, both)))


def _kappa(table: Array) -> Array:
    """Cohen's kappa of tables [..., 3, 3]; NaN where chance alone would agree on everything."""
    total = table.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(table, axis1=-2, axis2=-1) / total
        chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / total**2
        return (observed - chance) / (1 - chance)


def _order(codes: Array, weights: Array, strata: Strata, weight: float) -> Iterator[Measure]:
    """Spearman and Kendall of the models' scores by two judges, codes [2, M, Q, 2]."""
    votes = [count_votes(each[None], "v0.1", weight) for each in codes]
    models = votes[0].votes.sum(axis=1) > 0
    if models.sum() < FEWEST:
        return iter([Measure(None, None, None)] * 2)
    weights = np.vstack([np.ones_like(weights[:1]), weights])  # the first row: not resampled
    scores = [resampled_scores(each[models], weights, strata) for each in votes]
    with np.errstate(invalid="ignore", divide="ignore"):
        value, *drawn = (rank_correlations(*pair) for pair in zip(*scores, strict=True))
    return map(measure, value, np.reshape(drawn, (-1, 2)).T)


def _mean(values: Array) -> Array:
    """Mean of known values along the first axis; NaN where there are none."""
    return np.ma.masked_invalid(values).mean(axis=0).filled(np.nan)
