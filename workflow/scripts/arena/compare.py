"""Differences between any two models on the same questions, ranks, and groups that are alike."""

from dataclasses import dataclass

import numpy as np

from arena.intervals import bounds
from arena.votes import Votes


@dataclass(frozen=True, slots=True)
class Differences:
    """For models i (rows) and j (columns): score of i minus score of j in points, [M, M].

    Antisymmetric: lower[i, j] = -upper[j, i]. NaN where two models share no question.
    """

    difference: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    questions: np.ndarray  # that both were judged on

    @property
    def better(self) -> np.ndarray:
        """[M, M] True where the whole interval of i minus j lies above 0."""
        return self.lower > 0


def paired_differences(votes: Votes, weights: np.ndarray, level: float) -> Differences:
    """Compare every pair on the questions that both were judged on, by resampling these.

    So a hard question that only one of them was asked weighs on neither. `weights`: [rounds, Q].
    """
    has = (votes.votes > 0).astype(float)
    once = np.ones((1, has.shape[1]))
    difference = [_against(i, votes, has, once)[0] for i in range(len(has))]
    # A row at a time, so that memory stays at rounds x models.
    low_high = [bounds(_against(i, votes, has, weights), level) for i in range(len(has))]
    return _differences(difference, low_high, has)


def resampled_differences(
    scores: np.ndarray, resamples: np.ndarray, votes: Votes, level: float
) -> Differences:
    """Compare scores [M] with resamples [rounds, M] of any kind, such as style-controlled ones."""
    low_high = [bounds(resamples[:, [i]] - resamples, level) for i in range(len(scores))]
    has = (votes.votes > 0).astype(float)
    return _differences(scores[:, None] - scores, low_high, has)


def _differences(difference, low_high, has) -> Differences:
    lower, upper = (np.array(bound) for bound in zip(*low_high, strict=True))
    for matrix in (lower, upper):
        np.fill_diagonal(matrix, 0)
    return Differences(np.array(difference), lower, upper, (has @ has.T).astype(int))


def _against(i: int, votes: Votes, has: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Model i minus all models in every round, [rounds, M], on shared questions."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mine = ((weights * votes.wins[i]) @ has.T) / ((weights * votes.votes[i]) @ has.T)
        shared = weights * has[i]
        theirs = (shared @ votes.wins.T) / (shared @ votes.votes.T)
    return 100 * (mine - theirs)


def rank_ranges(differences: Differences) -> tuple[np.ndarray, np.ndarray]:
    """Return each model's best and worst rank that the data allow, 1 being the top.

    Best: one more than the models that are surely better; worst: the same from below. "Surely" is
    an interval of the paired difference that leaves out 0; nothing corrects for the number of
    pairs.
    """
    better = differences.better
    return 1 + better.sum(axis=0), len(better) - better.sum(axis=1)


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
