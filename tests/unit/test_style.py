import json
from unittest.mock import Mock

import numpy as np
import pytest
from arena.ranking import style
from arena.ranking.intervals import question_weights
from arena.ranking.options import Options
from arena.ranking.style import COLUMNS, fit, fit_style, style_columns
from arena.ranking.style_counts import read_style_counts

from tests.judged import votes_of

QUESTIONS = [f"q{number}" for number in range(500)]


def simulated(strengths, slopes, columns, seed=0, cast=8):
    """Votes that follow the model exactly, on standardised columns."""
    rng = np.random.default_rng(seed)
    x = (columns - columns.mean(axis=(0, 1))) / columns.std(axis=(0, 1), ddof=1)
    odds = np.array(strengths)[:, None] + x @ np.array(slopes)
    return votes_of(rng.binomial(cast, 1 / (1 + np.exp(-odds))), np.full(odds.shape, cast))


def controlled(votes, columns, features=("length", "markdown"), rounds=40):
    weights = question_weights(QUESTIONS[: columns.shape[1]], rounds, seed=1)
    return fit_style(votes, columns, weights, Options(rounds=rounds, control_features=features))


def random_columns(models, questions, seed=0):
    return np.random.default_rng(seed).normal(size=(models, questions, 4))


def even_games():
    """Columns, and votes by chance, of two models on 60 questions."""
    wins = np.random.default_rng(0).binomial(2, 0.5, (2, 60))
    return random_columns(2, 60), votes_of(wins, np.full((2, 60), 2))


def test_columns_by_hand():
    model = np.array([300.0, 3, 10, 0])
    baseline = np.array([100.0, 0, 5, 2])
    ours, theirs = model[1:] / 301, baseline[1:] / 101
    columns = style_columns(model, baseline)
    assert columns[0] == 0.5
    assert columns[1:] == pytest.approx((ours - theirs) / (ours + theirs + 1))
    assert style_columns(np.zeros(4), np.zeros(4)).tolist() == [0, 0, 0, 0], "two empty answers"
    assert np.isnan(style_columns(np.full(4, np.nan), baseline)).all()


def test_v01_compares_raw_counts():
    model, baseline = np.array([300.0, 3, 10, 0]), np.array([100.0, 0, 5, 2])
    columns = style_columns(model, baseline, "v0.1")
    assert columns == pytest.approx([200 / 401, 3 / 4, 5 / 16, -2 / 3])
    assert style_columns(np.zeros(4), np.zeros(4), "v0.1").tolist() == [0, 0, 0, 0]


def test_v01s_fit_on_real_answers_is_the_one_of_its_own_design_matrix(shared_data):
    """A row a vote, model +1 and baseline -1, columns over all votes: as Arena-Hard v0.1 does it.

    With v2.0's columns the same votes give other scores.
    """
    folder = shared_data / "arena-hard-v0.1-older-shape" / "model_answer"
    names = ["gpt-3.5-turbo-0125", "gpt-4-0613", "gpt-4-0314"]
    uids = [json.loads(row)["question_id"] for row in (folder / f"{names[2]}.jsonl").open()]
    counts, _ = read_style_counts({name: folder / f"{name}.jsonl" for name in names}, uids)
    raw = np.array([counts[name] for name in names])
    columns = (raw[:2] - raw[2]) / (raw[:2] + raw[2] + 1)
    votes = simulated([-1.0, 0.4], [0.5, 0.8, 0.3, -0.4], columns, cast=6)
    ours = np.array([style_columns(one, raw[2], "v0.1") for one in raw[:2]])
    found = controlled(votes, ours, ("markdown",), rounds=2)

    cast = votes.votes.astype(int).ravel()
    model = np.repeat(np.arange(2), len(uids))[:, None] == np.arange(2)
    style = np.repeat(columns[..., 1:].reshape(-1, 3), cast, axis=0)
    design = np.hstack([np.repeat(model, cast, axis=0), (style - style.mean(0)) / style.std(0)])
    won = np.concatenate([np.arange(n) < w for n, w in zip(cast, votes.wins.ravel(), strict=True)])
    beta = np.zeros(5)
    for _ in range(20):
        p = 1 / (1 + np.exp(-design @ beta))
        beta += np.linalg.solve((design.T * (p * (1 - p))) @ design, design.T @ (won - p))
    assert found.scores == pytest.approx(100 / (1 + np.exp(-beta[:2])), abs=0.01)
    density = np.array([style_columns(one, raw[2]) for one in raw[:2]])
    other = controlled(votes, density, ("markdown",), rounds=2)
    assert np.abs(other.scores - found.scores).max() > 1


def test_without_style_the_score_is_the_mean_vote():
    votes = votes_of([[1, 2, 0], [3, 3, 3], [0, 0, 0]], [[3, 3, 3], [3, 3, 3], [3, 3, 0]])
    scores, slopes = fit(votes.wins, votes.votes, np.empty((0, 3, 3)))
    assert scores == pytest.approx([100 / 3, 100, 0])
    assert not slopes.size


def test_the_fit_is_the_maximum():
    """The score equations hold: residuals add up to 0 over every model and every column."""
    columns = random_columns(5, 300)
    votes = simulated([-2, -1, 0, 1, 2], [0.8, -0.3, 0.1, 0.0], columns)
    x = np.moveaxis(columns, -1, 0)
    scores, slopes = fit(votes.wins, votes.votes, x)
    odds = np.log(scores / (100 - scores))[:, None] + np.tensordot(slopes, x, axes=1)
    residuals = votes.wins - votes.votes / (1 + np.exp(-odds))
    assert np.abs(residuals.sum(axis=1)).max() < 1e-6
    assert np.abs((x * residuals).sum(axis=(1, 2))).max() < 1e-6


def test_known_strengths_and_style_effects_come_back():
    columns = random_columns(6, 300)
    columns[0] += 1.5  # one model writes at length
    strengths, slopes = [-1, -0.5, 0, 0.3, 0.8, 1.5], [0.9, 0.0, -0.4, 0.2]
    found = controlled(simulated(strengths, slopes, columns, cast=40), columns)
    assert [one.column for one in found.coefficients] == list(COLUMNS)
    for one, truth in zip(found.coefficients, slopes, strict=True):
        assert one.value == pytest.approx(truth, abs=0.03)
        assert one.lower < one.value < one.upper
    assert found.scores == pytest.approx(100 / (1 + np.exp(-np.array(strengths))), abs=1)
    assert found.notes == []
    assert found.resamples.shape == (40, 6)


@pytest.mark.parametrize(
    ("features", "columns_of_it"),
    [(("length",), ["length"]), (("markdown",), ["header", "list", "bold"])],
)
def test_a_single_feature_uses_its_own_columns(features, columns_of_it):
    columns = random_columns(4, 300)
    votes = simulated([-1, 0, 0.5, 1], [1.0, 0.5, 0.5, 0.5], columns, cast=40)
    found = controlled(votes, columns, features, rounds=3)
    assert [one.column for one in found.coefficients] == columns_of_it
    expected = {"length": 1.0}.get(columns_of_it[0], 0.5)
    # Leaving columns out shrinks the slopes of a logistic model a little, so: not exact.
    assert found.coefficients[0].value == pytest.approx(expected, abs=0.2)


def test_columns_are_standardised_over_votes_not_questions():
    """A strong verdict is three votes, and so counts three times; sample deviation (ddof 1)."""
    columns = random_columns(1, 5)
    votes = votes_of([[1, 2, 0, 3, 1]], [[2, 6, 2, 4, 2]])
    (found,) = controlled(votes, columns, ("length",), rounds=2).coefficients
    assert found.sd == pytest.approx(np.std(np.repeat(columns[0, :, 0], [2, 6, 2, 4, 2]), ddof=1))


def test_a_hopeless_model_stays_hopeless():
    """0.4 % of the votes and columns of pure noise: Arena-Hard-Auto prints 4.4 %."""
    columns = random_columns(3, 300)
    wins = np.zeros((3, 300))
    wins[0, :2] = [3, 1]
    wins[1:] = np.random.default_rng(1).binomial(4, 0.4, (2, 300))
    votes = votes_of(wins, np.full((3, 300), 4))
    assert controlled(votes, columns, rounds=2).scores[0] == pytest.approx(0.33, abs=0.1)


def test_a_model_that_lost_or_won_all():
    columns = random_columns(3, 300)
    votes = simulated([0, 0, 0], [0.5, 0, 0, 0], columns, cast=4)
    votes.wins[0], votes.wins[1] = 0, 4
    found = controlled(votes, columns, rounds=5)
    assert found.scores[:2].tolist() == [0, 100]
    assert found.resamples[:, 0].tolist() == [0] * 5
    alone = controlled(votes[[2]], columns[[2]], rounds=5)
    assert 40 < alone.scores[0] < 60


def test_columns_that_say_nothing_are_left_out_and_named():
    columns = random_columns(3, 300)
    columns[..., 1] = 0.25  # no model ever writes a header
    columns[..., 3] = 2 * columns[..., 0] - 1  # bold follows length exactly
    columns[..., 2] = np.arange(3)[:, None]  # lists tell the models apart and nothing else
    votes = simulated([0, 0.5, 1], [0.7, 0, 0, 0], random_columns(3, 300))
    found = controlled(votes, columns, rounds=3)
    assert [one.column for one in found.coefficients] == ["length"]
    assert [note.split()[2] for note in found.notes] == ["header", "list", "bold"]
    assert np.isfinite(found.scores).all()
    # Bold varies only where all votes are alike: no coefficient of 0 with an interval of no width.
    columns = random_columns(3, 300)
    columns[1:, :, 3] = 0.25
    votes.wins[0] = 0
    found = controlled(votes, columns, rounds=3)
    assert [one.column for one in found.coefficients] == ["length", "header", "list"]
    assert [note.split()[2] for note in found.notes] == ["bold"]


def test_unknown_styles_are_where_there_are_no_votes():
    columns = random_columns(3, 300)
    votes = simulated([0, 1, -1], [0.7, 0, 0, 0], columns, cast=40)
    columns[0, 100:] = np.nan
    columns[2] = np.nan
    found = controlled(votes.where(~np.isnan(columns[..., 0])), columns, rounds=5)
    assert found.scores[:2] == pytest.approx([50, 73], abs=3)
    assert np.isnan(found.scores[2])


def test_style_that_predicts_every_vote_has_no_maximum():
    columns = random_columns(2, 50)
    votes = votes_of(2.0 * (columns[..., 0] > 0), np.full((2, 50), 2))
    found = controlled(votes, columns, ("length",), rounds=3)
    assert found.coefficients == []
    assert "complete separation" in found.notes[0]
    assert found.scores == pytest.approx(100 * votes.wins.mean(axis=1) / 2)


def test_a_single_question_may_separate():
    """Headers stand in one question only, and there every vote is lost: its slope runs away."""
    columns, votes = even_games()
    columns[..., 1] = 0
    columns[:, 0, 1] = 1
    votes.wins[:, 0] = 0
    x = np.moveaxis(columns, -1, 0)
    assert fit(votes.wins, votes.votes, x) is None
    votes.wins[0, 0] = 1
    assert fit(votes.wins, votes.votes, x) is not None


def test_rare_columns_survive_resampling():
    """Bold in one question only: some resamples have no such question at all."""
    columns, votes = even_games()
    columns[..., 3] = 0
    columns[:, 0, 3] = [1, 0.5]
    votes.wins[:, 0] = 1
    found = controlled(votes, columns, rounds=60)
    assert np.isfinite(found.resamples).all()


def test_all_rounds_together_are_the_fits_one_by_one(monkeypatch):
    """Few questions, so that some rounds separate or lose a column, and models win and lose all."""
    columns = random_columns(6, 30)
    columns[..., 3] = np.where(np.arange(30) < 2, columns[..., 3], 0)  # rounds without this column
    votes = simulated([-9, -3.5, 0, 0.3, 0.8, 9], [0.9, 0.0, -0.4, 0.2], columns, cast=2)
    assert not votes.wins[0].any(), "one lost all, and others all in some rounds"
    patient = Mock(wraps=fit)
    monkeypatch.setattr(style, "fit", patient)
    together = controlled(votes, columns, rounds=300)
    assert 1 < patient.call_count < 150, "most rounds need no patient fit"
    unsettled = np.full((300, 6), np.nan), np.full((300, 4), np.nan)
    monkeypatch.setattr(style, "resampled_fits", lambda *_: unsettled)
    one_by_one = controlled(votes, columns, rounds=300)
    np.testing.assert_allclose(together.resamples, one_by_one.resamples, atol=1e-4)
    assert together.notes == one_by_one.notes
