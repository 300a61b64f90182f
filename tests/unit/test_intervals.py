from statistics import NormalDist

import numpy as np
import pytest
from arena.ranking.intervals import (
    normal_of,
    percentiles,
    question_weights,
    resampled_scores,
    resampled_votes,
    score_bounds,
    standard_errors,
    stratified,
    student,
    unanchored_bounds,
    upstream_scores,
    widen_certain,
)

from tests.judged import votes_of

QUESTIONS = [f"q{number}" for number in range(400)]


def test_weights_belong_to_a_question_whatever_is_beside_it():
    everything = question_weights(QUESTIONS, 50, seed=1)
    some = question_weights([QUESTIONS[7], "another", QUESTIONS[3]], 50, seed=1)
    assert everything.shape == (50, 400)
    assert np.array_equal(some[:, 0], everything[:, 7])
    assert np.array_equal(some[:, 2], everything[:, 3])
    assert not np.array_equal(question_weights(QUESTIONS, 50, seed=2), everything)
    assert everything.mean() == pytest.approx(1, abs=0.02)
    assert everything.var() == pytest.approx(1, abs=0.03)


def test_the_standard_error_is_the_textbooks():
    """Six equal votes a question: the questions count, not the votes."""
    won = np.arange(400) % 4 == 0
    votes = votes_of(6 * won, np.full(400, 6))
    spread = resampled_scores(votes, question_weights(QUESTIONS, 4000, seed=3)).std()
    assert spread == pytest.approx(100 * np.sqrt(0.25 * 0.75 / 400), rel=0.05)
    upstream = upstream_scores(votes, ["m"], 4000, seed=3).std()
    assert upstream == pytest.approx(100 * np.sqrt(0.25 * 0.75 / 2400), rel=0.05)


def test_upstream_draws_ties_as_half_wins():
    votes = votes_of(np.full(100, 0.5), np.ones(100), np.ones(100))
    assert (upstream_scores(votes, ["m"], 10, seed=1) == 50).all()
    half = votes_of([60, 10], [100, 100], [40, 20])
    resamples = upstream_scores(half, ["m"], 4000, seed=1)
    assert resamples.mean() == pytest.approx(35, abs=0.2)
    # won 40, tied 60, lost 100 of 200: variance of a vote = 0.2 + 0.3 / 4 - 0.35 ** 2
    assert resamples.std() == pytest.approx(100 * np.sqrt(0.1525 / 200), rel=0.05)


def test_upstream_v01_varies_the_number_of_votes_too():
    votes = votes_of([[3, 3], [50, 50]], [[5, 5], [100, 100]])
    fixed = upstream_scores(votes, ["a", "b"], 500, seed=1, rule="v2.0")
    free = upstream_scores(votes, ["a", "b"], 500, seed=1, rule="v0.1")
    assert len(np.unique(fixed[:, 0])) <= 11
    assert len(np.unique(free[:, 0])) > 30


def test_standard_errors_are_the_textbooks_and_forgive_empty_rounds():
    resamples = np.column_stack([np.arange(101.0), np.full(101, np.nan)])
    resamples[0] = np.nan
    errors = standard_errors(resamples, np.array([12, 12]), np.array([11, 11]))
    assert errors[0] == pytest.approx(np.arange(1, 101).std() * np.sqrt(12 / 11))
    assert np.isnan(errors[1])


@pytest.mark.parametrize(
    ("level", "free", "quantile"),
    [(0.90, 11, 1.7959), (0.95, 9, 2.2622), (0.90, 5, 2.0150), (0.95, 499, 1.9647)],
)
def test_students_quantiles(level, free, quantile):
    """Of the tables; and as rare as the normal's."""
    assert student(level, free) == pytest.approx(quantile, rel=2e-3)
    z = NormalDist().inv_cdf((1 + level) / 2)
    assert normal_of(student(level, free), free) == pytest.approx(z)


def score_interval(wins, votes, error, level=0.9, least=0.0):
    """Of one score of so many votes, a question each."""
    n = np.array([votes])
    score = np.array([100 * wins / votes])
    lower, upper = score_bounds(score, np.array([error]), least, n, n - 1, level)
    return float(lower[0]), float(upper[0])


def test_bounds_of_independent_votes_are_wilsons():
    """Wilson's of 20 of 200 at 95 %: 6.57 and 14.94 (Student's 1.972 for 1.960: 6.55, 14.98)."""
    error = 100 * np.sqrt(0.1 * 0.9 / 200)
    assert score_interval(20, 200, error, 0.95) == pytest.approx((6.55, 14.98), abs=0.02)
    # Twice the variance is as good as half of the votes.
    lower, upper = score_interval(20, 200, error * np.sqrt(2), 0.95)
    assert (lower, upper) == pytest.approx((5.50, 17.49), abs=0.01)


def test_an_error_below_that_of_independent_votes_is_not_believed():
    least = 100 * np.sqrt(0.015 * 0.985 / 200)
    assert score_interval(3, 200, 0.1, least=least) == score_interval(3, 200, least)
    assert score_interval(3, 200, 2.0, least=least) == score_interval(3, 200, 2.0)


@pytest.mark.parametrize(
    ("questions", "truth", "trials"), [(100, 5.6, 1500), (250, 1.9, 1500), (12, 40.0, 800)]
)
def test_few_wins_and_few_questions_hold_the_truth_as_often_as_they_say(questions, truth, trials):
    """Nominal 90 %, two equal games in six of ten questions.

    Percentiles of resamples hold 84 % in the first two, and all misses are on one side.
    """
    rng = np.random.default_rng(4)
    weights = question_weights(QUESTIONS[:questions], 300, seed=6)
    first = rng.random((trials, questions)) < truth / 100
    again = np.where(rng.random(first.shape) < 0.6, first, rng.random(first.shape) < truth / 100)
    votes = votes_of(1.0 * first + again, np.full(first.shape, 2))
    scores = 100 * votes.wins.sum(axis=1) / votes.votes.sum(axis=1)
    counts = np.full(trials, questions)
    errors = standard_errors(resampled_scores(votes, weights), counts, counts - 1)
    least = np.sqrt(scores * (100 - scores) / (2 * questions))
    bounds = score_bounds(scores, errors, least, counts, counts - 1, 0.9)
    above, below = np.mean(bounds[0] > truth), np.mean(bounds[1] < truth)
    assert above + below < 0.115
    assert above + below > (0.03 if questions < 20 else 0.07), "nor twice as wide as need be"
    assert max(above, below) < 0.08, "not all on one side"


def test_questions_are_drawn_within_their_category():
    """How many of each are drawn is no matter of chance."""
    weights = question_weights(QUESTIONS, 200, seed=1)
    even = stratified(weights, [np.arange(300), np.arange(300, 400)])
    assert even[:, :300].sum(axis=1) == pytest.approx(np.full(200, 300))
    assert even[:, 300:].sum(axis=1) == pytest.approx(np.full(200, 100))
    none_drawn = stratified(np.array([[0.0, 0.0, 3.0]]), [np.arange(2), np.array([2])])
    assert none_drawn.tolist() == [[1, 1, 1]], "a category of which nothing is drawn is as it is"


def test_strata_leave_the_variance_within_them():
    """The textbook's: the sum of the categories' variances by their shares."""
    rng = np.random.default_rng(0)
    wins = np.concatenate([rng.random(250) < 0.1, rng.random(150) < 0.7]).astype(float)
    missing = np.arange(400) % 10 == 0
    votes = votes_of(np.where(missing, 0, wins), np.where(missing, 0.0, 1.0))
    strata = [np.arange(250), np.arange(250, 400)]
    weights = question_weights(QUESTIONS, 3000, seed=2)
    within = sum(wins[rows][~missing[rows]].var() * (~missing[rows]).sum() for rows in strata)
    expected = 100 * np.sqrt(within) / (~missing).sum()
    assert resampled_scores(votes, weights, strata).std() == pytest.approx(expected, rel=0.04)


def test_unanchored_bounds_are_those_of_v01s_fit():
    """By its own way: resample all battles, the minimum-norm fit of all ratings, quantiles."""
    rng = np.random.default_rng(3)
    chances, battles, rounds = np.array([0.05, 0.2, 0.35, 0.5, 0.62]), 900, 20_000
    won = rng.binomial(battles, chances)
    design = np.hstack([np.eye(5), -np.ones((5, 1))])  # a model's rating less the baseline's
    everyone = np.concatenate([won, battles - won])
    drawn = rng.multinomial(everyone.sum(), everyone / everyone.sum(), rounds)
    odds = np.log(drawn[:, :5] / drawn[:, 5:])
    ratings = odds @ np.linalg.pinv(design).T  # the solution of least norm
    low, high = np.quantile(ratings, [0.025, 0.975], axis=0)
    expected = [100 / (1 + np.exp(side[5] - side[:5])) for side in (low, high)]
    votes = votes_of(won[:, None], np.full((5, 1), battles))
    ours = upstream_scores(votes, list("abcde"), rounds, seed=1, rule="v0.1")
    found = unanchored_bounds(ours, 0.95)
    widths = (found[1] - found[0]) / (expected[1] - expected[0])
    assert widths == pytest.approx(np.ones(5), abs=0.05)
    assert found[0] == pytest.approx(expected[0], abs=0.05)
    right = percentiles(ours, 0.95)
    assert np.mean((expected[1] - expected[0]) / (right[1] - right[0])) < 0.75, "far too narrow"


def test_equal_votes_are_not_certainty():
    scores, questions = np.array([0.0, 100.0, 50.0, 0.0]), np.array([500, 12, 12, 1])
    lower, upper = widen_certain(scores, scores, scores, questions, 0.9)
    dozen = 1 - 0.05 ** (1 / 12)
    assert lower == pytest.approx([0, 100 - 100 * dozen, 50 - 50 * dozen, 0])
    assert upper == pytest.approx([100 * (1 - 0.05 ** (1 / 500)), 100, 50 + 50 * dozen, 95])
    assert upper[0] == pytest.approx(0.6, abs=0.01)
    scores = np.array([2.0, 30.0, 97.0])
    lower, upper = widen_certain(scores, scores - 1, scores + 1, np.full(3, 12), 0.9)
    assert upper == pytest.approx([100 * dozen, 31, 98]), "no less than one who won nothing"
    assert lower == pytest.approx([1, 29, 100 - 100 * dozen])
    lower, upper = widen_certain(np.array([50.0]), 50, 50, np.array([12]), 0.9, least=-50, most=50)
    assert (lower[0], upper[0]) == pytest.approx((50 - 100 * dozen, 50))


@pytest.mark.parametrize("rule", ["v2.0", "v0.1"])
def test_votes_of_any_weight_can_be_drawn(rule):
    """A strong win of weight 0.3 and two ties leave 2.3 - 1.3 - 1 = -2e-16 lost votes."""
    votes = votes_of([[0.3 + 0.5 + 0.5]], [[0.3 + 1 + 1]], [[2]])
    assert np.isfinite(upstream_scores(votes, ["m"], 5, seed=1, rule=rule)).all()
    resampled_votes(votes, np.ones((1, 1)), 0, "upstream", seed=1)
    light = votes_of([[0.7]], [[0.7]])
    assert np.nanmin(upstream_scores(light, ["m"], 50, seed=1, rule=rule)) == 100


@pytest.mark.parametrize("ci", ["questions", "upstream"])
def test_resampled_votes_of_each_question_have_the_right_means(ci):
    votes = votes_of([[1.5, 4]], [[2, 6]], [[1, 0]])
    weights = question_weights(QUESTIONS[:2], 3000, seed=5)
    drawn = [resampled_votes(votes, weights, number, ci, seed=5) for number in range(3000)]
    won, cast = (np.mean(parts, axis=0) for parts in zip(*drawn, strict=True))
    assert won == pytest.approx(votes.wins, rel=0.08)
    assert cast == pytest.approx(votes.votes, rel=0.08)
    assert np.array_equal(drawn[7][0], resampled_votes(votes, weights, 7, ci, seed=5)[0])
