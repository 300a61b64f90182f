"""Differences between any two models on the same questions, p-values, ranks, and groups."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

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
from arena.ranking.votes import RANKS, Array, Options, Votes

POWER = 0.8  # share of campaigns in which a difference is significant; the usual choice
STILL = 1e-9  # points; smaller ones are rounding errors

_two_sided = np.vectorize(lambda z: math.erfc(z / math.sqrt(2)), otypes=[float])


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
    detectable: tuple[float, float] | None  # see the function


def paired_rows(votes: Votes, weights: Array, strata: Strata = WHOLE) -> Iterator[Array]:
    """Differences of every pair on the questions on which both were judged, for `compare`.

    `weights`: [rounds, Q]; NaN where two models share no question.
    """
    weights = np.vstack([np.ones_like(weights[:1]), weights])
    parts = [_sums(votes[:, rows], weights[:, rows], len(strata) > 1) for rows in strata]
    for sums in zip(*parts, strict=True):  # one row at a time, so memory is rounds x models
        won, cast, other_won, other_cast = map(sum, zip(*sums, strict=True))
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
    better = ((adjusted if options.ranks == RANKS[0] else p) < 1 - level) & (whole > 0)
    if baseline is not None and len(has) > 2:
        errors[baseline] = errors[:, baseline] = np.nan  # only pairs of models
    found = detectable(errors, largest, level)
    return Differences(whole, lower, upper, p, adjusted, better, together, found)


def _sums(votes: Votes, weights: Array, rescale: bool) -> Iterator[list[Array]]:
    """For each model i: votes won and cast of i [rounds, 1 or M - i - 1], then of all models after
    it, on the questions that both share: sums over all questions minus the others.

    Few questions are missing for any model, so the second sum is short. rescale: every round gets
    the weight of the shared questions; for several strata.
    """
    missing = votes.votes == 0
    gaps = np.flatnonzero(missing.any(axis=0))
    if rescale and not gaps.size:  # then all pairs share the same questions
        weights = weights * scale_of(weights.sum(axis=1), weights.shape[1])[:, None]
    kinds = votes.wins, votes.votes
    whole = [weights @ kind.T for kind in kinds]
    drawn, absent = weights[:, gaps], missing[:, gaps].astype(float)
    all_drawn = weights @ (~missing).T
    for i in range(len(missing)):
        after = slice(i + 1, None)
        sums = [part[:, some] for some in ([i], after) for part in whole]
        if gaps.size:
            mine = np.flatnonzero(missing[i])
            theirs = absent[after].T
            for place, kind in enumerate(kinds):
                sums[place] = sums[place] - (drawn * kind[i, gaps]) @ theirs
                sums[place + 2] = sums[place + 2] - weights[:, mine] @ kind[after, mine].T
            if rescale:
                shared = all_drawn[:, [i]] - (drawn * ~missing[i, gaps]) @ theirs
                scale = scale_of(shared, (~missing[after] & ~missing[i]).sum(axis=1))
                sums = [scale * part for part in sums]
        yield sums


def rank_ranges(differences: Differences, is_ranked: Array) -> tuple[Array, Array]:
    """Return each model's best and worst rank that is consistent with the data, 1 being the top.

    Best: 1 + the models that are significantly better; worst: the ranked models (mask [M]) minus
    those that are significantly worse. If `better` is of all pairs at once, all ranks hold at once
    (Mogstad, Romano, Shaikh and Wilhelm, "Inference for Ranks", 2024).
    """
    better = differences.better
    return 1 + better.sum(axis=0), is_ranked.sum() - better.sum(axis=1)


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


def at_most_certain(
    normal: Array, values: Array, errors: Array, questions: Array, least: Array, most: Array
) -> Array:
    """Bound normal values for few questions, consistent with the intervals of `widen_certain`.

    Such an interval excludes 0 as long as its tail is above (1 - s) ** questions, where s is the
    distance from the value to 0 as a share of the distance to the other end of its range.
    """
    far = np.where(values > 0, most, -least)
    reached = np.where(errors > STILL, far, np.abs(values))
    room = np.where(values > 0, reached - least, reached + most)
    with np.errstate(invalid="ignore", divide="ignore"):
        tail = (1 - reached / room) ** questions
    for place in np.flatnonzero(tail > _two_sided(normal) / 2):
        normal[place] = max(0.0, -NormalDist().inv_cdf(min(tail[place], 0.5)))
    return normal


def p_values(z: Array, largest: Array) -> tuple[Array, Array]:
    """Two-sided p-values of single pairs and of all pairs at once, from normal values [M, M].

    At once: share of rounds whose largest deviation among all pairs is as large (single-step
    max-|t|, Westfall and Young 1993), but at most Bonferroni's bound, which also gives p-values
    below 1 / rounds.
    """
    p = _two_sided(z)
    ordered = np.sort(largest)
    above = len(ordered) - np.searchsorted(ordered, z)
    pairs = np.isfinite(p[np.triu_indices(len(p), 1)]).sum()
    adjusted = np.minimum((1 + above) / (1 + len(ordered)), p * max(pairs, 1))
    adjusted = np.clip(adjusted, p, 1)
    return p, np.where(np.isnan(z), np.nan, adjusted)


def detectable(errors: Array, largest: Array, level: float) -> tuple[float, float] | None:
    """The smallest true difference, in points, that is significant with probability POWER.

    For a single pair and for one among all pairs, with the median pair's standard error; None
    without pairs and if all models have the same votes.
    """
    known = errors[np.isfinite(errors)]
    if not known.size or (error := float(np.median(known))) < STILL:
        return None
    critical = NormalDist().inv_cdf((1 + level) / 2)
    together = max(critical, float(np.quantile(largest, level)))
    power = NormalDist().inv_cdf(POWER)
    return error * (critical + power), error * (together + power)
