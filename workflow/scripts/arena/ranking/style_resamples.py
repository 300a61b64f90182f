"""Style-controlled fits of all resamples of questions together, by Newton's method.

The maximum of a resample is close to that of all votes, so two or three steps suffice. They are
computed model by model for many rounds at once, as matrix products.
"""

import numpy as np

from arena.ranking.votes import Array

STEPS = 6
TOLERANCE = 1e-3  # of the last step, in log-odds; the error is its square: 3e-5 points of a score
SINGULAR = 1e-10  # share of the largest curvature: the column is constant in this round
CHUNK = 100  # rounds, so that a model's [rounds, questions] fit into the processor's cache


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # in rounds that diverge
def resampled_fits(
    won: Array, cast: Array, x: Array, weights: Array, scores: Array, slopes: Array, flat: float
) -> tuple[Array, Array]:
    """Return the scores [rounds, M] and slopes [rounds, K] of resamples `weights` [rounds, Q].

    won, cast: [M, Q]; x: columns [K, M, Q]; scores (percent) and slopes: the fit of all votes.
    NaN in rounds that do not converge in these steps. flat: the least share of a slope's initial
    curvature that is left where a maximum exists.
    """
    if len(weights) > CHUNK:
        chunks = [weights[at : at + CHUNK] for at in range(0, len(weights), CHUNK)]
        parts = [resampled_fits(won, cast, x, chunk, scores, slopes, flat) for chunk in chunks]
        return np.concatenate([one for one, _ in parts]), np.concatenate([two for _, two in parts])
    row, column = np.triu_indices(len(x))
    # 1, the columns, and their products: [M, Q, 1 + K + K (K + 1) / 2]
    features = np.moveaxis(np.concatenate([np.ones_like(x[:1]), x, x[row] * x[column]]), 0, -1)
    total, sum_won = weights @ cast.T, weights @ won.T
    mixed = ((sum_won > 0) & (sum_won < total))[..., None]  # see `style.fit`
    shares = sum_won / total
    beside = _log_odds(scores / 100) - _log_odds(won.sum(axis=1) / cast.sum(axis=1))
    strengths = np.where(mixed[..., 0], _log_odds(shares) + beside, 0)
    slopes = np.tile(slopes, (len(weights), 1))
    width = len(x)
    corner = np.empty((len(weights), width, width))
    lost, begun = np.zeros(len(weights), dtype=bool), corner  # lost: rounds that diverge
    for number in range(STEPS):
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
        begun = begun if number else inner
        largest = np.maximum(np.abs(step).max(axis=1), np.abs(slope_step).max(axis=(1, 2)))
        settled = (largest < TOLERANCE) & ~lost
        if (settled | lost).all():
            break
    settled &= np.linalg.eigvals(np.asarray(np.linalg.solve(begun, inner))).real.min(axis=1) > flat
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
