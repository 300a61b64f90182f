"""Coverage of the ranks of all models at once, and their width.

    PYTHONPATH=workflow/scripts python benchmarks/interval_ranks.py [--trials N] [--rounds N]

Models have equally spaced strengths; the truth is their order. "Marginal" ranks treat each pair
separately, "simultaneous" ones all pairs at once. Width: mean number of ranks of a model.
"""

import argparse

import numpy as np
from arena.ranking.compare import compare, paired_rows, rank_ranges
from arena.ranking.intervals import question_weights
from arena.ranking.votes import RANKS, Options, count_votes
from interval_coverage import LEVEL, simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1000)
    args = parser.parse_args()
    print(f"nominal {LEVEL:.0%}, {args.rounds} rounds, {args.trials} campaigns of 500 questions\n")
    print(f"{'models':>6}  {'ladder':>13}  {'ranks':>13}  {'all hold %':>10}  {'width':>6}")
    for models in (10, 30, 90):
        for name, strengths in (
            ("scores 6 to 94", np.linspace(-3, 3, models)),
            ("scores 1 to 20", np.linspace(-5, -1.5, models)),
        ):
            for ranks, (covered, width) in zip(RANKS, trial_all(strengths, args), strict=True):
                print(f"{models:>6}  {name:>13}  {ranks:>13}  {covered:>10.1f}  {width:>6.1f}")


def trial_all(strengths: np.ndarray, args: argparse.Namespace) -> list[tuple[float, float]]:
    """For each kind of ranks: percent of campaigns with all ranks true, and the mean width."""
    names = [f"q{number}" for number in range(500)]
    truth = np.argsort(np.argsort(-strengths)) + 1
    found: list[list[tuple[bool, float]]] = [[], []]
    for trial in range(args.trials):
        votes = count_votes(simulate(500, np.random.default_rng([2, trial]), strengths))
        weights = question_weights(names, args.rounds, trial)
        for kept, ranks in zip(found, RANKS, strict=True):
            pairs = compare(paired_rows(votes, weights), votes, Options(ranks=ranks))
            best, worst = rank_ranges(pairs, np.ones(len(strengths), dtype=bool))
            holds = ((best <= truth) & (truth <= worst)).all()
            kept.append((bool(holds), float((worst - best + 1).mean())))
    return [(100 * np.mean([h for h, _ in kept]), np.mean([w for _, w in kept])) for kept in found]


if __name__ == "__main__":
    main()
