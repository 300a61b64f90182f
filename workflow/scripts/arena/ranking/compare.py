"""Differences between any two models on the same questions, ranks, and groups."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from arena.ranking.intervals import (
    WHOLE,
    Strata,
    normal_of,
    scale_of,
    standard_errors,
    student,
    widen_certain,
)
from arena.ranking.options import RANKS, Options
from arena.ranking.significance import STILL, at_most_certain, detectable, p_values
from arena.ranking.votes import Array, Votes


@dataclass(frozen=True, slots=True)
class Differences:
    """For models i (rows) and j (columns): score of i minus score of j in points, [M, M].

    lower, upper, p: of the single pair; p is below 1 - level if the interval excludes 0.
    p_adjusted: of all pairs at once. better: whether i is significantly better than j, by p or
    p_adjusted as Options.ranks says. NaN where two models share no question with votes.
    """

    difference: Array
    lower: Array
    upper: Array
    p: Array
    p_adjusted: Array
    better: Array
    questions: Array  # on which both were judged
    detectable: tuple[float, float] | None  # see `significance.detectable`


def paired_rows(votes: Votes, weights: Array, strata: Strata = WHOLE) -> Iterator[Array]:
    """Differences of every pair on the questions on which both were judged, for `compare`.

    `weights`: [rounds, Q]; NaN where two models share no question.
    """
    weights = np.vstack([np.ones_like(weights[:1]), weights])
    pairs = [_Pairs(votes[:, rows], weights[:, rows], len(strata) > 1) for rows in strata]
    for i in range(len(votes.votes)):  # one row at a time, so memory is rounds x models
        columns = zip(*(part.sums(i) for part in pairs), strict=True)
        won, cast, other_won, other_cast = map(sum, columns)
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = 100 * (won / cast - other_won / other_cast)
        # Rounding errors of a subtraction are not votes.
        yield np.where((cast > 1e-9) & (other_cast > 1e-9), difference, np.nan)


def score_rows(scores: Array, resamples: Array) -> Iterator[Array]:
    """Differences of scores [M] with resamples [rounds, M], for `compare`.

    Each score covers all questions of its model, so these are not on the same questions.
    """
    rows = np.vstack([scores, resamples])
    return (rows[:, [i]] - rows[:, i + 1 :] for i in range(len(scores)))


def compare(
    triangle: Iterable[Array],
    votes: Votes,
    options: Options,
    baseline: int | None = None,
    strata: Strata = WHOLE,
) -> Differences:
    """Compare all pairs i < j: triangle yields [1 + rounds, M - i - 1] per model i, values first.

    `baseline`: its row, if it has one.
    """
    level = options.level
    has = (votes.votes > 0).astype(float)
    questions = has @ has.T
    together = questions.astype(int)
    free = questions - sum(has[:, rows] @ has[:, rows].T > 0 for rows in strata)
    if options.ci != "questions":  # single votes, as upstream: normal, not Student's
        questions = free = 1e6 * (questions > 0)
    least, most = np.zeros(len(has)), np.full(len(has), 100.0)
    if baseline is not None:
        least[baseline] = most[baseline] = 50.0  # by definition
    whole, lower, upper, z = np.zeros((4, len(has), len(has)))
    errors = np.full_like(whole, np.nan)
    largest = np.zeros(1)  # [rounds] the largest deviation of all pairs, in standard errors
    for i, row in enumerate(triangle):
        rest = slice(i + 1, None)
        shared = questions[i, rest]
        row = np.where(shared > 0, row, np.nan)
        values, row = row[0], row[1:]
        spread = standard_errors(row)
        error = spread * np.sqrt(np.maximum(shared, 1) / np.maximum(free[i, rest], 1))
        reach = student(level, free[i, rest]) * error
        low, high = values - reach, values + reach
        steps = np.abs(row - values) / np.where(spread > STILL, spread, np.inf)
        steps = np.nan_to_num(steps).max(axis=1, initial=0.0)
        largest = np.maximum(largest, steps)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(values) / np.where(error > STILL, error, 0.0)
        t[np.abs(values) <= STILL] = 0.0
        normal = np.where(np.isnan(error), np.nan, normal_of(t, free[i, rest]))
        if options.ci == "questions":
            ends = least[i] - most[rest], most[i] - least[rest]
            low, high = widen_certain(values, low, high, shared, level, *ends)
            low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
            normal = at_most_certain(normal, values, error, shared, *ends)
        whole[i, rest], whole[rest, i] = values, -values
        lower[i, rest], upper[i, rest] = low, high
        lower[rest, i], upper[rest, i] = -high, -low
        z[i, rest] = z[rest, i] = normal
        errors[i, rest] = error
    p, adjusted = p_values(z, largest)
    with np.errstate(invalid="ignore"):
        better = ((adjusted if options.ranks == RANKS[0] else p) < 1 - level) & (whole > 0)
    if baseline is not None and len(has) > 2:
        errors[baseline] = errors[:, baseline] = np.nan  # only pairs of models
    found = detectable(errors, largest, level)
    return Differences(whole, lower, upper, p, adjusted, better, together, found)


class _Pairs:
    """Sums over the questions that two models share: sums over all questions minus the others.

    Few questions are missing for any model, so the second sum is short.
    """

    def __init__(self, votes: Votes, weights: Array, rescale: bool) -> None:
        """rescale: every round gets the weight of the shared questions; for several strata."""
        self.missing = votes.votes == 0
        self.gaps = np.flatnonzero(self.missing.any(axis=0))
        if rescale and not self.gaps.size:  # then all pairs share the same questions
            weights = weights * scale_of(weights.sum(axis=1), weights.shape[1])[:, None]
        self.rescale = rescale and self.gaps.size > 0
        self.votes, self.weights = votes, weights
        self.won, self.cast = weights @ votes.wins.T, weights @ votes.votes.T
        self.drawn = weights @ (~self.missing).T if self.rescale else self.cast

    def sums(self, i: int) -> list[Array]:
        """Votes won and cast of model i [rounds, 1 or M - i - 1], then of all models after it."""
        after = slice(i + 1, None)
        sums = [self.won[:, [i]], self.cast[:, [i]], self.won[:, after], self.cast[:, after]]
        if not self.gaps.size:
            return sums
        votes, gaps, mine = self.votes, self.gaps, np.flatnonzero(self.missing[i])
        drawn, theirs = self.weights[:, gaps], self.missing[after, gaps].T.astype(float)
        for place, kind in enumerate((votes.wins, votes.votes)):
            sums[place] = sums[place] - (drawn * kind[i, gaps]) @ theirs
            sums[place + 2] = sums[place + 2] - self.weights[:, mine] @ kind[after, mine].T
        if self.rescale:
            shared = self.drawn[:, [i]] - (drawn * ~self.missing[i, gaps]) @ theirs
            scale = scale_of(shared, (~self.missing[after] & ~self.missing[i]).sum(axis=1))
            sums = [scale * part for part in sums]
        return sums


def rank_ranges(differences: Differences, known: Array) -> tuple[Array, Array]:
    """Return each model's best and worst rank that is consistent with the data, 1 being the top.

    Best: 1 + the models that are significantly better; worst: the `known` models (mask of those
    with a score) minus those that are significantly worse. If `better` is of all pairs at once, all
    ranks hold at once (Mogstad, Romano, Shaikh and Wilhelm, "Inference for Ranks", 2024).
    """
    better = differences.better
    return 1 + better.sum(axis=0), known.sum() - better.sum(axis=1)


def similar_groups(differences: Differences, order: list[int]) -> list[list[int]]:
    """Return groups of neighbours in `order` (best first) without any significant difference.

    Groups are as large as possible and may overlap.
    """
    differ = differences.better | differences.better.T
    groups: list[list[int]] = []
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not differ[order[end], order[start:end]].any():
            end += 1
        if not groups or order[end - 1] != groups[-1][-1]:
            groups.append(order[start:end])
    return groups
