"""A leaderboard against another ranking: the paper's measures on a case computed by hand."""

from dataclasses import replace

import numpy as np
import pytest
import show_result
from arena.ranking.against import compare_rankings, read_ranking
from arena.ranking.leaderboard import make_boards
from arena.ranking.votes import Options
from arena.support.errors import DataError

from tests.judged import table


def board(scores, resamples):
    """A board of known scores: model -> score, lower, upper; resamples [rounds, models]."""
    verdicts = table(j={model: [("A=B", "A=B")] for model in scores})
    made = make_boards(verdicts, Options(rounds=2))[0]
    rows = [row for row in made.rows if not row.is_baseline]
    rows = [
        replace(row, model=model, score=float(score), lower=float(lower), upper=float(upper))
        for row, (model, (score, lower, upper)) in zip(rows, scores.items(), strict=True)
    ]
    return replace(made, rows=rows, resamples=np.array(resamples, dtype=float))


def compared(folder, text, ours=None):
    """The board of OURS, or another one, with a ranking in a file of this text."""
    file = folder / "other.csv"
    file.write_text(text)
    return compare_rankings(ours or board(OURS, DRAWN), read_ranking(file))


OURS = {"a": (80, 75, 85), "b": (60, 55, 65), "c": (50, 45, 56), "d": (20, 10, 30)}
# a > b in 3 of 4; b > c in 2.5 of 4, a tie being half; all else in all
DRAWN = [[80, 60, 50, 20], [80, 60, 70, 20], [80, 60, 60, 20], [50, 60, 40, 20]]


def test_the_papers_measures_by_hand(tmp_path):
    found = compared(
        tmp_path,
        "Model,Rating,lower,upper,votes\n"
        "a,1000,990,1010,5\nB,1050,1040,1060,5\nc,900,880,920,5\nd,890,870,910,5\ne,1,1,1,5\n",
    )
    assert (found["models"], found["pairs"], found["unknown"]) == (4, 6, [])
    assert found["separability"] == pytest.approx(5 / 6)  # b and c overlap
    assert found["other_separability"] == pytest.approx(5 / 6)  # c and d overlap
    # ab is ordered otherwise; ac, ad and bd alike; bc and cd are not separated by one of the two
    assert found["agreement"] == pytest.approx((3 - 1) / 6)
    assert found["agreement_where_separated"] == pytest.approx((3 - 1) / 4)
    assert found["brier"] == pytest.approx((0.75**2 + (1 - 2.5 / 4) ** 2) / 6)
    assert found["spearman"]["value"] == pytest.approx(0.8)
    assert found["kendall"]["value"] == pytest.approx(4 / 6)


def test_a_ranking_without_intervals_separates_what_differs(tmp_path):
    found = compared(tmp_path, "model,score\na,3\nb,2\nc,2\nz,1\n")
    assert (found["models"], found["unknown"], found["other_separability"]) == (3, ["d"], None)
    assert found["unmatched"] == ["z"]
    assert found["agreement"] == pytest.approx(2 / 3)
    assert found["agreement_where_separated"] == 1
    assert found["brier"] == pytest.approx(0.25**2 / 2), "b and c have no order there"


def test_without_a_round_that_drew_all_models_or_an_order_there_is_no_measure(tmp_path):
    ours = board(OURS, np.where(np.eye(3, 4), np.nan, 50))
    found = compared(tmp_path, "model,score\na,3\nb,2\nc,1\n", ours)
    assert (found["brier"], found["spearman"]["value"]) == (None, None)
    found = compared(tmp_path, "model,score\na,1\nb,1\nc,1\n")
    assert (found["brier"], found["kendall"]["value"]) == (None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name;score\na;1\n", "other.csv:1: no column 'model'"),
        ("model,score\na,1\nb,high\n", "other.csv:3: "),
        ("score,model\n1,a\n2\nnan,b\n", "other.csv:4: "),
        ("model,score\na,1\nb,2\n", "only 2 of the models"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, text, message):
    with pytest.raises(DataError) as error:
        compared(tmp_path, text)
    assert message in str(error.value)


def test_published_rows_of_the_same_judgments_agree(shared_data, published, capsys):
    """The same scores, and intervals of single votes, which are narrower than ours."""
    file = shared_data / "published-gpt-4o" / "leaderboard.csv"
    asked = ["--data-dir", str(published), "-b", "arena-hard-v0.1", "-j", "gpt-4o"]
    assert show_result.main([*asked, "--rounds", "200", "--against", str(file)]) == 0
    text = capsys.readouterr().out.split("Against leaderboard.csv")[1]
    lines = dict(line.rsplit("  ", 1) for line in text.splitlines() if "  " in line.strip())
    found = {key.strip(): value.strip() for key, value in lines.items()}
    assert (found["Models in both"], found["Pairs"]) == ("8", "28")
    assert found["where both separate"] == "1.000"
    assert found["Separability of the other"] == "0.929"  # 26 of the 28 printed intervals
    assert float(found["Separability"]) < 0.929
    assert found["Spearman"].startswith("1.00 ")
