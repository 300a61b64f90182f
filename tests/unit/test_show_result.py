"""The command as a user types it, on folders of judgments."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import show_result as command
from arena.data.answers import read_answers
from arena.pages.formats import files, interval_text, rank_text
from arena.ranking.leaderboard import Board, Row, make_boards, make_curves, run_and_step
from arena.ranking.show_result import make_result
from arena.ranking.style import style_columns
from arena.ranking.votes import ABSENT, Options
from arena.support.errors import ConfigError, DataError

from tests.judged import (
    LOST,
    WON,
    WON_STRONGLY,
    answer,
    judgments,
    line,
    lines,
    result_of,
    rows_of,
    sources_of,
    verdicts_of,
    write_lines,
)
from tests.served import run_script

SEEDED = {"question_id": "q1", "games": [{"judgment": "[[A>B]]"}, {"judgment": "[[B>A]]"}]}


@pytest.fixture
def show_result(capsys):
    """The command in this process: starting Python costs more than what it does here."""

    def run(data, *arguments, judges=("j",), bench="bench", ok=True):
        given = ("--data-dir", data, "-b", bench, "-j", *judges, *arguments)
        try:
            status = command.main(list(map(str, given)))
        except SystemExit as error:
            status = error.code
        out, err = capsys.readouterr()
        assert (status == 0) == ok, err
        return out if ok else err

    return run


@pytest.fixture(scope="module")
def printed(shared_data):
    """The published rows of gpt-4o's judgments, by model."""
    return {row["model"]: row for row in rows_of(shared_data / "published-gpt-4o")}


def test_the_seeded_example(tmp_path):
    """A > B with the baseline as A is lost, B > A with the model as A as well: 0."""
    judgments(tmp_path / "data", judge__model=[SEEDED])
    options = ("-b", "bench", "-j", "judge", "--out", "out")
    done = run_script("show_result.py", *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "##### Category: bench #####" in done.stdout
    baseline, model = (row for row in rows_of(tmp_path / "out") if row["category"] == "bench")
    columns = ["category", "model", "score", "lower", "upper", "questions", "games"]
    columns += ["best_rank", "worst_rank", "won", "tied", "lost", "avg_tokens", "design_effect"]
    assert list(model) == [*columns, "plain_score", "is_plain"]
    values = ["bench", "model", "0.0", "0.0", "95.0", "1", "2", "1", "2", "0", "0", "2"]
    assert list(model.values()) == [*values, "", "", "0.0", "False"]
    assert list(baseline.values())[1:7] == ["(baseline)", "50.0", "50.0", "50.0", "0", "0"]


def test_published_scores_are_met(published, printed, show_result):
    out = published / "out"
    show_result(published, "--out", out, bench="arena-hard-v0.1", judges=["gpt-4o"])
    found = {row["model"]: row for row in rows_of(out) if row["category"] == "overall"}
    for model, row in printed.items():
        assert float(found[model]["score"]) == pytest.approx(float(row["score"]), abs=0.0051), model
    assert found["(baseline)"]["score"] == "50.0"
    phi = found["Phi-3-small-8k-instruct"]
    assert (phi["questions"], phi["games"]) == ("21", "42")
    strict = result_of(published, ["gpt-4o"], "arena-hard-v0.1", rule="v2.0", rounds=5)
    rows = {row.model: row for row in strict.boards[0].rows}
    assert (rows["Qwen2-72B-Instruct"].questions, rows["Qwen2-72B-Instruct"].games) == (498, 996)
    assert strict.options.level == 0.90


def test_published_intervals_are_narrower_than_a_right_bootstrap(published, printed):
    """That code leaves scores unanchored: see `unanchored_bounds`.

    The rows are 8 of a table of 92 models and a baseline other than gpt-4-0314. Their widths are
    of 100 rounds, which say each within 10 %, the mean of eight within 3.4 %.
    """
    result = result_of(published, ["gpt-4o"], "arena-hard-v0.1", ci="upstream", rounds=4000)
    assert result.options.level == 0.95
    ours = {row.model: row for row in result.boards[0].rows if not row.is_baseline}
    theirs = {
        m: (float(row["rating_q025"]), float(row["rating_q975"])) for m, row in printed.items()
    }
    widths = [(theirs[m][1] - theirs[m][0]) / (row.upper - row.lower) for m, row in ours.items()]
    assert np.mean(widths) == pytest.approx(0.86, abs=0.02), "5 % of our width would be seen"
    for model, row in ours.items():
        noise = 4 * 0.27 * (row.upper - row.lower) / 3.92 + 0.005
        assert row.lower - noise < theirs[model][0] < row.score, model
        assert row.score < theirs[model][1] < row.upper + noise, model


def test_categories_overall_and_two_judges(tmp_path, show_result):
    hard, easy = ({"category": c, "baseline": "base", "model": "m"} for c in ("hard", "easy"))
    data = judgments(
        tmp_path,
        one__m=[line("1", "B>A", "A>B", **hard), line("2", "A=B", "A=B", **easy)],
        two__m=[line("1", "B>>A", "A>B", **hard)],
        one__n=[line("1", "A>B", "A>B", **hard | {"model": "n"})],
    )
    out = tmp_path / "out"
    text = show_result(data, "--out", out, judges=["one", "two"])
    found = {(row["category"], row["model"]): row for row in rows_of(out)}
    places = [text.index(f"Category: {name} ") for name in ("easy", "hard", "overall")]
    assert places == sorted(places)
    keys = ("score", "questions", "games")
    assert [found["hard", "m"][key] for key in keys] == ["100.0", "1", "4"]
    assert [found["overall", "m"][key] for key in keys] == ["87.5", "2", "6"]  # 6 won, 2 tied of 8
    for place in (("easy", "m"), ("overall", "n"), ("overall", "base")):
        assert found[place]["score"] == "50.0", place
    assert ("easy", "n") not in found
    only = show_result(data, "-c", "hard", judges=["one"])
    assert "easy" not in only
    assert "overall" not in only


def test_a_baseline_a_category_has_no_overall_row(tmp_path):
    lines = [
        line("1", *WON, category="hard", baseline="x"),
        line("2", *LOST, category="soft", baseline="y"),
    ]
    result = result_of(judgments(tmp_path, j__m=lines), rounds=5)
    hard, soft, overall = result.boards
    assert [row.model for row in hard.rows] == ["m", "x"]
    assert [row.model for row in soft.rows] == ["y", "m"]
    assert [row.model for row in overall.rows] == ["m"]
    assert "different baselines" in overall.notes[0]


def test_the_flag_is_on_the_baselines_row(tmp_path):
    """Also where a model bears its name: judged against itself, or called as we call an unnamed."""
    won, lost = lines(WON), lines(LOST)
    own = judgments(tmp_path / "own", j__base=won, j__m=lines(LOST, baseline="base"))
    odd = judgments(tmp_path / "odd", **{"j__(baseline)": won, "j__m": lost})
    found = [
        [(row.score, row.is_baseline) for row in result_of(data, rounds=5).boards[0].rows]
        for data in (own, odd)
    ]
    assert found == [[(50, True), (0, False)], [(100, False), (50, True), (0, False)]]


def test_models_without_a_verdict_have_no_row_but_a_note(tmp_path):
    """A line with one game is not one without a verdict."""
    data = judgments(
        tmp_path,
        j__half=lines(["B>A"]),
        j__null=lines(["A>B", None]),
        j__mute=lines(["nothing", None]),
        j__m=lines(WON),
    )
    (board, _) = result_of(data, rounds=5).boards
    assert {row.model for row in board.rows} == {"m", "(baseline)"}
    mute, half = board.notes
    assert mute == "no game with a verdict, so no row: mute"
    assert "so no row: half, null" in half
    assert "--rule v0.1" in half
    (board, _) = result_of(data, rounds=5, rule="v0.1").boards
    assert [row.score for row in board.rows if row.model == "half"] == [100]


def test_overall_intervals_know_the_categories(tmp_path):
    """Hard questions all lost, soft ones all won: how many of each there are is no chance."""
    sorted_ = lines(*[LOST] * 200, *[WON] * 100)
    for number, one in enumerate(sorted_):
        one["category"] = "hard" if number < 200 else "soft"
    data = judgments(tmp_path, j__m=sorted_, j__n=lines(*[LOST, WON, WON] * 100))
    overall = result_of(data).boards[-1]
    (row,) = (row for row in overall.rows if row.model == "m")
    assert row.score == pytest.approx(100 / 3)
    # Only what 300 questions alike leave open: with questions drawn from both it is 9 points.
    assert row.upper - row.lower < 3
    names, found = [row.model for row in overall.rows], overall.differences
    i, j = names.index("m"), names.index("(baseline)")
    assert found.upper[i, j] - found.lower[i, j] < 3


def test_a_model_that_won_all_in_two_categories_has_an_interval(tmp_path):
    """Strong and weak verdicts, weighted in the resamples: their rounding is no error."""
    won = lines(*[WON_STRONGLY] * 7, *[WON] * 4)
    for number, one in enumerate(won):
        one["category"] = "hard" if number % 2 else "soft"
    overall = result_of(judgments(tmp_path, j__m=won)).boards[-1]
    assert (overall.rows[0].score, overall.rows[0].upper) == (100, 100)
    assert overall.rows[0].lower == pytest.approx(100 * 0.05 ** (1 / 11))


def test_answers_are_found_under_any_of_their_names(tmp_path):
    """Lines that say `org/name`: the judgment file's name, the name itself, `model` inside."""
    names = {"a": "org/a", "b": "org/b", "c": "org/c", "d": "d"}
    pairs = [("A>B", "A=B"), ("B>A", "A=B"), ("B>A", "A=B")] * 3
    played = {f"j__{k}": lines(*pairs, baseline="org/base", model=v) for k, v in names.items()}
    data = judgments(tmp_path, **played)
    answers = data / "bench" / "model_answer"
    for model, path in (("x", "a"), ("x", "org/b"), ("org/c", "other"), ("org/base", "base-v2")):
        texts = [answer(str(i), "x " * (i + 1), model=model) for i in range(9)]
        write_lines(answers / f"{path}.jsonl", texts)
    rows = result_of(data, tokens=True, control_features=("length",), rounds=5).boards[0].rows
    assert {row.model for row in rows if row.is_plain} == {"d"}
    tokens = {row.model: row.avg_tokens for row in rows}
    assert tokens.pop("d") is None
    assert len(set(tokens.values())) == 1
    assert set(tokens) == {"org/a", "org/b", "org/c", "org/base"}


def test_answers_without_a_token_are_not_of_an_unknown_number(tmp_path):
    data = judgments(tmp_path, j__a=lines(*[LOST] * 9))
    result = result_of(data, rounds=5)
    board, *others = result.boards
    rows = [replace(row, avg_tokens=0.0 if row.model == "a" else None) for row in board.rows]
    text = files(replace(result, boards=[replace(board, rows=rows), *others]))["leaderboard.txt"]
    assert {one.split()[-1] for one in text.splitlines() if one.split()[1:2] == ["a"]} == {"0"}


def test_average_tokens_are_those_of_the_published_table(shared_data, tmp_path):
    """Arena-Hard v0.1 prints 423, 354 and 329 tokens for these models."""
    answers = shared_data / "arena-hard-v0.1-older-shape" / "model_answer"
    printed = {"gpt-4-0314": 423, "gpt-4-0613": 354, "gpt-3.5-turbo-0125": 329}
    uids = list(read_answers(answers / "gpt-4-0613.jsonl").answers)
    played = [line(uid, *WON, baseline="gpt-4-0314") for uid in uids]
    data = judgments(tmp_path, **{f"j__{model}": played for model in list(printed)[1:]})
    result = make_result(sources_of(data, answers_dir=answers), tokens=True, rounds=5)
    assert {row.model: int(row.avg_tokens) for row in result.boards[0].rows} == printed


def test_the_paper_has_the_same_numbers(tmp_path, show_result):
    """A table a category; strangers' names are text, not commands."""
    pairs = [("A=B", "A>B"), WON, WON, WON] * 10
    data = judgments(tmp_path, j__m=lines(*pairs, category="a_b", model=r"[x_1%\input{y}"))
    show_result(data, "--out", tmp_path)
    text = (tmp_path / "leaderboard.tex").read_text()
    assert text.count(r"\toprule") == text.count(r"\begin{table}") == 1
    (row,) = (one for one in text.splitlines() if one.startswith("{[}x"))
    name, score, interval, rank, questions, *games = row.removesuffix(r" \\").split(" & ")
    assert name == r"{[}x\_1\%\textbackslash{}input\{y\}"
    assert (score, rank, questions, games) == ("93.8", "1", "40", ["70", "10", "0"])
    csv_row = rows_of(tmp_path)[0]
    below = float(csv_row["score"]) - float(csv_row["lower"])
    assert interval.startswith(f"$_{{-{below:.1f}}}")
    assert [csv_row[key] for key in ("won", "tied", "lost")] == games


def test_a_bound_beyond_the_score_has_one_sign(tmp_path):
    """Resampled votes may all be better than the votes."""
    result = result_of(judgments(tmp_path, j__a=lines(*[LOST] * 9)), rounds=5)
    board, *others = result.boards
    rows = [replace(row, lower=row.score + 0.4, upper=row.score + 2.0) for row in board.rows]
    made = files(replace(result, boards=[replace(board, rows=rows), *others]))
    assert "(-0.0 / +2.0)" in made["leaderboard.txt"]
    assert "$_{-0.0}^{+2.0}$" in made["leaderboard.tex"]


def test_design_effect_of_games_that_are_alike_is_two(tmp_path):
    """Two games a question that never differ are worth one."""
    pairs = [LOST, WON, WON] * 200
    for games in (2, 1):
        played = lines(*(pair[:games] for pair in pairs))
        (row, _) = result_of(judgments(tmp_path, j__m=played), rule="v0.1").boards[0].rows
        assert row.design_effect == pytest.approx(games, rel=0.1)


def test_tables_with_next_to_nothing_in_them(tmp_path):
    """No row at all; models that are all alike; as many categories as questions."""
    none = [line(str(i), None, None, category="xy"[i], baseline="pq"[i]) for i in range(2)]
    data = judgments(tmp_path / "none", j__m=none)
    for ci in ("upstream", "questions"):
        result = result_of(data, rounds=9, ci=ci)
        assert [[row.model for row in board.rows] for board in result.boards] == [["p"], ["q"], []]
    assert set(files(result)) >= {"leaderboard.txt", "leaderboard.tex", "differences.csv"}
    same = lines(*[LOST, WON, WON] * 10)
    (board, _) = result_of(judgments(tmp_path / "same", j__m=same, j__n=same)).boards
    assert board.differences.detectable is None, "not 0.0 points"
    many = [line(str(i), *(LOST if i % 2 else WON), category=f"c{i}") for i in range(6)]
    overall = result_of(judgments(tmp_path / "many", j__m=many)).boards[-1]
    assert (overall.differences.lower[0, 1], overall.differences.upper[0, 1]) == (-50, 50)
    for row in overall.rows:
        assert 0 <= row.lower <= row.score <= row.upper <= 100


def test_a_model_that_was_not_asked_in_a_category_is_not_named_there(tmp_path):
    one, two = (line(c, "A>B", "A>B", category=c) for c in ("hard", "soft"))
    hard, soft, _ = result_of(judgments(tmp_path, j__m=[one, two], j__n=[one]), rounds=5).boards
    assert (hard.notes, soft.notes) == ([], [])


def test_models_with_fewer_questions_are_named(tmp_path):
    """A model with few questions, and judges that did not judge the same models."""
    all_ = lines(*[("B>A", "B>A"), WON] * 10)
    data = judgments(tmp_path, one__m=all_, one__n=all_, one__few=all_[:17], two__m=all_[1:])
    (board, _) = result_of(data, ["one"], rounds=5).boards
    (note,) = board.notes
    assert "than the 20 of this table: few (17)" in note
    assert note.endswith("on the same questions")
    (board, _) = result_of(data, ["one"], rounds=5, ci="upstream").boards
    assert board.notes[0].endswith("not on the same questions")
    (note,) = result_of(data, ["one", "two"], rounds=5).notes
    assert note.startswith("judge two judged only 19 of the 57 ")
    assert " none of few, n:" in note
    assert result_of(data, ["one", "two"], models=["m"], rounds=5).notes == [], "one is no matter"


def test_some_models_only(tmp_path):
    """Each of some judge's files: judges need not have judged the same models."""
    won = lines(WON)
    data = judgments(tmp_path, one__a1=won, one__small=won, two__a1=won, two__a2=won)
    both = result_of(data, ["one", "two"], models=["a*"], rounds=5)
    assert sorted(row.model for row in both.boards[0].rows) == ["(baseline)", "a1", "a2"]
    alone = result_of(data, ["one", "two"], models=["small"], rounds=5)
    assert alone.notes == ["judge two judged none of these models"]
    with pytest.raises(DataError, match="no judgments of 'smal'; did you mean 'small'"):
        result_of(data, ["one", "two"], models=["a1", "smal"])


@pytest.mark.parametrize("some", [{"models": ["m"]}, {"categories": ["b"]}])
def test_a_model_and_a_category_stand_alone(tmp_path, some):
    """No row changes when another model or category joins the table."""
    mine = lines(*[LOST, ("A>B", "A>B"), ("A>B", "A>B")] * 13)
    played = [*mine, *(line(str(i), "B>A", "A=B") for i in range(25, 60))]
    for one in played:
        one["category"] = "ab"[int(one["uid"]) % 2]
    data = judgments(tmp_path, j__m=played[:39], j__other=played[39:])
    (alone,), (both,) = (
        [row for board in boards if board.category == "b" for row in board.rows if row.model == "m"]
        for boards in (result_of(data, **some).boards, result_of(data).boards)
    )
    assert (alone.score, alone.lower, alone.upper) == (both.score, both.lower, both.upper)
    assert both.lower < both.score < both.upper


def test_differences_are_taken_on_the_questions_that_both_were_judged_on(tmp_path):
    """`few` was spared the ten questions that `all` lost: on the others they are alike."""
    data = judgments(tmp_path, j__all=lines(*[WON] * 10, *[LOST] * 10), j__few=lines(*[WON] * 10))
    board = result_of(data).boards[0]
    names = [row.model for row in board.rows]
    assert [row.score for row in board.rows] == [100, 50, 50]
    i, j = names.index("few"), names.index("all")
    assert (board.differences.difference[i, j], board.differences.questions[i, j]) == (0, 10)


def test_text_says_how_far_an_interval_reaches_below_and_above():
    row = Row("m", 50.0, 47.04, 51.26, 9, 18, 9, 0, 1, 3, 50.0, False)
    assert (interval_text(row), rank_text(row)) == ("(-3.0 / +1.3)", "1-3")
    assert interval_text(replace(row, lower=math.nan, upper=math.nan)) == "-"
    assert rank_text(replace(row, worst_rank=1)) == "1"
    assert rank_text(replace(row, best_rank=None, worst_rank=None)) == "-"


def test_text_says_who_cannot_be_told_apart(tmp_path, show_result):
    """Thirty questions: a good and a bad model, and one between that is like either's neighbour."""
    models = {f"j__m{n}": lines(*[WON] * n, *[LOST] * (30 - n)) for n in (28, 17, 11, 1)}
    out = tmp_path / "out"
    options = (judgments(tmp_path, **models), "--out", out)

    def table(*ranks):
        rows = [one.split() for one in show_result(*options, *ranks).splitlines()]
        return [" ".join((one[1], *one[-4:-2])) for one in rows if one[:1] and one[0] in "12345"]

    at_once = ["m28 1 1", "m17 2-4 2", "(baseline) 2-4 2", "m11 2-4 2", "m1 5 3"]
    each = ["m28 1 1", "m17 2-3 2", "(baseline) 2-4 2-3", "m11 3-4 3", "m1 5 4"]
    assert (table(), table("--ranks", "marginal")) == (at_once, each)
    groups = json.loads((out / "leaderboard.json").read_text())["categories"]["bench"]["groups"]
    assert groups == [["m28"], ["m17", "(baseline)"], ["(baseline)", "m11"], ["m1"]]
    ranks = [(row["best_rank"], row["worst_rank"]) for row in rows_of(out)[:2]]
    assert ranks == [("1", "1"), ("2", "3")]


def test_names_are_no_markdown(tmp_path, show_result):
    names = {"*bold*_x_": r"\*bold\*\_x\_", "<b>|`a`": r"\<b\>\|\`a\`", "two\nlines": "two lines"}
    lines = [line("1", "A>B", "A>B", model=name) for name in names]
    data = judgments(tmp_path, j__all=lines, j__a_b=[line("1", "nothing", "A>B", model="gpt_4_*")])
    show_result(data, "--out", tmp_path)
    text = (tmp_path / "leaderboard.md").read_text()
    for name, written in names.items():
        assert f" {written} " in text, name
    assert r"so no row: gpt_4\_\*" in text


def test_names_are_no_formulas_and_move_no_cursor(tmp_path, show_result):
    names = {'=HYPERLINK("x")': """'=HYPERLINK("x")""", "m\x1b[2J": r"m\x1b[2J"}
    data = judgments(
        tmp_path,
        **{"=j__all": [line("1", "A>B", "A>B", model=name, category="@c") for name in names]},
        j2__all=[line("1", "A>B", "A>B", model="m\x1b[2J", category="@c")],
    )
    text = show_result(data, "--out", tmp_path, judges=["=j", "j2"])
    for name in ("leaderboard.csv", "differences.csv", "judges.csv"):
        rows = rows_of(tmp_path, name)
        assert {row["category"] for row in rows} == {"'@c", "overall"}
        found = {row[key] for row in rows for key in ("model", "other") if row.get(key)}
        assert found - {"(baseline)"} == set(names.values()), name
    assert "'=j" in rows[0]
    assert r"m\textbackslash{}x1b{[}2J" in (tmp_path / "leaderboard.tex").read_text()
    for name in ("txt", "md", "tex", "csv"):
        assert "\x1b" not in text + (tmp_path / f"leaderboard.{name}").read_text()


def test_json_and_differences(tmp_path, show_result):
    data = judgments(tmp_path, j__a=lines(*[WON] * 10), j__b=lines(*[LOST] * 10))
    out = tmp_path / "out"
    options = (data, "--weight", "2", "--rounds", "7", "--note", "half judged")
    text = show_result(*options, "--baseline", "base", "--compare", "b", "a", "--out", out)
    assert "NOTE: half judged" in text
    document = json.loads((out / "leaderboard.json").read_text())
    assert (document["weight"], document["rounds"], document["seed"]) == (2, 7, 42)
    assert document["categories"]["bench"]["groups"] == [["a"], ["base"], ["b"]]
    row, keys = document["rows"][0], ("category", "model", "best_rank", "worst_rank")
    assert [row[key] for key in keys] == ["bench", "a", 1, 1]
    pairs = {
        (row["category"], row["model"], row["other"]): row
        for row in rows_of(out, "differences.csv")
    }
    assert pairs["bench", "a", "b"]["difference"] == "100.0"
    # Ten questions in a row are no certainty: 100 * 0.05 ** (1 / 10) - 50
    assert pairs["bench", "base", "b"]["lower"] == "24.1134"
    assert "Significant" in text
    assert "+100.0" in text
    everyone = show_result(*options, "--compare").split("Significant")[1]
    found = [" ".join(row.split()[1:3]) for row in everyone.splitlines()[1:]]
    assert found == ["a (baseline)", "a b", "(baseline) b"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-c", "benhc"), "did you mean 'bench'"),
        (("--ci", "unanchored"), "rule v0.1"),
        (("--rounds", "0"), "rounds: 0"),
        (("--seed", "-1"), "seed: -1"),
        (("--weight", "nan"), "weight: nan"),
        (("--weight", "inf"), "weight: inf"),
        (("--steps", "m("), "steps: 'm(' is not a regular expression"),
        (("--steps", "m"), "has no group (?P<step>...)"),
        (("-f", "length"), "--baseline NAME"),
        (("-f", "length", "--baseline", "b"), "model_answer/b.jsonl does not exist; --answers-dir"),
        (("--compare", "n"), "no row for 'n'"),
    ],
)
def test_mistaken_options_are_explained(tmp_path, show_result, options, words):
    data = judgments(tmp_path, j__m=[SEEDED])
    assert words in show_result(data, *options, ok=False)


def test_wrong_places_are_explained(tmp_path, show_result):
    data = judgments(tmp_path, gpt4o__m=[SEEDED])
    assert "did you mean 'gpt4o'" in show_result(data, judges=["gpt-4o"], ok=False)
    assert "no such folder" in show_result("x", ok=False)
    file = tmp_path / "file"
    file.write_text("")
    assert f"{file}: " in show_result(data, "--out", file, judges=["gpt4o"], ok=False)
    write_lines(tmp_path / "flat/model_judgment/m.jsonl", [SEEDED])
    assert "move them into" in show_result(tmp_path, bench="flat", ok=False)


def test_style_control_from_answers(tmp_path, show_result):
    """Two categories, one model without answers, no metadata: all of it stopped Arena-Hard-Auto."""
    played = lines(*[("A>B", "A=B"), ("B>A", "A=B"), ("B>A", "A=B")] * 14, baseline="base")[:40]
    for number, one in enumerate(played):
        one["category"] = ("hard", "soft")[number % 2]
    data = judgments(tmp_path, j__m=played, j__silent=played)
    answers = data / "bench" / "model_answer"
    for model in ("m", "base"):
        texts = ("word " * ((i * 7 + len(model)) % 11) + "# h\n- x" for i in range(40))
        file = (answer(str(i), text) for i, text in enumerate(texts))
        write_lines(answers / f"{model}.jsonl", file)
    kept = (answers / "m.jsonl").read_text().splitlines(keepends=True)
    (answers / "m.jsonl").write_text("".join(["torn\n", kept[1], "torn\n", *kept[3:]]))
    out = tmp_path / "out"
    options = (data, "--out", out)
    text = show_result(*options, "-f", "length", "markdown", "--rounds", "20")
    assert "style control: length, markdown" in text
    assert "tokens and style are not known: silent" in text
    assert "token counts: " in text
    document = json.loads((out / "leaderboard.json").read_text())
    rows = {(row["category"], row["model"]): row for row in document["rows"]}
    assert rows["hard", "m"]["lower"] < rows["hard", "m"]["score"] < rows["hard", "m"]["upper"]
    silent, m = rows["hard", "silent"], rows["hard", "m"]
    assert silent["score"] == silent["plain_score"] == m["plain_score"]
    assert silent["lower"] < silent["score"] < silent["upper"]
    assert (silent["is_plain"], m["is_plain"]) == (True, False)
    counts = ("questions", "games", "best_rank", "worst_rank", "avg_tokens")
    assert [silent[key] for key in counts] == [20, 40, None, None, None]
    assert f" {silent['score']:.1f}*" in text
    assert m["avg_tokens"] > 0
    assert {rows["hard", model]["worst_rank"] for model in ("m", "base")} <= {1, 2}
    hard = document["categories"]["hard"]
    assert "silent" not in {name for group in hard["groups"] for name in group}
    assert "leaves out 22 judged answers" in hard["notes"][0]
    assert "marked *: silent" in hard["notes"][0]
    assert (hard["questions"], rows["hard", "m"]["questions"]) == (18, 18)
    assert f"NOTE: {answers / 'm.jsonl'}:1: line left out (and 1 more): not JSON" in text
    style = document["categories"]["overall"]["style"]
    assert style[0]["column"] == "length"
    assert style[0]["lower"] < style[0]["value"] < style[0]["upper"]
    apart = [row for row in rows_of(out, "differences.csv") if "silent" in row.values()]
    assert {row["difference"] for row in apart} == {""}, "a plain score is not compared"


@pytest.mark.parametrize("rule", ["v2.0", "v0.1"])
def test_style_is_compared_with_the_baseline_of_the_category(rule):
    """Two baselines, one curt and one wordy, and a silent model before the others."""
    size = 60
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 4, (1, 3, size, 2))  # no strong verdict: two votes a question
    codes[0, 0] = ABSENT
    both = verdicts_of(
        codes,
        models=("a-silent", "m", "n"),
        categories=("hard", "soft"),
        category=np.arange(size) % 2,
        baselines={"hard": "curt", "soft": "wordy"},
    )
    counts = {
        name: np.column_stack([mean * (1 + rng.random(size)), *rng.integers(0, 9, (3, size))])
        for name, mean in {"m": 200, "n": 300, "curt": 50, "wordy": 900}.items()
    }
    options = Options(rounds=5, rule=rule, control_features=("length", "markdown"))
    hard, soft, _ = make_boards(both, options, counts)
    for number, (board, baseline) in enumerate(((hard, "curt"), (soft, "wordy"))):
        some = both.category == number
        columns = [style_columns(counts[m][some], counts[baseline][some], rule) for m in "mn"]
        votes = np.repeat(np.concatenate(columns), 2, axis=0)
        sds = [one.sd for one in board.style.coefficients]
        assert sds == pytest.approx(votes.std(axis=0, ddof=1))


def _board(*models, baseline=None):
    rows = [Row(one, 50.0, 50.0, 50.0, 1, 2, 1, 0, 1, 1, 50.0, one == baseline) for one in models]
    return Board("hard", None, 1, rows, None, [])


@pytest.mark.parametrize(
    ("pattern", "model", "found"),
    [
        (r"(?P<run>.+)-step(?P<step>\d+)", "tulu3-8b-step1000", ("tulu3-8b", 1000)),
        (r"(?P<run>.+)_(?P<step>\d+[kM])", "run_b_20k", ("run_b", 20_000)),
        (r"checkpoint-(?P<step>[\d_]+)", "checkpoint-1_500", ("", 1500)),
        (r"step(?P<step>[\d.]+B)", "x-step1.5B", ("", 1.5e9)),
        (r"(?P<run>.+)-step(?P<step>\d+)", "gpt-4-0613", None),
        (r"(?P<run>.+)-(?P<step>\w+)", "a-final", ("a", math.inf)),
    ],
)
def test_run_and_step(pattern, model, found):
    assert run_and_step(re.compile(pattern), model) == found


def test_points_are_in_order_of_steps_and_leave_the_rest_out():
    names = ("r9-step9", "r9-step10", "r10-step5", "other", "a-step5", "r9-step1")
    points = make_curves([_board(*names, baseline="r9-step1")], r"(?P<run>\w+)-step(?P<step>\d+)")
    found = [(point.run, point.step) for point in points]
    assert found == [("a", 5), ("r9", 9), ("r9", 10), ("r10", 5)]


def test_a_final_checkpoint_stands_behind_the_last_step_of_its_run():
    """As far behind as that is from the one before; without such a run it is on no curve."""
    names = ["r-step10", "r-step30", "r-final", "one-step8", "one_last", "other-final"]
    points = make_curves([_board(*names)], r"(?P<run>\w+)-step(?P<step>\d+)")
    assert [(point.run, point.step, point.row.model) for point in points] == [
        ("one", 8, "one-step8"),
        ("one", 16, "one_last"),
        ("r", 10, "r-step10"),
        ("r", 30, "r-step30"),
        ("r", 50, "r-final"),
    ]


def test_patterns_that_cannot_be_meant():
    for step in ("abc", "1.5.2", "_", "."):
        with pytest.raises(ConfigError, match=f"'{step}', the step in 'm-{step}', is not a number"):
            make_curves([_board(f"m-{step}")], r"-(?P<step>.+)")
