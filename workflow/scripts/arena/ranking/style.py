"""Style control: scores as if all answers had the same style, by logistic regression.

A vote y in {0, 0.5, 1} of model m on question q has the log-odds c_m + x_mq . b, the baseline's c
being 0; columns x are style differences, standardised over all votes of the table. Unpenalised
maximum likelihood by Newton's method. Votes of one model and question share x, so the Hessian is an
arrow: a diagonal for the models and at most four dense rows for the style.
"""

from dataclasses import dataclass
from itertools import chain, compress

import numpy as np

from arena.ranking.intervals import resampler, standard_errors, student
from arena.ranking.options import FEATURES, Options
from arena.ranking.style_resamples import resampled_fits
from arena.ranking.votes import Votes

COLUMNS = tuple(chain(*FEATURES.values()))
TOLERANCE = 1e-4  # of a step, in log-odds: Newton squares it, so what is left is below 1e-7
ITERATIONS = 60  # 4 are usual; far more means that no finite maximum exists
SEPARATED = 30.0  # log-odds a standard deviation: e^-30, votes that style foretells without fail
FLAT = 1e-3  # share of a slope's curvature at the start; less is left where the maximum runs away
ALIKE = 1e-8  # share of a column's variance that models and other columns do not explain

# What a reader who compares with Arena-Hard-Auto's own tables must know, by rule.
DIFFERENCES = {
    "v2.0": "the columns of Arena-Hard-Auto v2.0; fitted to convergence, where that stops after 50 "
    "steps; the score is the fit, there the median of resamples",
    "v0.1": "the columns of Arena-Hard-Auto v0.1, of raw counts; fitted to convergence and without "
    "a penalty, where that has one (L2, C = 1) and stops after 100 steps",
}


@dataclass(frozen=True, slots=True)
class Coefficient:
    """Change of the log-odds a standard deviation `sd` of a style column, with its interval."""

    column: str
    value: float
    lower: float
    upper: float
    sd: float


@dataclass(frozen=True, slots=True)
class StyleFit:
    """Scores [M] under style control and their resamples [rounds, M]; NaN: no style known."""

    scores: np.ndarray
    resamples: np.ndarray
    coefficients: list[Coefficient]
    notes: list[str]


def style_columns(model: np.ndarray, baseline: np.ndarray, rule: str = "v2.0") -> np.ndarray:
    """Return the four columns [..., 4] from counts [..., 4] of tokens, headers, lists and bolds.

    Rule v0.1: (m - b) / (m + b + 1) of each count (Arena-Hard-Auto 561534a to 9a1d386).
    Rule v2.0, length: (m - b) / (m + b). The others: density d = count / (tokens + 1), then
    (d_m - d_b) / (d_m + d_b + 1). Two empty answers have the same length: 0. NaN stays NaN.
    """
    if rule == "v0.1":
        return (model - baseline) / (model + baseline + 1)
    columns = np.empty(np.broadcast_shapes(model.shape, baseline.shape))
    total = model[..., 0] + baseline[..., 0]
    columns[..., 0] = (model[..., 0] - baseline[..., 0]) / np.where(total == 0, 1, total)
    ours, theirs = (counts[..., 1:] / (counts[..., :1] + 1) for counts in (model, baseline))
    columns[..., 1:] = (ours - theirs) / (ours + theirs + 1)
    return columns


def fit_style(votes: Votes, columns: np.ndarray, weights: np.ndarray, options: Options) -> StyleFit:
    """Fit votes [M, Q] on style columns [M, Q, 4], which are known wherever there are votes.

    `weights` [rounds, Q]: of questions, for intervals that resample these.

    Columns that say nothing of their own (constant, or a copy of others or of the models) are left
    out and named. When style foretells every vote there is no maximum: that is said too, and the
    scores are the plain ones.
    """
    won, cast, rounds = votes.wins, votes.votes, options.rounds
    names = [name for key in FEATURES if key in options.control_features for name in FEATURES[key]]
    x, sds = _standardised(columns[..., [COLUMNS.index(name) for name in names]], cast)
    mixed = _mixed(won, cast)  # the other models say nothing about style
    kept = _independent(x[:, mixed], cast[mixed])
    notes = [
        f"style column {name} varies with nothing of its own: left out"
        for name in compress(names, ~kept)
    ]
    x, sds, names = x[kept], sds[kept], list(compress(names, kept))
    found = fit(won, cast, x)
    if found is None:
        notes.append(
            "style foretells some votes without fail, as happens with few questions: no "
            "controlled score exists, these are plain"
        )
        x, sds, names = x[:0], sds[:0], []
        found = fit(won, cast, x)
        assert found is not None  # without style columns each model's own mean is the maximum
    scores, slopes = found
    resamples = np.full((rounds, len(won)), np.nan)
    drawn_slopes = np.full((rounds, len(names)), np.nan)
    if names and options.ci == "questions":
        resamples, drawn_slopes = resampled_fits(won, cast, x, weights, scores, slopes, FLAT)
    draw = resampler(votes, weights, options.ci, options.seed)
    for number in np.flatnonzero(np.isnan(resamples).all(axis=1)).tolist():  # still open
        again = fit(*draw(number), x, start=slopes)
        if again is not None:
            resamples[number], drawn_slopes[number] = again
    if failed := int(np.isnan(drawn_slopes).any(axis=1).sum()):
        notes.append(
            f"{failed} of {rounds} resamples had no style-controlled maximum: left out; "
            "many of them mean too few questions for style control"
        )
    questions = int((cast > 0).any(axis=0).sum())
    errors = standard_errors(drawn_slopes, questions, questions - 1)
    reach = student(options.level, questions - 1) * errors
    ends = slopes - reach, slopes + reach
    coefficients = [Coefficient(*values) for values in zip(names, slopes, *ends, sds, strict=True)]
    return StyleFit(scores, resamples, coefficients, notes)


def fit(
    won: np.ndarray, cast: np.ndarray, x: np.ndarray, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scores [M] in percent and slopes [K] of columns x [K, M, Q], or None: no maximum.

    A model whose votes are all lost (or all won) has its maximum at 0 (100) whatever the slopes
    are, and says nothing about them. A model without votes has no score: NaN.
    """
    total, sum_won = cast.sum(axis=1), won.sum(axis=1)
    with np.errstate(invalid="ignore"):
        scores = 100 * sum_won / total
    mixed = _mixed(won, cast)
    slopes = np.zeros(len(x)) if start is None else start.copy()
    if not len(x) or not mixed.any():
        return scores, slopes
    if not mixed.all():
        won, cast, x = won[mixed], cast[mixed], x[:, mixed]
    strengths = np.log(sum_won[mixed] / (total - sum_won)[mixed])
    found = _newton(won, cast, x, strengths, slopes)
    if found is None and start is not None:
        found = _newton(won, cast, x, strengths, np.zeros(len(x)))
    if found is None:
        return None
    strengths, slopes = found
    scores[mixed] = 100 / (1 + np.exp(-strengths))
    return scores, slopes


def _mixed(won: np.ndarray, cast: np.ndarray) -> np.ndarray:
    """Mask of the models that neither lost nor won every vote."""
    return (won.sum(axis=1) > 0) & (won.sum(axis=1) < cast.sum(axis=1))


def _newton(
    won: np.ndarray, cast: np.ndarray, x: np.ndarray, strengths: np.ndarray, slopes: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Newton's method, steps halved where the likelihood would fall; None: it has no maximum."""
    flat = x.reshape(len(x), -1)
    best, expected = _likelihood(won, cast, x, strengths, slopes)
    whiten = None
    for _ in range(ITERATIONS):
        curvature = cast * expected * (1 - expected)
        missing = won - cast * expected
        diagonal = curvature.sum(axis=1)
        if (diagonal <= 0).any():
            return None
        weighted = x * curvature
        border = weighted.sum(axis=2)  # [K, M]
        corner = weighted.reshape(flat.shape) @ flat.T - (border / diagonal) @ border.T
        whiten = _whitening(corner) if whiten is None else whiten
        slope_gradient = flat @ missing.ravel() - (border / diagonal) @ missing.sum(axis=1)
        slope_step = np.linalg.lstsq(corner, slope_gradient, rcond=1e-10)[0]
        step = (missing.sum(axis=1) - slope_step @ border) / diagonal
        size = max(np.abs(step).max(), np.abs(slope_step).max())
        scale = min(1.0, 5.0 / size) if size > 0 else 1.0  # far away the parabola is a poor guide
        while True:
            new = strengths + scale * step, slopes + scale * slope_step
            value, expected = _likelihood(won, cast, x, *new)
            if value >= best - 1e-9 * abs(best) or scale < 1e-6:
                break
            scale /= 2
        strengths, slopes, best = *new, value
        if np.abs(slopes).max() > SEPARATED:
            return None
        if size < TOLERANCE:
            # Far out the likelihood is so flat that steps vanish although it still rises.
            left = np.linalg.eigvalsh(whiten.T @ corner @ whiten)
            return (strengths, slopes) if not left.size or left.min() > FLAT else None
    return None


def _whitening(corner: np.ndarray) -> np.ndarray:
    """Directions of the slopes in which curvature is 1; those without any are left out."""
    values, vectors = np.linalg.eigh(corner)
    some = values > 1e-10 * values.max(initial=0)
    return vectors[:, some] / np.sqrt(values[some])


def _likelihood(
    won: np.ndarray, cast: np.ndarray, x: np.ndarray, strengths: np.ndarray, slopes: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the log-likelihood and the expected vote of each model and question."""
    odds = np.tensordot(slopes, x, axes=1)
    odds += strengths[:, None]
    # log(1 + e^o) = max(o, 0) + log(1 + e^-|o|), which cannot overflow
    small = np.exp(-np.abs(odds))
    value = (won * odds).sum() - (cast * (np.maximum(odds, 0) + np.log1p(small))).sum()
    expected = np.where(odds >= 0, 1, small) / (1 + small)
    return value, expected


def _standardised(columns: np.ndarray, cast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns [K, M, Q] with mean 0 and standard deviation 1 over all votes, and the deviations."""
    x = np.moveaxis(np.nan_to_num(columns), -1, 0).copy()
    votes = max(cast.sum(), 1)
    x -= (x * cast).sum(axis=(1, 2), keepdims=True) / votes
    sds = np.sqrt((x**2 * cast).sum(axis=(1, 2)) / max(votes - 1, 1))
    x /= np.where(sds > 0, sds, 1)[:, None, None]
    return x, sds


def _independent(x: np.ndarray, cast: np.ndarray) -> np.ndarray:
    """Mask of the columns [K, M, Q] that vary on their own, given models and earlier columns."""
    total = np.maximum(cast.sum(axis=1, keepdims=True), 1e-300)
    root = np.sqrt(cast)
    basis: list[np.ndarray] = []
    keep = []
    for column in x:
        rest = ((column - (column * cast).sum(axis=1, keepdims=True) / total) * root).ravel()
        for other in basis:
            rest = rest - (rest @ other) * other
        norm = np.linalg.norm(rest)
        keep.append(bool(norm**2 > ALIKE * max(cast.sum(), 1)))
        if keep[-1]:
            basis.append(rest / norm)
    return np.array(keep, dtype=bool)
