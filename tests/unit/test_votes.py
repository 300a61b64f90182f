import numpy as np
import pytest
from arena.ranking.votes import ABSENT, CODE_OF_STATE, CODE_OF_VERDICT, count_votes, read_verdicts
from arena.support.errors import DataError

from tests.judged import LOST, WON, line, lines, write_lines

BOTH_A = ("A>B", "A>B")


def codes(*games):
    """Verdicts of one model and judge: a pair a question."""
    return np.array([[[[CODE_OF_VERDICT.get(label, -2) for label in pair] for pair in games]]])


def read(folder, files, **options):
    """Verdicts of a judge's files, by name."""
    paths = [write_lines(folder / f"{name}.jsonl", some) for name, some in files.items()]
    return read_verdicts({"j": paths}, bench="b", **options)


@pytest.mark.parametrize(
    ("label", "as_a", "as_b"),
    [
        ("A>>B", (3, 3), (0, 3)),
        ("A>B", (1, 1), (0, 1)),
        ("A=B", (0.5, 1), (0.5, 1)),
        ("B>A", (0, 1), (1, 1)),
        ("B>>A", (0, 3), (3, 3)),
    ],
)
def test_the_table_of_votes(label, as_a, as_b):
    second = count_votes(codes((None, label)), rule="v0.1")
    first = count_votes(codes((label, None)), rule="v0.1")
    assert (second.wins.item(), second.votes.item()) == as_a
    assert (first.wins.item(), first.votes.item()) == as_b
    assert first.games.item() == 1
    strong = count_votes(codes((None, label)), rule="v0.1", weight=5)
    assert strong.votes.item() == {1: 1, 3: 5}[as_a[1]]


def test_v2_drops_a_question_that_v01_keeps_half_of():
    games = codes(("B>A", None), ("B>A", "A=B"))
    dropped, kept = count_votes(games, "v2.0"), count_votes(games, "v0.1")
    assert dropped.votes.tolist() == [[0, 2]]
    assert dropped.wins.tolist() == [[0, 1.5]]
    assert dropped.games.tolist() == [[0, 2]]
    assert kept.votes.tolist() == [[1, 2]]
    assert kept.games.tolist() == [[1, 2]]
    assert kept.ties.tolist() == [[0, 1]]
    assert (kept.games_won.tolist(), kept.games_tied.tolist()) == ([[1, 1]], [[0, 1]])


def test_one_table_from_files_of_several_shapes(tmp_path):
    keys = {"easy": {"category": "easy", "baseline": "base"}}
    keys["hard"] = keys["easy"] | {"category": "hard"}
    a = [line("q2", *LOST, **keys["hard"]), line("q1", "A>B", **keys["easy"])]
    a.append(line("q3", None, "A>B", **keys["easy"]))
    b = [line("q1", "A=B", "A=B"), line("q9", "A=B", "nonsense")]
    table = read(tmp_path, {"a": a, "b": b})
    assert (table.models, table.questions) == (("a", "b"), ("q1", "q2", "q3", "q9"))
    assert table.categories == ("b", "easy", "hard")
    assert [table.categories[i] for i in table.category] == ["easy", "hard", "easy", "b"]
    assert table.baselines == {"b": None, "easy": "base", "hard": "base"}
    null, unparsed = CODE_OF_STATE["null"], CODE_OF_STATE["unparsed"]
    assert table.codes[0, 0].tolist() == [[1, ABSENT], [1, 3], [null, 1], [ABSENT] * 2]
    assert table.codes[0, 1].tolist() == [[2, 2], [ABSENT] * 2, [ABSENT] * 2, [2, unparsed]]
    (example,) = table.examples
    found = [example[key] for key in ("model", "uid", "game", "state", "text")]
    assert found == ["b", "q9", 1, "unparsed", "nonsense"]


def test_two_baselines_are_refused_until_one_is_chosen(tmp_path):
    files = {"a": [line(uid, *BOTH_A, baseline="xxy"[int(uid)]) for uid in "012"]}
    with pytest.raises(DataError, match=r"2 baselines.*x \(2 lines\), y \(1 lines\).*--baseline"):
        read(tmp_path, files)
    table = read(tmp_path, files, baselines=["x"])
    assert (table.questions, table.baselines) == (("0", "1"), {"b": "x"})
    assert "1 lines against another baseline" in table.notes[0]


@pytest.mark.parametrize("order", [1, -1])
def test_two_baselines_are_found_where_only_one_line_names_the_category(tmp_path, order):
    files = {"a": lines(BOTH_A, baseline="x"), "b": lines(BOTH_A, baseline="y", category="c")}
    with pytest.raises(DataError, match="category c: judgments against 2 baselines"):
        read(tmp_path, dict(list(files.items())[::order]))


def test_a_baseline_judged_against_itself_in_lines_that_name_none_has_no_verdicts(tmp_path):
    """In the category whose baseline it is; in another it is a model."""
    soft = line("2", *BOTH_A, category="soft", baseline="other")
    base, m = (
        [line("1", *BOTH_A, category="hard", **names), soft] for names in ({}, {"baseline": "base"})
    )
    table = read(tmp_path, {"base": base, "m": m})
    assert table.baselines == {"hard": "base", "soft": "other"}
    assert table.models == ("base", "m")
    assert table.codes[0].tolist() == [[[ABSENT] * 2, [1, 1]], [[1, 1], [1, 1]]]
    (note,) = table.notes
    assert note.startswith("category hard: ")
    assert "base was judged against itself" in note
    with pytest.raises(DataError, match="no judgments that can be counted"):
        read(tmp_path, {"base": base}, baselines=["base"])


def test_a_question_in_two_categories_and_a_category_called_overall_are_noted(tmp_path):
    uids = {"hard": "12", "overall": "1"}
    files = {"a": [line(uid, *BOTH_A, category=name) for name in uids for uid in uids[name]]}
    table = read(tmp_path, files)
    assert table.categories == ("hard", "overall (category)")
    assert table.category.tolist() == [1, 0]
    _again, moved, renamed = table.notes
    assert "1 questions have two categories" in moved
    assert "1, in overall (category) and before in hard" in moved
    assert "the category 'overall' is shown as 'overall (category)'" in renamed


def test_what_was_wrong_is_noted(tmp_path):
    files = {
        "a": [*lines(BOTH_A), *lines(("B>A", "B>A"), baseline="base"), "torn"],
        "base": [line("1", "A=B", "A=B", baseline="base")],
        "bad": [["no object"], "neither"],
        "empty": [],
    }
    table = read(tmp_path, files)
    assert table.models == ("a",)
    assert table.codes[0, 0, 0].tolist() == [3, 3], "the last line counts"
    torn, twice, alone, bad, empty = (note.removeprefix(f"{tmp_path}/") for note in table.notes)
    assert torn.startswith("a.jsonl:3: line left out")
    assert twice.startswith("a.jsonl: 1 questions judged twice")
    assert alone.startswith("base.jsonl: judged against itself")
    assert bad.startswith("bad.jsonl:1: ")
    assert "2 lines" in bad
    assert empty.startswith("empty.jsonl: ")


@pytest.mark.parametrize("other", ["a_old", "m_old"])
def test_of_two_files_of_a_model_the_one_called_like_it_counts(tmp_path, other):
    """Whichever is read first; nothing of the other one counts, not even its baseline."""
    old = lines(LOST, LOST, model="org/m", baseline="former")
    files = {"m": lines(WON, model="org/m", baseline="base"), other: old}
    table = read(tmp_path, dict(sorted(files.items())))
    assert (table.models, table.questions) == (("org/m",), ("0",))
    assert (table.baselines, table.files) == ({"b": "base"}, {"org/m": "m"})
    assert table.codes[0, 0].tolist() == [[3, 1]]
    (note,) = table.notes
    assert all(str(tmp_path / f"{name}.jsonl") in note for name in files)


def test_two_parts_of_a_model_are_one_model(tmp_path):
    """None is called like it: both count, and both are named."""
    table = read(tmp_path, {f"part{uid}": [line(uid, *WON, model="m")] for uid in "12"})
    assert (table.models, table.questions) == (("m",), ("1", "2"))
    assert all(str(tmp_path / f"part{uid}.jsonl") in table.notes[0] for uid in "12")


WORDS = {"fastchat": "MT-Bench", "array": "JSON array", "pretty": "lines", "utf16": "UTF-16"}


@pytest.mark.parametrize(("case", "words"), WORDS.items())
def test_files_that_cannot_be_read_are_refused_by_name_and_line(shared_cases, case, words):
    file = shared_cases / case / "b/model_judgment/J/m1.jsonl"
    with pytest.raises(DataError) as refused:
        read_verdicts({"J": [file]}, bench="b")
    assert f"{file}:1: " in str(refused.value)
    assert words in str(refused.value)
