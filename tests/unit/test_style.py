from unittest.mock import Mock

import numpy as np
import pytest
from arena.data.answers import read_answers
from arena.ranking import style
from arena.ranking.intervals import question_weights
from arena.ranking.show_result import read_lengths, read_style_counts
from arena.ranking.style import COLUMNS, fit, fit_style, style_columns
from arena.ranking.votes import Options

from tests.judged import answer, votes_of, write_lines

METADATA = {
    "token_len": 12,
    "header_count": {"h1": 1, "h2": 2, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
    "list_count": {"ordered": 3, "unordered": 4},
    "bold_count": {"**": 5, "__": 1},
}
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
    model, baseline = np.array([300.0, 3, 10, 0]), np.array([100.0, 0, 5, 2])
    ours, theirs = model[1:] / 301, baseline[1:] / 101
    densities = (ours - theirs) / (ours + theirs + 1)
    assert style_columns(model, baseline) == pytest.approx([0.5, *densities])
    raw = [200 / 401, 3 / 4, 5 / 16, -2 / 3]
    assert style_columns(model, baseline, "v0.1") == pytest.approx(raw)
    for rule in ("v2.0", "v0.1"):
        two_empty = style_columns(np.zeros(4), np.zeros(4), rule)
        assert two_empty.tolist() == [0, 0, 0, 0]
        assert np.isnan(style_columns(np.full(4, np.nan), baseline, rule)).all()


def test_v01s_fit_on_real_answers_is_the_one_of_its_own_design_matrix(shared_data):
    """A row a vote, model +1 and baseline -1, columns over all votes: as Arena-Hard v0.1 does it.

    With v2.0's columns the same votes give other scores.
    """
    folder = shared_data / "arena-hard-v0.1-older-shape" / "model_answer"
    names = ["gpt-3.5-turbo-0125", "gpt-4-0613", "gpt-4-0314"]
    uids = list(read_answers(folder / f"{names[2]}.jsonl").answers)
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


def test_stored_counted_and_missing(tmp_path):
    lines = {
        "stored": [answer("q2", metadata=METADATA), answer("z", metadata=METADATA)],
        "older": [answer("q1", conv_metadata=METADATA)],
        "counted": [answer("q1", "# Head\n- **bold** one", metadata=None)],
        "half": [answer("q1", metadata=METADATA), answer("q2", "")],
    }
    files = {
        **{model: write_lines(tmp_path / model, some) for model, some in lines.items()},
        "gone": tmp_path / "none",
    }
    counts, notes = read_style_counts(files, ["q1", "q2"])
    row = [12, 3, 7, 6]
    nan = [np.nan] * 4
    assert counts["stored"] == pytest.approx(np.array([nan, row]), nan_ok=True)
    assert counts["older"] == pytest.approx(np.array([row, nan]), nan_ok=True)
    assert counts["counted"][0, 1:].tolist() == [1, 1, 1]
    assert counts["counted"][0, 0] > 0
    assert counts["half"].tolist() == [row, [0, 0, 0, 0]]
    assert np.isnan(counts["gone"]).all()
    assert "gone" in notes[0]
    assert " 2 models" in notes[1]


def test_lengths_are_those_of_stripped_texts(tmp_path):
    files = {
        "m": write_lines(tmp_path / "m.jsonl", [answer("q1", " four\n"), answer("q2", " \n")]),
        "n": tmp_path / "n.jsonl",
        "base": write_lines(
            tmp_path / "base.jsonl", [answer("q2", "$ERROR$"), answer("z", "other")]
        ),
    }
    with files["m"].open("a") as file:
        file.write("torn")
    lengths, notes = read_lengths(files, ["q1", "q2", "q3"])
    expected = {"m": [4, 0, np.nan], "n": [np.nan] * 3, "base": [np.nan, 0, np.nan]}
    assert lengths == {model: pytest.approx(row, nan_ok=True) for model, row in expected.items()}
    torn, missing = notes
    assert f"{files['m']}:3: " in torn
    assert missing == "no answer file for: n"
