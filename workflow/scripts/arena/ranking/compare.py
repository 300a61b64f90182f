"""Differences between any two models on the same questions, ranks, and groups that are alike."""

from dataclasses import dataclass

import numpy as np

from arena.ranking.intervals import bounds, widen_certain
from arena.ranking.votes import Votes


@dataclass(frozen=True, slots=True)
class Differences:
    """For models i (rows) and j (columns): score of i minus score of j in points, [M, M].

    Antisymmetric: lower[i, j] = -upper[j, i]. NaN where two models share no question that counts.
    """

    difference: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    questions: np.ndarray  # that both were judged on

    @property
    def better(self) -> np.ndarray:
        """[M, M] True where the whole interval of i minus j lies above 0."""
        return self.lower > 0


def paired_differences(
    votes: Votes, weights: np.ndarray, level: float, baseline: int | None = None
) -> Differences:
    """Compare every pair on the questions that both were judged on, by resampling these.

    So a hard question that only one of them was asked weighs on neither. `weights`: [rounds, Q];
    `baseline`: its row, where it has one.
    """
    once = _Pairs(votes, np.ones((1, votes.votes.shape[1])))
    resampled = _Pairs(votes, weights)
    models = range(len(votes.votes))
    difference = [once.against(i)[0] for i in models]  # rows of the triangle i < j
    # A row at a time, so that memory stays at rounds x models.
    rows = (resampled.against(i) for i in models)
    return _differences(difference, rows, votes, level, baseline)


def resampled_differences(
    scores: np.ndarray,
    resamples: np.ndarray,
    votes: Votes,
    level: float,
    baseline: int | None = None,
    ci: str = "questions",
) -> Differences:
    """Compare scores [M] with resamples [rounds, M] of any kind, such as style-controlled ones.

    A score is of all its model's questions, so these are not differences on the same questions.
    """
    difference = [scores[i] - scores[i + 1 :] for i in range(len(scores))]
    rows = (resamples[:, [i]] - resamples[:, i + 1 :] for i in range(len(scores)))
    return _differences(difference, rows, votes, level, baseline, ci)


def _differences(
    difference, rows, votes: Votes, level: float, baseline: int | None, ci: str = "questions"
) -> Differences:
    """Whole matrices from the triangle i < j, row by row: differences and their resamples."""
    has = (votes.votes > 0).astype(int)
    questions = has @ has.T
    least, most = np.zeros(len(has)), np.full(len(has), 100.0)
    if baseline is not None:
        least[baseline] = most[baseline] = 50.0  # by definition: no question could tell otherwise
    whole, lower, upper = np.zeros((3, len(has), len(has)))
    for i, (values, row) in enumerate(zip(difference, rows, strict=True)):
        rest = slice(i + 1, None)
        shared = questions[i, rest]
        values, row = (np.where(shared > 0, part, np.nan) for part in (values, row))
        low, high = bounds(row, level, ci, shared)
        if ci == "questions":
            reach = least[i] - most[rest], most[i] - least[rest]
            low, high = widen_certain(values, low, high, shared, level, *reach)
        whole[i, rest], whole[rest, i] = values, -values
        lower[i, rest], upper[i, rest] = low, high
        lower[rest, i], upper[rest, i] = -high, -low
    return Differences(whole, lower, upper, questions)


class _Pairs:
    """Sums over the questions that two models share, as sums over all less those over the others.

    Few questions are missing anywhere, so the second sum is short.
    """

    def __init__(self, votes: Votes, weights: np.ndarray):
        self.votes, self.weights = votes, weights
        self.missing = votes.votes == 0
        self.gaps = np.flatnonzero(self.missing.any(axis=0))
        self.won, self.cast = weights @ votes.wins.T, weights @ votes.votes.T

    def against(self, i: int) -> np.ndarray:
        """Model i minus the models after it, [rounds, M - i - 1]; NaN where nothing is shared."""
        votes, gaps, mine = self.votes, self.gaps, np.flatnonzero(self.missing[i])
        after = slice(i + 1, None)
        theirs = self.missing[after, gaps].T.astype(float)
        won = self.won[:, [i]] - (self.weights[:, gaps] * votes.wins[i, gaps]) @ theirs
        cast = self.cast[:, [i]] - (self.weights[:, gaps] * votes.votes[i, gaps]) @ theirs
        other_won = self.won[:, after] - self.weights[:, mine] @ votes.wins[after, mine].T
        other_cast = self.cast[:, after] - self.weights[:, mine] @ votes.votes[after, mine].T
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = 100 * (won / cast - other_won / other_cast)
        # What is left of a subtraction must not pass for a vote.
        return np.where((cast > 1e-9) & (other_cast > 1e-9), difference, np.nan)


def rank_ranges(differences: Differences, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each model's best and worst rank that the data allow, 1 being the top.

    `known`: mask of the models with a score; the others take no rank.

    Best: one more than the models that are surely better; worst: the same from below. "Surely" is
    an interval of the paired difference that leaves out 0; nothing corrects for the number of
    pairs.
    """
    better = differences.better
    return 1 + better.sum(axis=0), known.sum() - better.sum(axis=1)


def alike(differences: Differences, order: list[int]) -> list[list[int]]:
    """Return groups of neighbours in `order` (best first) among whom no pair can be told apart.

    Groups are as large as they can be and may overlap; a model that differs from both neighbours is
    a group of its own.
    """
    told_apart = differences.better | differences.better.T
    groups: list[list[int]] = []
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not told_apart[order[end], order[start:end]].any():
            end += 1
        if not groups or order[end - 1] != groups[-1][-1]:
            groups.append(order[start:end])
    return groups
