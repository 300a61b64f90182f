from statistics import NormalDist

import numpy as np
import pytest
from arena.ranking.intervals import (
    bounds,
    question_weights,
    resampled_scores,
    resampler,
    tails,
    upstream_scores,
    widen_certain,
)
from arena.ranking.votes import Votes

QUESTIONS = [f"q{number}" for number in range(400)]


def votes_of(wins, votes, ties=None):
    wins, votes = np.atleast_2d(wins).astype(float), np.atleast_2d(votes).astype(float)
    ties = np.zeros_like(wins) if ties is None else np.atleast_2d(ties).astype(float)
    return Votes(wins, ties, votes, votes, wins, ties)


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


def test_intervals_are_those_of_the_model_alone():
    weights = question_weights(QUESTIONS, 100, seed=1)
    rng = np.random.default_rng(0)
    wins = rng.binomial(2, 0.3, (3, 400))
    together = bounds(resampled_scores(votes_of(wins, np.full((3, 400), 2)), weights), 0.9)
    alone = bounds(resampled_scores(votes_of(wins[1], np.full(400, 2)), weights), 0.9)
    assert together[0][1] == alone[0][0]
    assert together[1][1] == alone[1][0]


def test_bounds_are_percentiles_and_forgive_empty_rounds():
    resamples = np.column_stack([np.arange(101.0), np.full(101, np.nan)])
    resamples[:1] = np.nan
    lower, upper = bounds(resamples, 0.90)
    assert (lower[0], upper[0]) == pytest.approx((5.05, 95.95)), "rank 101 x 5 % of 1 .. 100"
    assert np.isnan(lower[1])
    lower, upper = bounds(resamples, 0.90, "upstream")
    assert (lower[0], upper[0]) == pytest.approx((5.95, 95.05))
    assert bounds(np.array([[1.0], [2.0]]), 0.9) == (1, 2), "never beyond what was drawn"


def test_bounds_leave_out_the_right_share_of_few_rounds():
    draws = np.random.default_rng(1).random((40, 5000))
    lower, upper = bounds(draws, 0.90)
    assert (upper - lower).mean() == pytest.approx(0.90, abs=0.005)


def test_few_questions_leave_out_less():
    """Student's quantiles times sqrt(n / (n - 1)): t(0.95) is 1.7959 with 11 degrees of freedom."""
    few, many = tails(np.array([12, 500]), 0.9)
    assert few == pytest.approx(NormalDist().cdf(-1.7959 * np.sqrt(12 / 11)), rel=1e-3)
    assert many == pytest.approx(0.0495, abs=0.0001)
    assert tails(np.array([3]), 0.95) == pytest.approx(
        NormalDist().cdf(-4.3027 * np.sqrt(1.5)), abs=1e-7
    )
    assert tails(np.array([1, 0]), 0.9).tolist() == [0, 0]
    draws = np.tile(np.arange(1, 1000.0)[:, None], 2)
    lower, upper = bounds(draws, 0.9, questions=np.array([12, 500]))
    assert lower == pytest.approx(1000 * np.array([few, many]))
    assert upper == pytest.approx(1000 - lower)
    assert bounds(draws, 0.9, "upstream", np.array([12, 12]))[0] == pytest.approx([50.9, 50.9])


def test_a_dozen_questions_hold_the_truth_as_often_as_they_say():
    """Nominal 90 %. Without the two corrections it is 85 %, with votes for questions 50 %."""
    trials, questions, truth = 400, 12, 40.0
    rng = np.random.default_rng(4)
    weights = question_weights(QUESTIONS[:questions], 400, seed=6)
    first = rng.random((trials, questions)) < truth / 100
    again = np.where(rng.random(first.shape) < 0.6, first, rng.random(first.shape) < truth / 100)
    votes = votes_of(3.0 * first + 3.0 * again, np.full(first.shape, 6))
    scores = 100 * votes.wins.sum(axis=1) / votes.votes.sum(axis=1)
    counts = np.full(trials, questions)
    lower, upper = bounds(resampled_scores(votes, weights), 0.9, questions=counts)
    lower, upper = widen_certain(scores, lower, upper, counts, 0.9)
    assert np.mean((lower <= truth) & (truth <= upper)) == pytest.approx(0.90, abs=0.025)


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
    resampler(votes, np.ones((1, 1)), "upstream", seed=1)(0)


@pytest.mark.parametrize("ci", ["questions", "upstream"])
def test_resampled_votes_of_each_question_have_the_right_means(ci):
    votes = votes_of([[1.5, 4]], [[2, 6]], [[1, 0]])
    weights = question_weights(QUESTIONS[:2], 3000, seed=5)
    draw = resampler(votes, weights, ci, seed=5)
    won, cast = (np.mean(parts, axis=0) for parts in zip(*map(draw, range(3000)), strict=True))
    assert won == pytest.approx(votes.wins, rel=0.08)
    assert cast == pytest.approx(votes.votes, rel=0.08)
    assert np.array_equal(draw(7)[0], draw(7)[0])
