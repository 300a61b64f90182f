import numpy as np
import pytest
from arena.ranking.compare import (
    Differences,
    alike,
    paired_differences,
    rank_ranges,
    resampled_differences,
)
from arena.ranking.intervals import bounds, question_weights, resampled_scores
from arena.ranking.votes import Votes

QUESTIONS = [f"q{number}" for number in range(200)]
WEIGHTS = question_weights(QUESTIONS, 400, seed=1)


def votes_of(*rows):
    """Rows of single votes, NaN: not judged."""
    wins = np.array(rows, dtype=float)
    cast = (~np.isnan(wins)).astype(float)
    return Votes(np.nan_to_num(wins), 0 * cast, cast, cast, cast, cast)


def test_pairs_are_compared_on_shared_questions_only():
    """Both are equally good on the easy half; only one was asked the hard half."""
    easy = np.tile([1.0, 0.0], 50)
    asked_all = np.concatenate([easy, np.zeros(100)])
    asked_easy = np.concatenate([easy, np.full(100, np.nan)])
    found = paired_differences(votes_of(asked_all, asked_easy), WEIGHTS, 0.9)
    assert found.difference[0, 1] == 0
    assert found.questions.tolist() == [[200, 100], [100, 100]]
    # No shared question tells them apart, but a hundred are not all: the binomial bound of 0.05.
    reach = 100 * (1 - 0.05 ** (1 / 100))
    assert (found.lower[0, 1], found.upper[0, 1]) == pytest.approx((-reach, reach))


def test_pairing_sees_what_single_intervals_cannot():
    """A model that is a little better on the same questions is surely better."""
    rng = np.random.default_rng(0)
    worse = rng.integers(0, 2, 200).astype(float)
    better = worse.copy()
    better[np.flatnonzero(worse == 0)[:12]] = 1
    votes = votes_of(better, worse)
    lower, upper = bounds(resampled_scores(votes, WEIGHTS), 0.9)
    assert lower[0] < upper[1], "the single intervals overlap"
    found = paired_differences(votes, WEIGHTS, 0.9)
    assert found.difference[0, 1] == pytest.approx(6)
    assert found.lower[0, 1] > 3
    assert found.upper[0, 1] < 10
    assert found.lower[1, 0] == pytest.approx(-found.upper[0, 1])
    assert found.better.tolist() == [[False, True], [False, False]]


def test_gaps_anywhere_give_what_counting_pair_by_pair_gives():
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 2, (4, 200)).astype(float)
    rows[rng.random((4, 200)) < 0.2] = np.nan
    rows[3, :100], rows[2, 100:] = np.nan, np.nan
    votes = votes_of(*rows)
    found = paired_differences(votes, WEIGHTS, 0.9)
    for i, j in ((0, 1), (1, 3), (2, 0)):
        both = ~np.isnan(rows[i]) & ~np.isnan(rows[j])
        draws = WEIGHTS[:, both]
        resampled = 100 * (draws @ (rows[i] - rows[j])[both]) / draws.sum(axis=1)
        lower, upper = bounds(resampled[:, None], 0.9, questions=both.sum())
        assert found.difference[i, j] == pytest.approx(100 * (rows[i] - rows[j])[both].mean())
        assert (found.lower[i, j], found.upper[i, j]) == pytest.approx((lower[0], upper[0]))
        assert found.questions[i, j] == both.sum()
    assert found.questions[2, 3] == 0
    assert np.isnan([found.difference[2, 3], found.lower[2, 3], found.upper[2, 3]]).all()


def test_equal_questions_give_the_difference_of_the_scores():
    rng = np.random.default_rng(1)
    votes = votes_of(*rng.integers(0, 2, (3, 200)))
    scores = 100 * votes.wins.mean(axis=1)
    paired = paired_differences(votes, WEIGHTS, 0.9)
    plain = resampled_differences(scores, resampled_scores(votes, WEIGHTS), votes, 0.9)
    for name in ("difference", "lower", "upper", "questions"):
        assert getattr(paired, name) == pytest.approx(getattr(plain, name)), name


@pytest.mark.parametrize(("questions", "sure"), [(4, False), (5, True)])
def test_a_few_won_questions_are_not_yet_better_than_the_baseline(questions, sure):
    """The sign test's 1 in 32 of five wins in a row is below the tail of 5 %, 1 in 16 is not."""
    votes = votes_of(np.ones(questions)).with_baseline()
    weights = WEIGHTS[:, :questions]
    scores, resamples = np.array([100.0, 50.0]), np.tile([100.0, 50.0], (400, 1))
    paired = paired_differences(votes, weights, 0.9, baseline=1)
    plain = resampled_differences(scores, resamples, votes, 0.9, baseline=1)
    for found in (paired, plain):
        assert found.difference[0, 1] == 50
        assert found.better[0, 1] == sure
        assert (found.lower[1, 0], found.upper[1, 0]) == (-50, -found.lower[0, 1])
    strangers = resampled_differences(scores, resamples, votes.where(np.array([[1], [0]])), 0.9)
    assert np.isnan([strangers.difference[0, 1], strangers.lower[0, 1]]).all(), "nothing shared"
    upstream = resampled_differences(scores, resamples, votes, 0.9, baseline=1, ci="upstream")
    assert upstream.lower[0, 1] == 50, "as single votes would have it"


def told_apart(pairs, size):
    """Differences of which just these (better, worse) pairs are sure."""
    lower = np.full((size, size), -1.0)
    for better, worse in pairs:
        lower[better, worse] = 1.0
    return Differences(lower, lower, lower, lower)


def test_ranks_that_the_data_allow():
    found = told_apart([(0, 2), (0, 3), (1, 3)], 5)
    best, worst = rank_ranges(found, known=np.arange(5) < 4)
    assert best[:4].tolist() == [1, 1, 2, 3]
    assert worst[:4].tolist() == [2, 3, 4, 4], "the fifth has no score, and so no rank to take"


def test_groups_of_neighbours_that_are_alike():
    assert alike(told_apart([(0, 2), (0, 3), (1, 3)], 4), [0, 1, 2, 3]) == [[0, 1], [1, 2], [2, 3]]
    assert alike(told_apart([], 3), [2, 0, 1]) == [[2, 0, 1]]
    assert alike(told_apart([(0, 1), (0, 2), (1, 2)], 3), [0, 1, 2]) == [[0], [1], [2]]
