"""How often an interval holds the truth: resampled questions against resampled votes.

    PYTHONPATH=workflow/scripts python benchmarks/interval_coverage.py [--trials N] [--rounds N]

A model has a chance of winning on each question (drawn anew: the questions are a sample too), and
the two games of a question agree more than chance would have it, as real ones do. The truth is the
score over endlessly many questions. Also the differences of two models on the same questions.
"""

import argparse

import numpy as np
from arena.ranking.compare import paired_differences
from arena.ranking.intervals import (
    bounds,
    question_weights,
    resampled_scores,
    upstream_scores,
    widen_certain,
)
from arena.ranking.votes import count_votes

LEVEL = 0.90
SAME = 0.6  # share of second games that only repeat the first one's verdict
STRENGTHS = np.array([-2.2, -1.1, 0.0, 0.4, 1.2])  # mean log-odds of the models
SPREAD = 1.5  # of the log-odds over questions, shared by all models by half


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    truth = true_scores()
    scores = ", ".join(f"{score:.1f}" for score in truth)
    print(
        f"true scores {scores}; nominal {LEVEL:.0%}, {args.rounds} rounds, {args.trials} trials\n"
    )
    print(f"{'questions':>9}  {'ours %':>7}  {'upstream %':>10}  {'differences %':>13}")
    for questions in (12, 25, 100, 500):
        ours, upstream, pairs = coverage(questions, truth, args.trials, args.rounds)
        print(f"{questions:>9}  {ours:>7.1f}  {upstream:>10.1f}  {pairs:>13.1f}")


def simulate(questions: int, rng: np.random.Generator) -> np.ndarray:
    """Verdicts [1, M, questions, 2] as codes."""
    shared = rng.normal(size=questions)
    own = rng.normal(size=(len(STRENGTHS), questions))
    skill = STRENGTHS[:, None] + SPREAD * (shared + own) / np.sqrt(2)
    # Five ordered outcomes for the model: strong loss, loss, tie, win, strong win.
    cuts = np.array([-1.6, -0.15, 0.15, 1.6])
    first = noisy(skill, cuts, rng)
    second = np.where(rng.random(first.shape) < SAME, first, noisy(skill, cuts, rng))
    # VERDICTS run from best to worst for A: the model is B in games[0], A in games[1].
    return np.stack([first, 4 - second], axis=-1)[None]


def noisy(skill: np.ndarray, cuts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.searchsorted(cuts, skill + rng.logistic(size=skill.shape))


def true_scores() -> np.ndarray:
    votes = count_votes(simulate(2_000_000, np.random.default_rng(0)))
    return 100 * votes.wins.sum(axis=1) / votes.votes.sum(axis=1)


def coverage(questions: int, truth: np.ndarray, trials: int, rounds: int) -> list[float]:
    """Percent of intervals that hold the truth: ours, upstream's, and of paired differences."""
    names = [f"q{number}" for number in range(questions)]
    models = [f"m{number}" for number in range(len(truth))]
    upper_half = np.triu_indices(len(truth), 1)
    apart = (truth[:, None] - truth)[upper_half]
    held = [[], [], []]
    for trial in range(trials):
        votes = count_votes(simulate(questions, np.random.default_rng([1, trial])))
        weights = question_weights(names, rounds, trial)
        scores = 100 * votes.wins.sum(axis=1) / votes.votes.sum(axis=1)
        ours = bounds(resampled_scores(votes, weights), LEVEL, questions=questions)
        ours = widen_certain(scores, *ours, np.full(len(truth), questions), LEVEL)
        upstream = bounds(upstream_scores(votes, models, rounds, trial), LEVEL, "upstream")
        pairs = paired_differences(votes, weights, LEVEL)
        low_high = pairs.lower[upper_half], pairs.upper[upper_half]
        for kept, (lower, upper), value in (
            (held[0], ours, truth),
            (held[1], upstream, truth),
            (held[2], low_high, apart),
        ):
            kept.append((lower <= value) & (value <= upper))
    return [100 * float(np.mean(kept)) for kept in held]


if __name__ == "__main__":
    main()
