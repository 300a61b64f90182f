"""Intervals of scores by resampling, without a loop over rounds. See docs/statistics.md.

"questions" draws whole questions, each Poisson(1) times per round, seeded by the question's name;
each category keeps its weight. The resamples give standard errors; bounds are Wilson's for scores
and Student's for everything else. "upstream" draws single votes, as Arena-Hard-Auto does;
"unanchored" computes bounds from them as its v0.1 does.
"""

import hashlib
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from arena.ranking.votes import Array, Votes

Strata = Sequence[Array | slice]  # the questions of each category
WHOLE: Strata = (slice(None),)


def question_weights(questions: Sequence[str], rounds: int, seed: int) -> Array:
    """Return how often each question is drawn in each round, [rounds, Q]."""
    columns = [_generator(seed, question).poisson(1.0, rounds) for question in questions]
    return np.array(columns, dtype=float).reshape(len(columns), rounds).T


def strata_of(category: Array) -> Strata:
    """Return the questions of each category, from the categories [Q] of questions."""
    found = [np.flatnonzero(category == one) for one in np.unique(category)]
    return found if len(found) > 1 else WHOLE


def stratified(weights: Array, strata: Strata) -> Array:
    """Scale weights [rounds, Q] so that those of each stratum add up to its number of questions.

    A stratum of which a round draws no question has weights of 1 in that round.
    """
    if len(strata) < 2:
        return weights
    result = np.empty_like(weights)
    for rows in strata:
        part = weights[:, rows]
        part = np.where(part.any(axis=1, keepdims=True), part, 1.0)
        result[:, rows] = part * part.shape[1] / part.sum(axis=1, keepdims=True)
    return result


def resampled_scores(votes: Votes, weights: Array, strata: Strata = WHOLE) -> Array:
    """Return the scores (0-100) of every round, [rounds, M]; NaN where a round drew no vote.

    Each stratum keeps its weight among the model's own questions, so that a score does not depend
    on other models' questions.
    """
    won, cast = np.zeros((2, len(weights), len(votes.votes)))
    for rows in strata:
        part, draws = votes[:, rows], weights[:, rows]
        has = part.votes > 0
        scale = scale_of(draws @ has.T, has.sum(axis=1)) if len(strata) > 1 else 1.0
        won += scale * (draws @ part.wins.T)
        cast += scale * (draws @ part.votes.T)
    with np.errstate(invalid="ignore"):
        return 100 * won / cast


def scale_of(drawn: Array, questions: Array) -> Array:
    """Factor of a stratum's sums: its number of questions / the number drawn."""
    return np.where(drawn > 1e-9, questions / np.maximum(drawn, 1e-9), 0.0)


def upstream_scores(
    votes: Votes, models: Sequence[str], rounds: int, seed: int, rule: str = "v2.0"
) -> Array:
    """Return scores of votes resampled one by one, [rounds, M], as Arena-Hard-Auto does.

    Its rule v2.0 resamples each model's votes; v0.1 resamples the votes of all models together, so
    that a model's number of votes also varies.
    """
    ties = votes.ties.sum(axis=1).astype(float)
    wins = votes.wins.sum(axis=1) - ties / 2
    totals = votes.votes.sum(axis=1)
    everyone = totals.sum()
    columns = []
    for model, *counts, total in zip(models, wins, ties, totals, strict=True):  # totals are not 0
        generator = _generator(seed, model)
        drawn = np.full(rounds, round(total))
        if rule == "v0.1":
            drawn = generator.binomial(round(everyone), total / everyone, rounds)
        # Rounding errors may be negative: a weight of 0.3 gives -5e-17 votes.
        shares = np.maximum([*counts, total - sum(counts)], 0) / total
        won, tied, _ = generator.multinomial(drawn, shares).T
        with np.errstate(invalid="ignore"):
            columns.append(100 * (won + tied / 2) / drawn)
    return np.array(columns).reshape(len(columns), rounds).T


def resampled_votes(
    votes: Votes, weights: Array, number: int, ci: str, seed: int
) -> tuple[Array, Array]:
    """Return the votes won and all votes of a round, [M, Q] each, for fits that need each question.

    "upstream" draws single votes: the numbers of won, tied and lost votes are Poisson with the
    observed numbers as means.
    """
    if ci == "questions":
        return votes.wins * weights[number], votes.votes * weights[number]
    counts = [votes.wins - votes.ties / 2, votes.ties, votes.votes - votes.wins - votes.ties / 2]
    won, tied, lost = _generator(seed, f"round {number}").poisson(np.maximum(counts, 0))
    return won + tied / 2, won + tied + lost


def unanchored_bounds(resamples: Array, level: float) -> tuple[Array, Array]:
    """Return the bounds that Arena-Hard-Auto v0.1 prints for resampled scores [rounds, M].

    If the baseline is not gpt-4-0314, its code does not anchor the ratings: the log-odds of all
    models and the baseline add up to 0. So the baseline's own rating varies with the mean of the
    others, and a bound is computed from the same quantile of model and baseline.
    """
    shares = np.clip(resamples / 100, 1e-6, 1 - 1e-6)
    odds = np.log(shares / (1 - shares))
    baseline = -odds.sum(axis=1, keepdims=True) / (odds.shape[1] + 1)
    low_high = percentiles(odds + baseline, level) - percentiles(baseline, level)
    lower, upper = 100 / (1 + np.exp(-low_high))
    return lower, upper


def percentiles(resamples: Array, level: float) -> Array:
    """Return lower and upper percentile [2, M] of resamples [rounds, M], as upstream."""
    shares = (1 - level) / 2, (1 + level) / 2
    known = [column[~np.isnan(column)] for column in resamples.T]  # NaN: a round drew no vote
    bounds = [np.quantile(some, shares) if some.size else [np.nan] * 2 for some in known]
    return np.reshape(bounds, (-1, 2)).T


def standard_errors(
    resamples: Array, questions: Array | float = 1, free: Array | float = 1
) -> Array:
    """Return the standard error of each column of `resamples`; NaN where no round has a value.

    The spread of resamples of n questions in k strata is too small by the factor
    sqrt((n - k) / n), so it is corrected; `free` is n - k.
    """
    errors = resamples.std(axis=0)
    if np.isnan(errors).any():  # unlike np.nanstd, no warning where no round has a value
        errors = np.ma.masked_invalid(resamples).std(axis=0).filled(np.nan)
    return errors * np.sqrt(np.maximum(questions, 1) / np.maximum(free, 1))


def student(level: float, free: Array | float) -> Array:
    """Return Student's two-sided quantile for `free` degrees of freedom (Wallace 1959).

    The inverse of `normal_of`: within 0.1 % from 5 degrees on, 4 % too large at 2.
    """
    free = np.maximum(free, 1)
    z = NormalDist().inv_cdf((1 + level) / 2) * (8 * free + 3) / (8 * free + 1)
    return np.sqrt(free * np.expm1(z**2 / free))


def normal_of(t: Array, free: Array | float) -> Array:
    """Return the normal value with the same p-value as Student's |t| (Wallace 1959)."""
    free = np.maximum(free, 1)
    return (8 * free + 1) / (8 * free + 3) * np.sqrt(free * np.log1p(np.square(t) / free))


def score_bounds(
    scores: Array, errors: Array, least: Array, questions: Array, free: Array, level: float
) -> tuple[Array, Array]:
    """Return Wilson's bounds of scores (0-100) with these standard errors.

    They are the true scores for which the observed score is within Student's t of *their* standard
    error. The number of observations is the effective one, p (1 - p) / error ** 2, as for clustered
    surveys (Dean and Pagano, 2015). With a few wins in hundreds of questions the estimated error is
    unreliable, so it is at least `least`, that of independent games.
    """
    p = scores / 100
    variance = (np.maximum(errors, least) / 100) ** 2
    spread = np.where((p > 0) & (p < 1), p * (1 - p), np.inf)  # at 0 and 1 any error is rounding
    ratio = student(level, free) ** 2 * variance / spread  # t ** 2 / effective number of votes
    middle = (p + ratio / 2) / (1 + ratio)
    half = np.sqrt(ratio * p * (1 - p) + ratio**2 / 4) / (1 + ratio)
    lower, upper = 100 * (middle - half), 100 * (middle + half)
    return widen_certain(scores, lower, upper, questions, level)


def widen_certain(
    values: Array,
    lower: Array,
    upper: Array,
    questions: Array,
    level: float,
    least: Array | float = 0.0,
    most: Array | float = 100.0,
) -> tuple[Array, Array]:
    """Widen intervals that resampling makes too narrow; values are from `least` to `most`.

    n questions with identical results have identical resamples. Then the bound is the exact
    binomial one (Clopper and Pearson): a share p of all questions may differ as much as possible,
    where n questions show none of them with the probability of a tail. p is 0.6 % for n = 500, 22 %
    for 12. Also, a model that won a little has an upper bound at least as high as one that won
    nothing on as many questions. NaN stays NaN.
    """
    tail = (1 - level) / 2
    reach = 1 - tail ** (1 / np.maximum(questions, 1))
    still = upper - lower < 1e-9
    lower = np.where(still, values - reach * (values - least), lower)
    upper = np.where(still, values + reach * (most - values), upper)
    width = np.asarray(most) - least
    return np.minimum(lower, most - reach * width), np.maximum(upper, least + reach * width)


def _generator(seed: int, name: str) -> np.random.Generator:
    """A generator seeded by the name, so that draws do not depend on what else is drawn."""
    key = hashlib.sha256(name.encode()).digest()[:8]
    return np.random.default_rng([seed, int.from_bytes(key, "little")])
