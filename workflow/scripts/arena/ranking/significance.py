"""How surely two models differ: p-values of each pair by itself and of all pairs at once."""

import math
from statistics import NormalDist

import numpy as np

POWER = 0.8  # the usual share of campaigns in which a difference is to be found
STILL = 1e-9  # points; less is what is left of subtractions

_two_sided = np.vectorize(lambda z: math.erfc(z / math.sqrt(2)), otypes=[float])


def at_most_certain(
    normal: np.ndarray,
    values: np.ndarray,
    errors: np.ndarray,
    questions: np.ndarray,
    least: np.ndarray,
    most: np.ndarray,
) -> np.ndarray:
    """Bound normal values by what so few questions can say at all, as `widen_certain` does bounds.

    That interval leaves out 0 as long as its tail is above (1 - s) ** questions, where s is how
    far 0 lies from the value, as a share of the way to the value's other end.
    """
    far = np.where(values > 0, most, -least)
    reached = np.where(errors > STILL, far, np.abs(values))
    room = np.where(values > 0, reached - least, reached + most)
    with np.errstate(invalid="ignore", divide="ignore"):
        tail = (1 - reached / room) ** questions
    for place in np.flatnonzero(tail > _two_sided(normal) / 2):
        normal[place] = max(0.0, -NormalDist().inv_cdf(min(tail[place], 0.5)))
    return normal


def p_values(z: np.ndarray, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided p-values of each pair by itself and of all at once, from normal values [M, M].

    At once: how often the largest deviation among all pairs of a round is as large (single-step
    max-|t|, Westfall and Young 1993), and never more than Bonferroni's bound, which also holds
    below the resolution of the rounds.
    """
    p = _two_sided(z)
    ordered = np.sort(largest)
    above = len(ordered) - np.searchsorted(ordered, z)
    pairs = np.isfinite(p[np.triu_indices(len(p), 1)]).sum()
    adjusted = np.minimum((1 + above) / (1 + len(ordered)), p * max(pairs, 1))
    adjusted = np.clip(adjusted, p, 1)
    return p, np.where(np.isnan(z), np.nan, adjusted)


def detectable(errors: np.ndarray, largest: np.ndarray, level: float) -> tuple[float, float] | None:
    """The smallest true difference, in points, that is found with probability POWER.

    For a pair by itself and for one among all pairs, with the median pair's standard error.
    """
    known = errors[np.isfinite(errors)]
    if not known.size or np.median(known) < STILL:  # no pair, or all models alike
        return None
    critical = NormalDist().inv_cdf((1 + level) / 2)
    together = max(critical, float(np.quantile(largest, level)))
    error, power = float(np.median(known)), NormalDist().inv_cdf(POWER)
    return error * (critical + power), error * (together + power)
