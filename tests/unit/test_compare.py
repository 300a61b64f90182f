from statistics import NormalDist

import numpy as np
import pytest
from arena.ranking.compare import (
    Differences,
    compare,
    paired_rows,
    rank_ranges,
    score_rows,
    similar_groups,
)
from arena.ranking.intervals import (
    WHOLE,
    normal_of,
    question_weights,
    resampled_scores,
    score_bounds,
    standard_errors,
    student,
)
from arena.ranking.votes import Options

from tests.judged import votes_of

QUESTIONS = [f"q{number}" for number in range(200)]
WEIGHTS = question_weights(QUESTIONS, 400, seed=1)


def compared(votes, weights=WEIGHTS, baseline=None, strata=WHOLE, **options):
    rows = paired_rows(votes, weights, strata)
    return compare(rows, votes, Options(**options), baseline, strata)


def test_pairs_are_compared_on_shared_questions_only():
    """Both are equally good on the easy half; only one was asked the hard half."""
    easy = np.tile([1.0, 0.0], 50)
    asked_all = np.concatenate([easy, np.zeros(100)])
    asked_easy = np.concatenate([easy, np.full(100, np.nan)])
    found = compared(votes_of([asked_all, asked_easy]))
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
    votes = votes_of([better, worse])
    n, scores = np.array([200, 200]), 100 * votes.wins.mean(axis=1)
    errors = standard_errors(resampled_scores(votes, WEIGHTS), n, n - 1)
    lower, upper = score_bounds(scores, errors, 0.0, n, n - 1, 0.9)
    assert lower[0] < upper[1], "the single intervals overlap"
    found = compared(votes)
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
    votes = votes_of(rows)
    found = compared(votes)
    for i, j in ((0, 1), (1, 3), (2, 0)):
        both = ~np.isnan(rows[i]) & ~np.isnan(rows[j])
        draws = WEIGHTS[:, both]
        resampled = 100 * (draws @ (rows[i] - rows[j])[both]) / draws.sum(axis=1)
        n, difference = both.sum(), 100 * (rows[i] - rows[j])[both].mean()
        reach = student(0.9, n - 1) * resampled.std() * np.sqrt(n / (n - 1))
        assert found.difference[i, j] == pytest.approx(difference)
        assert (found.lower[i, j], found.upper[i, j]) == pytest.approx(
            (difference - reach, difference + reach)
        )
        assert found.questions[i, j] == both.sum()
    assert found.questions[2, 3] == 0
    assert np.isnan([found.difference[2, 3], found.lower[2, 3], found.upper[2, 3]]).all()


def test_equal_questions_give_the_difference_of_the_scores():
    rng = np.random.default_rng(1)
    votes = votes_of(rng.integers(0, 2, (3, 200)))
    scores = 100 * votes.wins.mean(axis=1)
    paired = compared(votes)
    plain = compare(score_rows(scores, resampled_scores(votes, WEIGHTS)), votes, Options())
    for name in ("difference", "lower", "upper", "p", "p_adjusted", "questions"):
        assert getattr(paired, name) == pytest.approx(getattr(plain, name)), name


@pytest.mark.parametrize(("questions", "sure"), [(4, False), (5, True)])
def test_a_few_won_questions_are_not_yet_better_than_the_baseline(questions, sure):
    """The sign test's 1 in 32 of five wins in a row is below the tail of 5 %, 1 in 16 is not."""
    votes = votes_of(np.ones(questions)).with_baseline()
    weights = WEIGHTS[:, :questions]
    scores, resamples = np.array([100.0, 50.0]), np.tile([100.0, 50.0], (400, 1))
    paired = compared(votes, weights, baseline=1)
    plain = compare(score_rows(scores, resamples), votes, Options(), baseline=1)
    for found in (paired, plain):
        assert found.p[0, 1] == pytest.approx(2 * 0.5**questions), "two-sided"
        assert found.difference[0, 1] == 50
        assert found.better[0, 1] == sure
        assert (found.lower[1, 0], found.upper[1, 0]) == (-50, -found.lower[0, 1])
    strangers = compare(score_rows(scores, resamples), votes.where(np.array([[1], [0]])), Options())
    assert np.isnan([strangers.difference[0, 1], strangers.lower[0, 1]]).all(), "nothing shared"
    upstream = compare(score_rows(scores, resamples), votes, Options(ci="upstream"), 1)
    assert upstream.lower[0, 1] == 50, "as single votes would have it"


def test_p_values_and_intervals_say_the_same():
    """p is below 0.1 where the 90 % interval leaves out 0, also for few questions."""
    rng = np.random.default_rng(5)
    for questions in (6, 15, 200):
        votes = votes_of(rng.random((12, questions)) < np.linspace(0.1, 0.9, 12)[:, None])
        votes = votes.with_baseline()
        found = compared(votes, WEIGHTS[:, :questions], 12, ranks="marginal")
        apart = (found.lower > 0) | (found.upper < 0)
        assert np.array_equal(found.p < 0.1, apart)
        assert np.array_equal(found.better, found.lower > 0)
        assert 0 < apart.mean() < 1
        assert (found.p_adjusted >= found.p).all()


def alike_games(models, chances, seed):
    """Two games a question, alike in six of ten; chances: of the models to win."""
    rng = np.random.default_rng(seed)
    first, new = rng.random((2, models, 200)) < chances
    again = np.where(rng.random(first.shape) < 0.6, first, new)
    return votes_of((first * 1.0 + again) / 2)


def test_all_pairs_at_once_are_wrong_in_one_table_of_ten():
    """Twelve models that are equal: at 90 % some pair is told apart by chance in 10 % of tables."""
    wrong, wrong_alone, pairs = 0, 0, 0
    for seed in range(150):
        votes = alike_games(12, 0.3, seed)
        weights = question_weights(QUESTIONS, 200, seed)
        found = compared(votes, weights)
        wrong += found.better.any()
        alone = found.p[np.triu_indices(12, 1)] < 0.1
        wrong_alone, pairs = wrong_alone + alone.any(), pairs + alone.mean()
    assert wrong / 150 == pytest.approx(0.10, abs=0.06)
    assert pairs / 150 == pytest.approx(0.10, abs=0.02), "each pair by itself holds its level"
    assert wrong_alone / 150 > 0.8, "and some pair of so many is wrong nearly always"


def test_a_detectable_difference_is_found_in_four_of_five_tables():
    votes = alike_games(2, 0.5, 0)
    alone, among = compared(votes).detectable
    assert among == pytest.approx(alone, rel=0.06), "of a single pair both are one"
    found = 0
    for seed in range(300):
        chances = np.array([0.5 + alone / 200, 0.5 - alone / 200])[:, None]
        votes = alike_games(2, chances, [1, seed])
        weights = question_weights(QUESTIONS, 100, seed)
        found += compared(votes, weights).better[0, 1]
    assert found / 300 == pytest.approx(0.8, abs=0.06)


def test_pairs_are_resampled_within_their_categories():
    """Each is certain in each category, so nothing is left to chance, gaps or not."""
    one = np.repeat([1.0, 0.0], [150, 50])
    other = np.repeat([0.0, 1.0], [150, 50])
    strata = [np.arange(150), np.arange(150, 200)]
    for gaps in (0, 7):
        rows = np.array([one, other])
        rows[0, :gaps] = rows[1, gaps : 2 * gaps] = np.nan
        rows[0, 150 : 150 + gaps] = np.nan
        votes = votes_of(rows)
        whole = compared(votes)
        within = compared(votes, strata=strata)
        assert within.difference[0, 1] == pytest.approx(whole.difference[0, 1])
        assert whole.upper[0, 1] - whole.lower[0, 1] > 15
        reach = 100 * (1 - 0.05 ** (1 / within.questions[0, 1]))
        assert within.upper[0, 1] - within.lower[0, 1] < 2.1 * reach, "the binomial bound alone"


def test_every_category_costs_a_degree_of_freedom():
    """Forty questions in four: interval and p are both Student's of 36."""
    rows = np.random.default_rng(3).random((2, 40)) < np.array([[0.7], [0.4]])
    weights = question_weights(QUESTIONS[:40], 400, seed=1)
    strata = list(np.arange(40).reshape(4, 10))
    found = compared(votes_of(rows), weights, strata=strata)
    for free, fits in ((36, True), (39, False)):
        error = (found.upper[0, 1] - found.lower[0, 1]) / 2 / student(0.9, free)
        z = normal_of(found.difference[0, 1] / error, free)
        assert (found.p[0, 1] == pytest.approx(2 * NormalDist().cdf(-z), rel=1e-6)) == fits


def told_apart(pairs, size):
    """Differences of which just these (better, worse) pairs are sure."""
    none, sure = np.zeros((size, size)), np.zeros((size, size), dtype=bool)
    for better, worse in pairs:
        sure[better, worse] = True
    return Differences(none, none, none, none, none, sure, none, None)


def test_ranks_that_the_data_allow():
    found = told_apart([(0, 2), (0, 3), (1, 3)], 5)
    best, worst = rank_ranges(found, is_ranked=np.arange(5) < 4)
    assert best[:4].tolist() == [1, 1, 2, 3]
    assert worst[:4].tolist() == [2, 3, 4, 4], "the fifth has no score, and so no rank to take"


def test_groups_of_neighbours_that_are_alike():
    found = similar_groups(told_apart([(0, 2), (0, 3), (1, 3)], 4), [0, 1, 2, 3])
    assert found == [[0, 1], [1, 2], [2, 3]]
    assert similar_groups(told_apart([], 3), [2, 0, 1]) == [[2, 0, 1]]
    assert similar_groups(told_apart([(0, 1), (0, 2), (1, 2)], 3), [0, 1, 2]) == [[0], [1], [2]]
