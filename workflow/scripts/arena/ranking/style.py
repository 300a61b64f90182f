"""Style control: scores as if all answers had the same style, by logistic regression.

A vote y in {0, 0.5, 1} of model m on question q has the log-odds c_m + x_mq . b, the baseline's c
being 0; the columns x are style differences, standardised over all votes of the table. Unpenalised
maximum likelihood by Newton's method. Votes of one model and question share x, so the Hessian is a
diagonal for the models and at most four dense rows for the style.
"""

from dataclasses import dataclass
from itertools import chain, compress

import numpy as np

from arena.ranking.intervals import resampled_votes, standard_errors, student
from arena.ranking.votes import FEATURES, Array, Options, Votes

COLUMNS = tuple(chain(*FEATURES.values()))
TOLERANCE = 1e-4  # of a step, in log-odds; the next error is its square, below 1e-7
RESAMPLE_TOLERANCE = 1e-3  # the same in resamples: 3e-5 points of a score
ITERATIONS = 60  # 4 are usual; if 60 do not suffice, no finite maximum exists
RESAMPLE_STEPS = 6
CHUNK = 100  # rounds, so that a model's [rounds, questions] fit into the processor's cache
SEPARATED = 30.0  # log-odds per standard deviation, at which style predicts votes perfectly
FLAT = 1e-3  # share of a slope's initial curvature; less is left if the slope diverges
SINGULAR = 1e-10  # share of the largest curvature: nothing depends on this slope
COLLINEAR = 1e-8  # share of a column's variance that models and other columns do not explain

# rule -> differences from Arena-Hard-Auto's own tables
DIFFERENCES = {
    "v2.0": "same columns as Arena-Hard-Auto v2.0, but the fit converges (there: 50 steps) and the "
    "score is the fit (there: the median of resamples)",
    "v0.1": "same columns as Arena-Hard-Auto v0.1 (raw counts), but the fit converges (there: 100 "
    "steps) and has no penalty (there: L2, C = 1)",
}


@dataclass(frozen=True, slots=True)
class Coefficient:
    """Change of the log-odds per standard deviation `sd` of a style column, with its interval."""

    column: str
    value: float
    lower: float
    upper: float
    sd: float


@dataclass(frozen=True, slots=True)
class StyleFit:
    """Scores [M] under style control and their resamples [rounds, M]; NaN: style not known."""

    scores: Array
    resamples: Array
    coefficients: list[Coefficient]
    notes: list[str]


def style_columns(model: Array, baseline: Array, rule: str = "v2.0") -> Array:
    """Return the four columns [..., 4] from counts [..., 4] of tokens, headers, lists and bolds.

    Rule v0.1: (m - b) / (m + b + 1) of each count (Arena-Hard-Auto 561534a to 9a1d386).
    Rule v2.0, length: (m - b) / (m + b). The others: density d = count / (tokens + 1), then
    (d_m - d_b) / (d_m + d_b + 1). Two empty answers have the same length: 0. NaN stays NaN.
    """
    if rule == "v0.1":
        return (model - baseline) / (model + baseline + 1)
    total = model[..., :1] + baseline[..., :1]
    length = (model[..., :1] - baseline[..., :1]) / np.where(total == 0, 1, total)
    ours, theirs = (counts[..., 1:] / (counts[..., :1] + 1) for counts in (model, baseline))
    return np.concatenate([length, (ours - theirs) / (ours + theirs + 1)], axis=-1)


def fit_style(votes: Votes, columns: Array, weights: Array, options: Options) -> StyleFit:
    """Fit votes [M, Q] on style columns [M, Q, 4], which are known wherever there are votes.

    `weights` [rounds, Q]: of resampled questions. Columns that are constant or collinear with other
    columns or models are left out, with a note. With complete separation (style predicts votes
    perfectly) there is no maximum: then the scores are without style control, with a note.
    """
    won, cast, rounds = votes.wins, votes.votes, options.rounds
    names = [name for key in FEATURES if key in options.control_features for name in FEATURES[key]]
    x, sds = _standardised(columns[..., [COLUMNS.index(name) for name in names]], cast)
    mixed = _mixed(won.sum(axis=1), cast.sum(axis=1))  # other models have no effect on the slopes
    kept = _independent(x[:, mixed], cast[mixed])
    notes = [
        f"style column {name} is constant or collinear with others: left out"
        for name in compress(names, ~kept)
    ]
    x, sds, names = x[kept], sds[kept], list(compress(names, kept))
    found = fit(won, cast, x)
    if found is None:
        notes.append(
            "complete separation: style predicts some votes perfectly, which is common with few "
            "questions; no style-controlled scores exist, so these are without style control"
        )
        x, sds, names = x[:0], sds[:0], []
        found = fit(won, cast, x)
        assert found is not None  # without style columns the maximum is each model's mean
    scores, slopes = found
    resamples = np.full((rounds, len(won)), np.nan)
    drawn_slopes = np.full((rounds, len(names)), np.nan)
    if names and options.ci == "questions":
        resamples, drawn_slopes = resampled_fits(won, cast, x, weights, scores, slopes)
    for number in np.flatnonzero(np.isnan(resamples).all(axis=1)).tolist():  # not yet fitted
        drawn = resampled_votes(votes, weights, number, options.ci, options.seed)
        if (again := fit(*drawn, x, start=slopes)) is not None:
            resamples[number], drawn_slopes[number] = again
    if failed := int(np.isnan(drawn_slopes).any(axis=1).sum()):
        notes.append(
            f"style control did not converge in {failed} of {rounds} resamples, which are left "
            "out; if there are many, there are too few questions for style control"
        )
    questions = int((cast > 0).any(axis=0).sum())
    errors = standard_errors(drawn_slopes, questions, questions - 1)
    reach = student(options.level, questions - 1) * errors
    ends = slopes - reach, slopes + reach
    coefficients = [Coefficient(*values) for values in zip(names, slopes, *ends, sds, strict=True)]
    return StyleFit(scores, resamples, coefficients, notes)


def fit(
    won: Array, cast: Array, x: Array, start: Array | None = None
) -> tuple[Array, Array] | None:
    """Return scores [M] in percent and slopes [K] of columns x [K, M, Q], or None: no maximum.

    A model whose votes are all lost (won) has the score 0 (100) for any slopes and has no effect on
    them. A model without votes has the score NaN.
    """
    total, sum_won = cast.sum(axis=1), won.sum(axis=1)
    with np.errstate(invalid="ignore"):
        scores = 100 * sum_won / total
    mixed = _mixed(sum_won, total)
    slopes = np.zeros(len(x)) if start is None else start.copy()
    if not len(x) or not mixed.any():
        return scores, slopes
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


def _mixed(won: Array, cast: Array) -> Array:
    """Mask of the models that lost some votes and won some; sums over questions."""
    return (won > 0) & (won < cast)


def _newton(
    won: Array, cast: Array, x: Array, strengths: Array, slopes: Array
) -> tuple[Array, Array] | None:
    """Newton's method with steps halved until the likelihood does not fall; None: no maximum."""
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
        slope_step = np.linalg.lstsq(corner, slope_gradient, rcond=SINGULAR)[0]
        step = (missing.sum(axis=1) - slope_step @ border) / diagonal
        size = max(np.abs(step).max(), np.abs(slope_step).max())
        scale = min(1.0, 5.0 / size) if size > 0 else 1.0  # longer steps overshoot
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
            # Steps also vanish where the likelihood is flat but still rises.
            left = np.linalg.eigvalsh(whiten.T @ corner @ whiten)
            return (strengths, slopes) if not left.size or left.min() > FLAT else None
    return None


def _whitening(corner: Array) -> Array:
    """Directions of the slopes with curvature 1, without those that have no curvature."""
    values, vectors = np.linalg.eigh(corner)
    some = values > SINGULAR * values.max(initial=0)
    return vectors[:, some] / np.sqrt(values[some])


def _likelihood(
    won: Array, cast: Array, x: Array, strengths: Array, slopes: Array
) -> tuple[float, Array]:
    """Return the log-likelihood and the expected vote of each model and question."""
    odds = np.tensordot(slopes, x, axes=1)
    odds += strengths[:, None]
    # log(1 + e^o) = max(o, 0) + log(1 + e^-|o|), which cannot overflow
    small = np.exp(-np.abs(odds))
    value = (won * odds).sum() - (cast * (np.maximum(odds, 0) + np.log1p(small))).sum()
    expected = np.where(odds >= 0, 1, small) / (1 + small)
    return value, expected


def _standardised(columns: Array, cast: Array) -> tuple[Array, Array]:
    """Columns [K, M, Q] with mean 0 and standard deviation 1 over all votes, and their sd."""
    x = np.moveaxis(np.nan_to_num(columns), -1, 0).copy()
    votes = max(cast.sum(), 1)
    x -= (x * cast).sum(axis=(1, 2), keepdims=True) / votes
    sds = np.sqrt((x**2 * cast).sum(axis=(1, 2)) / max(votes - 1, 1))
    x /= np.where(sds > 0, sds, 1)[:, None, None]
    return x, sds


def _independent(x: Array, cast: Array) -> Array:
    """Mask of the columns [K, M, Q] that are not collinear with models and earlier columns."""
    total = np.maximum(cast.sum(axis=1, keepdims=True), 1e-300)
    root = np.sqrt(cast)
    basis: list[Array] = []
    keep = []
    for column in x:
        rest = ((column - (column * cast).sum(axis=1, keepdims=True) / total) * root).ravel()
        for other in basis:
            rest = rest - (rest @ other) * other
        norm = np.linalg.norm(rest)
        keep.append(bool(norm**2 > COLLINEAR * max(cast.sum(), 1)))
        if keep[-1]:
            basis.append(rest / norm)
    return np.array(keep, dtype=bool)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # in rounds that diverge
def resampled_fits(
    won: Array, cast: Array, x: Array, weights: Array, scores: Array, slopes: Array
) -> tuple[Array, Array]:
    """Fit all resamples `weights` [rounds, Q] together: scores [rounds, M] and slopes [rounds, K].

    won, cast: [M, Q]; x: columns [K, M, Q]; scores (percent) and slopes: the fit of all votes. The
    maximum of a resample is close to it, so two or three steps suffice, computed model by model for
    many rounds at once, as matrix products. NaN in rounds that do not converge.
    """
    if len(weights) > CHUNK:
        chunks = [weights[at : at + CHUNK] for at in range(0, len(weights), CHUNK)]
        parts = [resampled_fits(won, cast, x, chunk, scores, slopes) for chunk in chunks]
        return np.concatenate([one for one, _ in parts]), np.concatenate([two for _, two in parts])
    row, column = np.triu_indices(len(x))
    # 1, the columns, and their products: [M, Q, 1 + K + K (K + 1) / 2]
    features = np.moveaxis(np.concatenate([np.ones_like(x[:1]), x, x[row] * x[column]]), 0, -1)
    total, sum_won = weights @ cast.T, weights @ won.T
    mixed = _mixed(sum_won, total)[..., None]
    shares = sum_won / total
    beside = _log_odds(scores / 100) - _log_odds(won.sum(axis=1) / cast.sum(axis=1))
    strengths = np.where(mixed[..., 0], _log_odds(shares) + beside, 0)
    slopes = np.tile(slopes, (len(weights), 1))
    width = len(x)
    corner = np.empty((len(weights), width, width))
    lost = np.zeros(len(weights), dtype=bool)  # rounds that diverge
    for number in range(RESAMPLE_STEPS):
        gradient, curvature = _derivatives(won, cast, features, weights, strengths, slopes)
        gradient, curvature = gradient * mixed, curvature * mixed
        diagonal = np.where(mixed, curvature[..., :1], 1)
        border = curvature[..., 1 : width + 1]  # [R, M, K]
        corner[:, row, column] = corner[:, column, row] = curvature[..., width + 1 :].sum(axis=1)
        share = np.swapaxes(border / diagonal, 1, 2)  # [R, K, M]
        inner = corner - share @ border
        lost |= ~np.isfinite(inner).all(axis=(1, 2))
        inner[lost] = np.eye(width)
        spread = np.linalg.eigvalsh(inner)
        lost |= spread[:, 0] <= SINGULAR * spread[:, -1]
        inner[lost] = np.eye(width)
        ahead = gradient[..., 1:].sum(axis=1)[..., None] - share @ gradient[..., :1]  # [R, K, 1]
        slope_step = np.linalg.solve(inner, ahead)
        step = ((gradient[..., :1] - border @ slope_step) / diagonal)[..., 0]
        strengths, slopes = strengths + step, slopes + slope_step[..., 0]
        if number == 0:
            begun = inner
        largest = np.maximum(np.abs(step).max(axis=1), np.abs(slope_step).max(axis=(1, 2)))
        settled = (largest < RESAMPLE_TOLERANCE) & ~lost
        if (settled | lost).all():
            break
    settled &= np.linalg.eigvals(np.asarray(np.linalg.solve(begun, inner))).real.min(axis=1) > FLAT
    found = np.where(mixed[..., 0], 1 / (1 + np.exp(-strengths)), shares)
    found[~settled], slopes[~settled] = np.nan, np.nan
    return 100 * found, slopes


def _derivatives(
    won: Array, cast: Array, features: Array, weights: Array, strengths: Array, slopes: Array
) -> tuple[Array, Array]:
    """Gradient [R, M, 1 + K] and curvature [R, M, features] of the log-likelihood."""
    width = 1 + slopes.shape[1]
    gradient = np.empty((*strengths.shape, width))
    curvature = np.empty((*strengths.shape, features.shape[-1]))
    for model, each in enumerate(features):
        expected = -slopes @ each[:, 1:width].T
        expected -= strengths[:, [model]]
        np.exp(expected, out=expected)
        expected += 1
        np.reciprocal(expected, out=expected)
        votes = weights * cast[model]
        curved = votes * expected
        gradient[:, model] = (weights * won[model] - curved) @ each[:, :width]
        expected -= 1
        curved *= expected
        curvature[:, model] = -curved @ each
    return gradient, curvature


def _log_odds(shares: Array) -> Array:
    return np.log(shares / (1 - shares))
