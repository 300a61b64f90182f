"""Intervals of scores by resampling, vectorised: no loop over rounds. See docs/statistics.md.

"questions" draws whole questions, each Poisson(1) times in a round, seeded by its own name; with
several categories each of them keeps its weight. The resamples give standard errors; bounds are
Wilson's for scores and Student's for everything else. "upstream" draws single votes, as
Arena-Hard-Auto does; "unanchored" is what its v0.1 makes of them.
"""

import hashlib
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from arena.ranking.votes import Votes

Strata = Sequence[np.ndarray | slice]  # the questions of each category
WHOLE: Strata = (slice(None),)


def question_weights(questions: Sequence[str], rounds: int, seed: int) -> np.ndarray:
    """Return how often each question is drawn in each round, [rounds, Q]."""
    columns = [_generator(seed, question).poisson(1.0, rounds) for question in questions]
    return np.array(columns, dtype=float).reshape(len(columns), rounds).T


def strata_of(category: np.ndarray) -> Strata:
    """Return the questions of each category, from the categories [Q] of questions."""
    found = [np.flatnonzero(category == one) for one in np.unique(category)]
    return found if len(found) > 1 else WHOLE


def stratified(weights: np.ndarray, strata: Strata) -> np.ndarray:
    """Return weights [rounds, Q] that add up to its number of questions in every stratum.

    A stratum of which a round draws nothing counts as it is there.
    """
    if len(strata) < 2:
        return weights
    result = np.empty_like(weights)
    for rows in strata:
        part = weights[:, rows]
        part = np.where(part.any(axis=1, keepdims=True), part, 1.0)
        result[:, rows] = part * part.shape[1] / part.sum(axis=1, keepdims=True)
    return result


def resampled_scores(votes: Votes, weights: np.ndarray, strata: Strata = WHOLE) -> np.ndarray:
    """Return the scores (0-100) of every round, [rounds, M]; NaN where a round drew no vote.

    With several strata each keeps the weight that it has among the model's own questions, so that
    the scores depend on no other model's questions.
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


def scale_of(drawn: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """What a stratum's sums are multiplied by for its draws to be as many as its questions."""
    return np.where(drawn > 1e-9, questions / np.maximum(drawn, 1e-9), 0.0)


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


def resampler(
    votes: Votes, weights: np.ndarray, ci: str, seed: int
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
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


def unanchored_bounds(resamples: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds that Arena-Hard-Auto v0.1 prints of resampled scores [rounds, M].

    Where the baseline is not gpt-4-0314, that code leaves ratings where the fit puts them: all
    models' log-odds and the baseline's add up to 0. The baseline's own rating so varies with the
    others' mean, and a bound is taken between the same quantiles of model and baseline.
    """
    shares = np.clip(resamples / 100, 1e-6, 1 - 1e-6)
    odds = np.log(shares / (1 - shares))
    baseline = -odds.sum(axis=1, keepdims=True) / (odds.shape[1] + 1)
    low_high = percentiles(odds + baseline, level) - percentiles(baseline, level)
    lower, upper = 100 / (1 + np.exp(-low_high))
    return lower, upper


def percentiles(resamples: np.ndarray, level: float) -> np.ndarray:
    """Return lower and upper percentile [2, M] of resamples [rounds, M], as upstream takes them."""
    shares = (1 - level) / 2, (1 + level) / 2
    known = [column[~np.isnan(column)] for column in resamples.T]  # a round may draw no vote
    return np.array([np.quantile(some, shares) if some.size else [np.nan] * 2 for some in known]).T


def standard_errors(
    resamples: np.ndarray, questions: np.ndarray | float = 1, free: np.ndarray | float = 1
) -> np.ndarray:
    """Return the standard error of each column of `resamples`; NaN where no round has a value.

    Resamples of n questions in k strata spread by sqrt((n - k) / n) too little; `free` is n - k.
    """
    known = ~np.isnan(resamples)
    if known.all():  # half the time
        errors = resamples.std(axis=0)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            rounds = known.sum(axis=0)
            mean = np.where(known, resamples, 0.0).sum(axis=0) / rounds
            squares = np.where(known, resamples - mean, 0.0) ** 2
            errors = np.sqrt(squares.sum(axis=0) / rounds)
    return errors * np.sqrt(np.maximum(questions, 1) / np.maximum(free, 1))


def student(level: float, free: np.ndarray | float) -> np.ndarray:
    """Return Student's two-sided quantile for `free` degrees of freedom.

    `normal_of` turned round: within 0.1 % from 5 degrees on, 4 % too large at 2.
    """
    free = np.maximum(free, 1)
    z = NormalDist().inv_cdf((1 + level) / 2) * (8 * free + 3) / (8 * free + 1)
    return np.sqrt(free * np.expm1(z**2 / free))


def normal_of(t: np.ndarray, free: np.ndarray | float) -> np.ndarray:
    """Return the normal value that is as rare as Student's |t| (Wallace 1959)."""
    free = np.maximum(free, 1)
    return (8 * free + 1) / (8 * free + 3) * np.sqrt(free * np.log1p(np.square(t) / free))


def score_bounds(
    scores: np.ndarray,
    errors: np.ndarray,
    least: np.ndarray,
    questions: np.ndarray,
    free: np.ndarray,
    level: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of scores (0-100) that have these standard errors, by Wilson's interval.

    It asks which true scores would leave the one at hand within Student's t of *their* standard
    error, so near 0 and 100 it reaches further inwards than outwards. The number of observations in
    it is the effective one, p (1 - p) / error ** 2, as for surveys in clusters (Dean and Pagano,
    2015). A few wins in hundreds of questions say too little of their own error, so it is taken to
    be no less than `least`: the one that independent games would have.
    """
    p = scores / 100
    variance = (np.maximum(errors, least) / 100) ** 2
    t2 = student(level, free) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = t2 * variance / (p * (1 - p))  # t ** 2 / effective number of observations
    ratio = np.where(variance == 0, 0.0, ratio)
    middle = (p + ratio / 2) / (1 + ratio)
    half = np.sqrt(ratio * p * (1 - p) + ratio**2 / 4) / (1 + ratio)
    lower, upper = 100 * (middle - half), 100 * (middle + half)
    return widen_certain(scores, lower, upper, questions, level)


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


def _generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each name: the same wherever and beside whatever it is drawn."""
    key = hashlib.sha256(name.encode()).digest()[:8]
    return np.random.default_rng([seed, int.from_bytes(key, "little")])
