"""Significance of differences: p-values of single pairs and of all pairs at once."""

import math
from statistics import NormalDist

import numpy as np

from arena.ranking.votes import Array

POWER = 0.8  # share of campaigns in which a difference is significant; the usual choice
STILL = 1e-9  # points; smaller ones are rounding errors

_two_sided = np.vectorize(lambda z: math.erfc(z / math.sqrt(2)), otypes=[float])


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
