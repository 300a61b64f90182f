"""Several judges: pooling, agreement, and what they add to the uncertainty."""

import json

import numpy as np
import pytest
import show_result
from arena.ranking import judge_health
from arena.ranking.judge_health import agreements, disputed, measure, rank_correlations
from arena.ranking.judges import compare_judges
from arena.ranking.leaderboard import make_boards
from arena.ranking.votes import ABSENT, Options, count_votes
from arena.support.errors import DataError

from tests.judged import (
    LOST,
    WON,
    WON_STRONGLY,
    judgments,
    result_of,
    rows_of,
    table,
    weights_of,
)


def judge_of(won):
    """A judge's verdicts of models in rows and questions in columns."""
    return {f"m{i}": [WON if one else LOST for one in row] for i, row in enumerate(won)}


def test_kappa_and_shares_by_hand():
    one = {m: [(a, a), ("A>B", "B>A")] for m, a in (("x", "A>B"), ("y", "B>A"), ("z", "A=B"))}
    two = {m: [(a, a), ("A>>B", "unparsed")] for m, a in (("x", "A>B"), ("y", "A>B"), ("z", "A=B"))}
    verdicts = table(one=one, two=two)
    (found,) = agreements(verdicts, weights_of(verdicts))
    assert found["games"] == 9
    # Labels: x and z twice, never the second question; y differs. Winners: y alone differs.
    assert found["same_label"] == pytest.approx(100 * 4 / 9)
    assert found["same_winner"] == pytest.approx(100 * 7 / 9)
    # A, tie, B: one judge says 5, 2, 2 of 9, the other 7, 2, 0
    chance = (5 * 7 + 2 * 2 + 2 * 0) / 81
    assert found["kappa"].value == pytest.approx((7 / 9 - chance) / (1 - chance))
    assert agreements(table(one=one), weights_of(verdicts)) == []
    alike = table(one={"x": [("A=B", "A=B")]}, two={"x": [("A=B", "A=B")]})
    assert agreements(alike, weights_of(alike))[0]["kappa"].value is None


def test_kappas_interval_is_that_of_independent_questions():
    """Two judges that agree on 80 % of 2 x 300 even verdicts: known standard error of kappa."""
    rng = np.random.default_rng(1)
    ours = rng.random(300) < 0.5
    theirs = np.where(rng.random(300) < 0.8, ours, ~ours)
    verdicts = table(one=judge_of([ours]), two=judge_of([theirs]))
    (found,) = agreements(verdicts, weights_of(verdicts, 2000))
    assert found["kappa"].value == pytest.approx(0.6, abs=0.1)
    # Both games of a question say the same here, so there are 300 independent ones.
    error = np.sqrt(0.8 * 0.2 / 300) / 0.5
    width = found["kappa"].upper - found["kappa"].lower
    assert width == pytest.approx(2 * 1.645 * error, rel=0.12)
    assert found["spearman"].value is None, "one model has no order"


def test_rank_correlations_of_known_data():
    # scipy.stats.spearmanr and kendalltau: 0.8207827, 0.7378648
    found = rank_correlations(np.array([1, 2, 3, 4, 5.0]), np.array([5, 6, 7, 8, 7.0]))
    assert found == pytest.approx((0.8207827, 0.7378648))
    assert rank_correlations(np.arange(4.0), -np.arange(4.0)) == pytest.approx((-1, -1))


def test_an_interval_of_ranks_holds_the_value():
    lower_ones = measure(1.0, np.linspace(0.2, 0.9, 99))
    assert (lower_ones.lower, lower_ones.upper) == (pytest.approx(0.235, abs=0.01), 1.0)
    assert measure(float("nan"), np.ones(9)).value is None


def test_the_order_of_models_by_two_judges():
    models = {"a": 9, "b": 6, "c": 3, "d": 0}  # questions won of 9
    swapped = models | {"c": 0, "d": 3}

    def judge(wins, alone):
        """Nine questions of both judges, and as many more that one of them judged alone."""
        more = {m: [alone or (LOST if m == "a" else WON)] * 9 for m in wins}
        return {m: [WON] * won + [LOST] * (9 - won) + more[m] for m, won in wins.items()}

    silent = ("unparsed", "unparsed")
    verdicts = table(one=judge(models, None), two=judge(swapped, silent))
    (found,) = agreements(verdicts, weights_of(verdicts))
    assert found["spearman"].value == pytest.approx(0.8)
    assert found["kendall"].value == pytest.approx(4 / 6)


def test_disputed_questions_by_hand(monkeypatch):
    verdicts = table(
        one={"m": [WON, WON_STRONGLY, LOST], "n": [WON, WON, WON]},
        two={"m": [WON, LOST, ("A>B", "unparsed")], "n": [WON, WON, LOST]},
    )
    first, second = disputed(verdicts)
    # q2: only n has both games of both judges: from +1 to -1. q1: m from +2 to -1, n not at all.
    assert first == {"uid": "q2", "category": "c", "apart": 2, "means": {"one": 0, "two": -1}}
    assert (second["uid"], second["apart"]) == ("q1", 1.5)
    monkeypatch.setattr(judge_health, "DISPUTED", 1)
    assert disputed(verdicts) == [first]


def test_pooling_by_games_keeps_votes_and_leaves_a_judge_alone():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 5, (2, 3, 20, 2))
    codes[1, 0, :15] = ABSENT
    alike = np.repeat([0, 1], 10)
    plain, shared = count_votes(codes), count_votes(codes, pool_by=alike)
    for here in (alike == 0, alike == 1):
        np.testing.assert_allclose(
            plain.votes[:, here].sum(axis=1), shared.votes[:, here].sum(axis=1)
        )
    one = codes[[0]]
    np.testing.assert_array_equal(count_votes(one).wins, count_votes(one, pool_by=alike).wins)
    # Where both judged the same, the pooled score is the mean of the judges' own.
    own = [100 * v.wins.sum(axis=1) / v.votes.sum(axis=1) for v in map(count_votes, codes[:, None])]
    here = count_votes(codes, pool_by=np.zeros(20))
    score = 100 * here.wins.sum(axis=1) / here.votes.sum(axis=1)
    np.testing.assert_allclose(score[1:], np.mean(own, axis=0)[1:])


@pytest.mark.parametrize(("spread", "share", "noise"), [(5.0, 80, 6), (0.0, 0, 25)])
def test_the_judges_share_is_the_true_one(spread, share, noise):
    """Judges whose scores of a model scatter by 5 points on 400 questions: 25 of 31.25 are theirs.

    Each of these scores has a variance of 2,500 / 400 of its own, which must not pass for judges:
    that would be 50 % where they do not scatter.
    """
    rng = np.random.default_rng(3)
    judges = [
        [rng.random(400) < 0.5 + rng.normal(0, spread / 100) for _model in range(40)]
        for _judge in range(6)
    ]
    verdicts = table(**{f"j{number}": judge_of(won) for number, won in enumerate(judges)})
    options = Options(rounds=200)
    found = compare_judges(verdicts, options, make_boards(verdicts, options))
    assert found["shares"][0]["of_scores"] == pytest.approx(share, abs=noise)
    assert found["shares"][0]["of_differences"] == pytest.approx(share, abs=noise)


def test_a_kinder_judge_is_no_uncertainty_of_differences():
    rng = np.random.default_rng(3)
    won = rng.random((3, 400)) < 0.5
    kinder = won | (rng.random((3, 400)) < 0.3)
    verdicts = table(one=judge_of(won), two=judge_of(kinder))
    options = Options(rounds=200)
    share = compare_judges(verdicts, options, make_boards(verdicts, options))["shares"][0]
    assert share["of_scores"] > 90
    assert share["of_differences"] < 40


def prompted(labels, prompt="same", baseline="b", **keys):
    """A line of judgments that were asked for with this system prompt."""
    messages = [{"role": "system", "content": prompt}] * bool(prompt)
    messages.append({"role": "user", "content": "q"})
    games = [{"score": label, "prompt": messages} for label in labels]
    return {"uid": "1", "model": "m", "baseline": baseline, "games": games, **keys}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"prompt": "be kind"}, r"system prompts.*\none: same\ntwo: be kind"),
        ({"prompt": ""}, r"system prompts.*\none: same\ntwo: "),
        ({"baseline": "other"}, "2 baselines"),
    ],
)
def test_judges_with_other_prompts_or_baselines_are_not_pooled(tmp_path, other, message):
    data = judgments(tmp_path, one__m=[prompted(WON)], two__m=[prompted(WON, **other)])
    with pytest.raises(DataError, match=message):
        result_of(data, ["one", "two"], rounds=5)


def test_prompts_of_lines_that_are_left_out_do_not_matter(tmp_path):
    odd = prompted(WON, prompt="be kind", baseline="other")
    data = judgments(tmp_path, one__m=[prompted(WON)], two__m=[odd, prompted(WON)])
    (note,) = result_of(data, ["one", "two"], baselines=["b"], rounds=5).notes
    assert "1 lines against another baseline left out" in note


def test_several_prompts_of_one_judge_are_noted(tmp_path):
    prompts = {"m": "usual", "n": "usual", "odd": "changed"}
    lines = {f"j__{m}": [prompted(WON, prompt, model=m)] for m, prompt in prompts.items()}
    (note,) = result_of(judgments(tmp_path, **lines), rounds=5).notes
    assert "2 different system prompts" in note
    assert note.endswith(": odd")


def test_the_command_shows_a_column_a_judge(tmp_path, capsys):
    """Strong words weigh no more, unless votes are pooled."""
    judgments(tmp_path, loud__m=[prompted(WON_STRONGLY)], quiet__m=[prompted(LOST)])
    asked = ["--data-dir", str(tmp_path), "-b", "bench", "-j", "loud", "quiet", "--rounds", "9"]
    assert show_result.main([*asked, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("m ")] == [
        ["m", "50.0", "50.0"]
    ]
    assert "Cohen's kappa" in out
    first, overall = rows_of(tmp_path, "judges.csv")
    assert (first["loud"], first["quiet"], first["mean"]) == ("100.0", "0.0", "50.0")
    assert overall["category"] == "overall"
    assert json.loads((tmp_path / "judges.json").read_text())["agreement"][0]["same_label"] == 0
    assert show_result.main([*asked, "--pool", "votes"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows if row[:1] == ["m"]] == ["75.0"]
