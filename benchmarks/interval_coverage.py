"""Coverage of intervals: scores of 1 to 99, and categories of different levels.

    PYTHONPATH=workflow/scripts python benchmarks/interval_coverage.py [--trials N] [--rounds N]

A model has a chance of winning on each question (drawn anew, because questions are a sample too).
The two games of a question agree more often than by chance, like real ones. The truth is the score
over infinitely many questions. Also covers the differences of two models on the same questions.
"""

import argparse

import numpy as np
from arena.ranking.leaderboard import make_boards
from arena.ranking.votes import Options, Verdicts, count_votes

LEVEL = 0.90
SAME = 0.6  # share of second games that only repeat the first one's verdict
STRENGTHS = np.array([-5.0, -4.2, -3.25, -2.2, -1.1, 0.0, 1.1, 2.2, 3.25, 4.2, 5.0])  # log-odds
SPREAD = 1.5  # of the log-odds over questions, shared by all models by half


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    truth = true_scores(STRENGTHS)
    print(f"nominal {LEVEL:.0%}, {args.rounds} rounds, {args.trials} trials; percent that contain")
    print("the truth, by the true score; upstream and differences: of all scores\n")
    heads = " ".join(f"{score:>5.1f}" for score in truth)
    print(f"{'questions':>9}  {heads}  {'upstream':>8}  {'differences':>11}")
    for questions in (12, 25, 100, 250, 500):
        ours, upstream, pairs = coverage(questions, truth, args)
        shown = " ".join(f"{covered:>5.1f}" for covered in ours)
        print(f"{questions:>9}  {shown}  {upstream:>8.1f}  {pairs:>11.1f}", flush=True)
    print("\n500 + 250 questions, strength -2.2 in one category and +1.5 in the other, overall:")
    covered, width = overall(args)
    print(f"{covered:.1f} % contain the truth, {width:.2f} times as wide as without categories")


def simulate(
    questions: int, rng: np.random.Generator, strengths: np.ndarray = STRENGTHS
) -> np.ndarray:
    """Verdicts [1, M, questions, 2] as codes."""
    shared = rng.normal(size=questions)
    own = rng.normal(size=(len(strengths), questions))
    skill = strengths[:, None] + SPREAD * (shared + own) / np.sqrt(2)
    # Five ordered outcomes for the model: strong loss, loss, tie, win, strong win.
    cuts = np.array([-1.6, -0.15, 0.15, 1.6])
    first = noisy(skill, cuts, rng)
    second = np.where(rng.random(first.shape) < SAME, first, noisy(skill, cuts, rng))
    # VERDICTS run from best to worst for A: the model is B in games[0], A in games[1].
    return np.stack([first, 4 - second], axis=-1)[None]


def noisy(skill: np.ndarray, cuts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.searchsorted(cuts, skill + rng.logistic(size=skill.shape))


def true_scores(strengths: np.ndarray) -> np.ndarray:
    wins = cast = 0
    for part in range(20):
        votes = count_votes(simulate(100_000, np.random.default_rng([0, part]), strengths))
        wins, cast = wins + votes.wins.sum(axis=1), cast + votes.votes.sum(axis=1)
    return 100 * wins / cast


def campaign(codes: np.ndarray, category: np.ndarray) -> Verdicts:
    """Verdicts as if read from files."""
    return Verdicts(
        judges=("j",),
        models=tuple(f"m{number}" for number in range(codes.shape[1])),
        questions=tuple(f"q{number}" for number in range(codes.shape[2])),
        categories=tuple("ab"[: category.max() + 1]),
        category=category,
        baselines=dict.fromkeys("ab"[: category.max() + 1]),
        codes=codes,
        toy=False,
        examples=(),
        notes=(),
    )


def coverage(questions: int, truth: np.ndarray, args: argparse.Namespace) -> tuple:
    """Percent of intervals that contain the truth: ours [M], upstream's, and of differences."""
    covered: list[list] = [[], [], []]
    apart = truth[:, None] - truth
    for trial in range(args.trials):
        codes = simulate(questions, np.random.default_rng([1, trial]))
        verdicts = campaign(codes, np.zeros(questions, dtype=int))
        for ci, kept in (("questions", covered[0]), ("upstream", covered[1])):
            options = Options(rounds=args.rounds, seed=trial, ci=ci)
            board = make_boards(verdicts, options)[0]
            rows = {row.model: row for row in board.rows}
            rows = [rows[f"m{number}"] for number in range(len(truth))]
            kept.append([row.lower <= t <= row.upper for row, t in zip(rows, truth, strict=True)])
            if ci == "questions":
                place = [int(row.model[1:]) for row in board.rows if not row.is_baseline]
                some = np.ix_(*[[i for i, r in enumerate(board.rows) if not r.is_baseline]] * 2)
                true = apart[np.ix_(place, place)]
                found = board.differences
                inside = (found.lower[some] <= true) & (true <= found.upper[some])
                covered[2].append(inside[np.triu_indices(len(place), 1)])
    ours, upstream, pairs = (100 * np.mean(kept, axis=0) for kept in covered)
    return ours, upstream.mean(), pairs.mean()


def overall(args: argparse.Namespace) -> tuple[float, float]:
    """Percent of overall intervals that contain the truth, and their relative width."""
    sizes, strengths = (500, 250), (np.array([-2.2]), np.array([1.5]))
    category = np.repeat([0, 1], sizes)
    wins = cast = 0
    for size, strength in zip(sizes, strengths, strict=True):
        for part in range(4):
            rng = np.random.default_rng([3, part])
            votes = count_votes(simulate(1000 * size, rng, strength))
            wins, cast = wins + votes.wins.sum(), cast + votes.votes.sum()
    truth, covered, wide = 100 * wins / cast, [], []
    for trial in range(args.trials):
        rng = np.random.default_rng([4, trial])
        codes = np.concatenate(
            [simulate(n, rng, s) for n, s in zip(sizes, strengths, strict=True)], axis=2
        )
        options = Options(rounds=args.rounds, seed=trial)
        boards = [
            make_boards(campaign(codes, part), options)[-1] for part in (category, 0 * category)
        ]
        row, without = (next(r for r in board.rows if r.model == "m0") for board in boards)
        covered.append(row.lower <= truth <= row.upper)
        wide.append((row.upper - row.lower) / (without.upper - without.lower))
    return 100 * float(np.mean(covered)), float(np.mean(wide))


if __name__ == "__main__":
    main()
