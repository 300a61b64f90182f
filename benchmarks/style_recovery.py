"""Bias and coverage of style control, for known strengths and style effects.

    PYTHONPATH=workflow/scripts python benchmarks/style_recovery.py [--trials 200] [--rounds 100]

Votes are drawn from the fitted model: strengths of 8 models, slopes of 4 style columns, 500
questions, two games each. Strong models write longer, so plain scores are biased; the last column
shows by how much.
"""

import argparse

import numpy as np
from arena.ranking.intervals import question_weights, score_bounds, standard_errors
from arena.ranking.style import COLUMNS, fit_style
from arena.ranking.votes import FEATURES, LEVELS, Options, Votes

LEVEL = LEVELS["v2.0"]
STRENGTHS = np.array([-1.5, -1.0, -0.5, -0.2, 0.2, 0.5, 1.0, 1.5])
SLOPES = np.array([0.6, 0.0, 0.2, -0.3])
QUESTIONS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    names = [f"q{number}" for number in range(QUESTIONS)]
    true_scores = 100 / (1 + np.exp(-STRENGTHS))
    options = Options(rounds=args.rounds, control_features=tuple(FEATURES))
    rows = []
    for trial in range(args.trials):
        columns, votes = simulate(np.random.default_rng([2, trial]))
        weights = question_weights(names, args.rounds, trial)
        found = fit_style(votes, columns, weights, options)
        n = np.full(len(STRENGTHS), QUESTIONS)
        errors = standard_errors(found.resamples, n, n - 1)
        lower, upper = score_bounds(found.scores, errors, 0.0, n, n - 1, LEVEL)
        plain = 100 * votes.wins.sum(axis=1) / votes.votes.sum(axis=1)
        slopes = np.array([(one.value, one.lower, one.upper) for one in found.coefficients])
        rows.append((slopes, found.scores, lower, upper, plain))
    slopes = np.array([row[0] for row in rows])
    scores, lower, upper, plain = (np.array([row[i] for row in rows]) for i in range(1, 5))
    print(f"nominal {LEVEL:.0%}, {args.rounds} rounds, {args.trials} trials\n")
    print(f"{'style column':<14}{'truth':>7}{'bias':>9}{'coverage %':>12}")
    for number, name in enumerate(COLUMNS):
        values, low, high = slopes[:, number].T
        truth = SLOPES[number]
        covered = 100 * np.mean((low <= truth) & (truth <= high))
        print(f"{name:<14}{truth:>7.2f}{values.mean() - truth:>+9.4f}{covered:>12.1f}")
    print(
        f"\n{'strength':<10}{'score':>7}{'bias':>9}{'coverage %':>12}{'bias without control':>22}"
    )
    for number, strength in enumerate(STRENGTHS):
        truth = true_scores[number]
        covered = 100 * np.mean((lower[:, number] <= truth) & (truth <= upper[:, number]))
        print(
            f"{strength:<10}{truth:>7.2f}{scores[:, number].mean() - truth:>+9.3f}{covered:>12.1f}"
            f"{plain[:, number].mean() - truth:>+22.2f}"
        )


def simulate(rng: np.random.Generator) -> tuple[np.ndarray, Votes]:
    columns = rng.normal(size=(len(STRENGTHS), QUESTIONS, len(SLOPES)))
    columns[..., 0] += STRENGTHS[:, None]
    columns = (columns - columns.mean(axis=(0, 1))) / columns.std(axis=(0, 1), ddof=1)
    odds = STRENGTHS[:, None] + columns @ SLOPES
    games = np.full(odds.shape, 2)
    wins = rng.binomial(games, 1 / (1 + np.exp(-odds))).astype(float)
    return columns, Votes(wins, 0 * wins, games, games, wins, 0 * wins)


if __name__ == "__main__":
    main()
