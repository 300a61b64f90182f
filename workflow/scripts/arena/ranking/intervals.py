"""Intervals of scores by resampling, vectorised: no loop over rounds.

"questions" (ours) draws whole questions. The up to six votes of a question, and those of several
judges, are about the same two answers and are not independent, so they must be drawn together. Each
question's number of draws in a round is Poisson(1), seeded by the question's own name: the
bootstrap of Chamandy et al., "Estimating Uncertainty for Massive Data Streams" (2012), equal to
drawing n of n up to O(1/n). That makes a model's interval independent of which other models are in
the table, and every pair of models is resampled with the same questions, so differences are paired
for free.

"upstream" draws single votes, as Arena-Hard-Auto does. Votes have three values, so that is a draw
of three counts. Its intervals are too narrow; it is here to compare with published ones.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from arena.ranking.votes import Votes

CI = ("questions", "upstream")
# Share of resamples inside the interval: Arena-Hard-Auto prints 5-95 % (v2.0) and 2.5-97.5 %
# (v0.1).
LEVELS = {"v2.0": 0.90, "v0.1": 0.95}


def question_weights(questions: Sequence[str], rounds: int, seed: int) -> np.ndarray:
    """Return how often each question is drawn in each round, [rounds, Q]."""
    columns = [_generator(seed, question).poisson(1.0, rounds) for question in questions]
    return np.array(columns, dtype=float).reshape(len(columns), rounds).T


def resampled_scores(votes: Votes, weights: np.ndarray) -> np.ndarray:
    """Return the scores (0-100) of every round, [rounds, M]; NaN where a round drew no vote."""
    with np.errstate(invalid="ignore"):
        return 100 * (weights @ votes.wins.T) / (weights @ votes.votes.T)


def upstream_scores(
    votes: Votes, models: Sequence[str], rounds: int, seed: int, rule: str = "v2.0"
) -> np.ndarray:
    """Return scores of votes resampled one by one, [rounds, M], as Arena-Hard-Auto does.

    Its rule v2.0 resamples each model's votes; v0.1 the table of all models' votes, in which a
    model's number of votes varies as well.
    """
    ties = votes.ties.sum(axis=1).astype(float)
    wins = votes.wins.sum(axis=1) - ties / 2
    totals = votes.votes.sum(axis=1)
    everyone = totals.sum()
    columns = []
    for model, *counts, total in zip(models, wins, ties, totals, strict=True):
        generator = _generator(seed, model)
        drawn = np.full(rounds, round(total))
        if rule == "v0.1":
            drawn = generator.binomial(round(everyone), total / everyone, rounds)
        # Not below 0: a weight such as 0.3 leaves -5e-17 of a vote.
        shares = np.maximum([*counts, total - sum(counts)], 0) / max(total, 1)
        won, tied, _ = generator.multinomial(drawn, shares if total else [0, 0, 1]).T
        with np.errstate(invalid="ignore"):
            columns.append(100 * (won + tied / 2) / drawn)
    return np.array(columns).reshape(len(columns), rounds).T


def resampler(votes: Votes, weights: np.ndarray, ci: str, seed: int):
    """Return a function of the round that gives its won and cast votes, [M, Q] each.

    For fits that need each question's votes. "upstream" draws single votes: the numbers of won,
    tied and lost ones are Poisson with the numbers at hand as means.
    """
    if ci == "questions":
        return lambda number: (votes.wins * weights[number], votes.votes * weights[number])
    counts = np.array([votes.wins - votes.ties / 2, votes.ties, votes.votes - votes.wins])
    counts[2] -= counts[1] / 2
    counts = np.maximum(counts, 0)  # as above

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        won, tied, lost = _generator(seed, f"round {number}").poisson(counts)
        return won + tied / 2, won + tied + lost

    return draw


def bounds(
    resamples: np.ndarray,
    level: float,
    ci: str = "questions",
    questions: np.ndarray | int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper bound of each column of `resamples`; NaN where it has no value.

    questions: how many a column was resampled from; few of them widen the interval (`tails`).
    The bounds are Weibull's quantiles, rank (n + 1) p: they leave out the right share whatever the
    number of rounds. "upstream" takes no account of questions, and has NumPy's default, which
    leaves out 11.8 % for 10 of 100 rounds.
    """
    columns = resamples.shape[1]
    tail = np.full(columns, (1 - level) / 2)
    if questions is not None and ci == "questions":
        tail = tails(np.broadcast_to(questions, columns), level)
    missing = np.isnan(resamples)
    low_high = np.full((2, columns), np.nan)
    whole, some = ~missing.any(axis=0), missing.any(axis=0) & ~missing.all(axis=0)
    low_high[:, whole] = _quantiles(resamples[:, whole], tail[whole], ci)
    for column in np.flatnonzero(some):
        known = resamples[~missing[:, column], column]
        low_high[:, column] = _quantiles(known[:, None], tail[[column]], ci)[:, 0]
    return low_high[0], low_high[1]


def tails(questions: np.ndarray, level: float) -> np.ndarray:
    """Return the share to leave out on either side, by the number of questions resampled.

    Resamples of n questions spread by sqrt((n - 1) / n) too little, and their quantiles are those
    of a normal where Student's t belongs: together 85 instead of 90 % at a dozen questions. The
    expanded percentiles of Hesterberg, "What Teachers Should Know About the Bootstrap" (2015):
    Phi(t * sqrt(n / (n - 1))), 3.0 instead of 5 % at 12 questions, 4.95 % at 500.
    """
    counts, places = np.unique(np.maximum(questions, 1), return_inverse=True)
    return np.array([_tail(int(count), level) for count in counts])[places]


@lru_cache
def _tail(questions: int, level: float) -> float:
    tail = (1 - level) / 2
    if questions == 1:
        return 0.0
    # Student's quantile by Cornish and Fisher's expansion: within 3 % from 3 questions on.
    z, free = NormalDist().inv_cdf(tail), questions - 1
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    return NormalDist().cdf(t * (questions / free) ** 0.5)


def widen_certain(
    values: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    questions: np.ndarray,
    level: float,
    least: np.ndarray | float = 0.0,
    most: np.ndarray | float = 100.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Widen intervals of which resampling knows too little; values lie from `least` to `most`.

    Questions that are all alike say nothing of the others: up to a share p of those may be as
    different as can be, where p is the exact binomial bound (Clopper and Pearson), the largest
    share of which n questions show none with the probability of a tail. 0.6 % at 500, 22 % at 12.
    And who won a little reaches as high as who won nothing on as many questions. Bounds of NaN, of
    no resample with a value, stay unknown.
    """
    tail = (1 - level) / 2
    reach = 1 - tail ** (1 / np.maximum(questions, 1))
    still = upper - lower < 1e-9
    lower = np.where(still, values - reach * (values - least), lower)
    upper = np.where(still, values + reach * (most - values), upper)
    width = np.asarray(most) - least
    return np.minimum(lower, most - reach * width), np.maximum(upper, least + reach * width)


def _quantiles(values: np.ndarray, tail: np.ndarray, ci: str) -> np.ndarray:
    """Quantiles down the columns; sorting is twice as fast as np.quantile, and this is hot."""
    ordered = np.sort(np.ascontiguousarray(values.T), axis=1)
    last = len(values) - 1
    shares = np.array([tail, 1 - tail])
    places = shares * last if ci == "upstream" else shares * (last + 2) - 1
    places = np.clip(places, 0, last)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, last)
    part = places - below
    columns = np.arange(len(ordered))
    return ordered[columns, below] * (1 - part) + ordered[columns, above] * part


def _generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each name: the same wherever and beside whatever it is drawn."""
    key = hashlib.sha256(name.encode()).digest()[:8]
    return np.random.default_rng([seed, int.from_bytes(key, "little")])
