import numpy as np
import pytest
from arena.data.verdict import VERDICTS
from arena.ranking.votes import ABSENT, CODE_OF_STATE, CODE_OF_VERDICT, count_votes, read_verdicts
from arena.support.errors import DataError

from tests.judged import line, write_lines


def codes(*games):
    """Verdicts of one model and judge: a pair a question."""
    return np.array([[[[CODE_OF_VERDICT.get(label, -2) for label in pair] for pair in games]]])


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


def test_weight_of_strong_verdicts():
    votes = count_votes(codes(("A>>B", "A>B")), weight=5)
    assert (votes.wins.item(), votes.votes.item()) == (1, 6)


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


@pytest.mark.parametrize(
    ("won", "tied", "lost", "score"), [(385, 173, 686, 37.90), (258, 144, 1012, 23.34)]
)
def test_official_rows_from_their_counts(won, tied, lost, score):
    """gpt-4-0613 and gpt-3.5-turbo-0125 of Arena-Hard v0.1, as games of one vote each."""
    games = [(None, "A>B")] * won + [(None, "A=B")] * tied + [(None, "B>A")] * lost
    votes = count_votes(codes(*games), rule="v0.1")
    assert round(100 * votes.wins.sum() / votes.votes.sum(), 2) == score


def test_judges_are_pooled():
    one = codes(("B>A", "A>B"), ("A>B", "A>B"))
    two = codes(("A>>B", "A=B"), ("B>A", None))
    votes = count_votes(np.concatenate([one, two]))
    assert votes.wins.tolist() == [[2.5, 1]]
    assert votes.votes.tolist() == [[6, 2]]
    assert votes.games.tolist() == [[4, 2]]


def test_one_table_from_files_of_several_shapes(tmp_path):
    a = write_lines(
        tmp_path / "a.jsonl",
        line("q2", "A>B", "B>A", category="hard", baseline="base"),
        line("q1", "A>B", category="easy", baseline="base"),
        line("q3", None, "A>B", category="easy", baseline="base"),
    )
    b = write_lines(tmp_path / "b.jsonl", line("q1", "A=B", "A=B"), line("q9", "A=B", "nonsense"))
    table = read_verdicts({"j": [a, b]}, bench="bench")
    assert table.models == ("a", "b")
    assert table.questions == ("q1", "q2", "q3", "q9")
    assert table.categories == ("bench", "easy", "hard")
    assert [table.categories[i] for i in table.category] == ["easy", "hard", "easy", "bench"]
    assert table.baselines == {"bench": None, "easy": "base", "hard": "base"}
    win, tie, null, unparsed = (
        VERDICTS.index("A>B"),
        VERDICTS.index("A=B"),
        CODE_OF_STATE["null"],
        CODE_OF_STATE["unparsed"],
    )
    assert table.codes[0, 0].tolist() == [[win, ABSENT], [win, 3], [null, win], [ABSENT] * 2]
    assert table.codes[0, 1].tolist() == [[tie, tie], [ABSENT] * 2, [ABSENT] * 2, [tie, unparsed]]
    (example,) = table.examples
    assert (example.model, example.uid, example.game, example.state) == ("b", "q9", 1, "unparsed")


def test_only_some_categories(tmp_path):
    file = write_lines(
        tmp_path / "a.jsonl",
        line("1", "A>B", "A>B", category="hard_prompt"),
        line("2", "A>B", "A>B", category="creative_writing"),
    )
    table = read_verdicts({"j": [file]}, bench="b", categories=["hard_prompt"])
    assert table.questions == ("1",)
    with pytest.raises(DataError, match="did you mean 'hard_prompt'"):
        read_verdicts({"j": [file]}, bench="b", categories=["hard_prompts"])


def test_two_baselines_are_refused_until_one_is_chosen(tmp_path):
    file = write_lines(
        tmp_path / "a.jsonl",
        line("1", "A>B", "A>B", baseline="x"),
        line("2", "A>B", "A>B", baseline="x"),
        line("3", "A>B", "A>B", baseline="y"),
    )
    with pytest.raises(DataError, match=r"2 baselines.*x \(2 lines\), y \(1 lines\).*--baseline"):
        read_verdicts({"j": [file]}, bench="b")
    table = read_verdicts({"j": [file]}, bench="b", baselines=["x"])
    assert table.questions == ("1", "2")
    assert table.baselines == {"b": "x"}
    assert "1 lines against another baseline" in table.notes[0]


@pytest.mark.parametrize("order", [1, -1])
def test_two_baselines_are_found_where_only_one_line_names_the_category(tmp_path, order):
    one = write_lines(tmp_path / "a.jsonl", line("1", "A>B", "A>B", baseline="x"))
    other = write_lines(tmp_path / "b.jsonl", line("1", "A>B", "A>B", baseline="y", category="c"))
    with pytest.raises(DataError, match="category c: judgments against 2 baselines"):
        read_verdicts({"j": [one, other][::order]}, bench="b")


def test_a_baseline_judged_against_itself_in_lines_that_name_none_has_no_verdicts(tmp_path):
    """In the category whose baseline it is; in another it is a model."""
    base, m = (
        write_lines(
            tmp_path / f"{model}.jsonl",
            line("1", "A>B", "A>B", category="hard", **names),
            line("2", "A>B", "A>B", category="soft", baseline="other"),
        )
        for model, names in (("base", {}), ("m", {"baseline": "base"}))
    )
    table = read_verdicts({"j": [base, m]}, bench="b")
    assert table.baselines == {"hard": "base", "soft": "other"}
    assert table.models == ("base", "m")
    assert table.codes[0, 0].tolist() == [[ABSENT] * 2, [1, 1]]
    assert table.codes[0, 1].tolist() == [[1, 1], [1, 1]]
    assert table.notes == (
        "category hard: base is the baseline and was judged against itself; its row is 50.0",
    )
    with pytest.raises(DataError, match="no judgments that can be counted"):
        read_verdicts({"j": [base]}, bench="b", baselines=["base"])


def test_a_question_in_two_categories_and_a_category_called_overall_are_noted(tmp_path):
    file = write_lines(
        tmp_path / "a.jsonl",
        line("1", "A>B", "A>B", category="hard"),
        line("1", "A>B", "A>B", category="overall"),
        line("2", "A>B", "A>B", category="hard"),
    )
    table = read_verdicts({"j": [file]}, bench="b")
    assert table.categories == ("hard", "overall (category)")
    assert table.category.tolist() == [1, 0]
    _again, moved, renamed = table.notes
    assert "1 questions stand in two categories" in moved
    assert "1, in overall (category) and before in hard" in moved
    assert "the category 'overall' is shown as 'overall (category)'" in renamed


def test_what_was_wrong_is_noted(tmp_path):
    file = write_lines(
        tmp_path / "a.jsonl", line("1", "A>B", "A>B"), line("1", "B>A", "B>A", baseline="base")
    )
    file.write_text(file.read_text() + "torn {")
    itself = write_lines(tmp_path / "base.jsonl", line("1", "A=B", "A=B", baseline="base"))
    table = read_verdicts({"j": [file, itself]}, bench="b")
    assert table.models == ("a",)
    assert table.codes[0, 0, 0].tolist() == [3, 3], "the last line counts"
    torn, twice, alone = table.notes
    assert f"{file}:3: line left out" in torn
    assert "1 questions judged twice" in twice
    assert f"{itself}: judged against itself" in alone


def test_nothing_to_count(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", {"uid": "1"})
    with pytest.raises(DataError, match="no judgments that can be counted"):
        read_verdicts({"j": [file]}, bench="b")


@pytest.mark.parametrize("other", ["a_old", "m_old"])
def test_of_two_files_of_a_model_the_one_called_like_it_counts(tmp_path, other):
    """Whichever is read first; nothing of the other one counts, not even its baseline."""
    keys = {"model": "org/m", "baseline": "base"}
    own = write_lines(tmp_path / "m.jsonl", line("1", "B>A", "A>B", **keys))
    old = write_lines(
        tmp_path / f"{other}.jsonl",
        line("1", "A>B", "B>A", **keys | {"baseline": "former"}),
        line("2", "A>B", "B>A", **keys | {"baseline": "former"}),
    )
    table = read_verdicts({"j": sorted([own, old])}, bench="b")
    assert (table.models, table.questions) == (("org/m",), ("1",))
    assert (table.baselines, table.files) == ({"b": "base"}, {"org/m": "m"})
    assert table.codes[0, 0].tolist() == [[3, 1]]
    (note,) = table.notes
    assert str(own) in note
    assert str(old) in note


def test_two_parts_of_a_model_are_one_model(tmp_path):
    """None is called like it: both count, and both are named."""
    lines = (line(uid, "B>A", "A>B", model="m") for uid in "12")
    parts = [write_lines(tmp_path / f"part{one['uid']}.jsonl", one) for one in lines]
    table = read_verdicts({"j": parts}, bench="b")
    assert (table.models, table.questions) == (("m",), ("1", "2"))
    assert all(str(part) in table.notes[0] for part in parts)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("fastchat", "MT-Bench"),
        ("array", "JSON array"),
        ("pretty", "several lines"),
        ("utf16", "UTF-16"),
    ],
)
def test_files_that_cannot_be_read_are_refused_by_name_and_line(shared_cases, case, words):
    file = shared_cases / case / "b/model_judgment/J/m1.jsonl"
    with pytest.raises(DataError) as refused:
        read_verdicts({"J": [file]}, bench="b")
    assert f"{file}:1: " in str(refused.value)
    assert words in str(refused.value)


def test_an_unreadable_or_empty_file_does_not_pass_unseen_beside_others(tmp_path):
    good = write_lines(tmp_path / "good.jsonl", line("1", "A>B", "A>B"))
    bad = write_lines(tmp_path / "bad.jsonl", ["no object"], "neither")
    empty = write_lines(tmp_path / "empty.jsonl")
    table = read_verdicts({"j": [bad, empty, good]}, bench="b")
    assert table.models == ("good",)
    assert [note.split(": ")[0] for note in table.notes] == [f"{bad}:1", str(empty)]
    assert "all of its 2 lines" in table.notes[0]


def test_the_toy_is_recognised(tmp_path):
    toy = {"uid": "1", "games": [{"score": "A>B", "toy": True}, None]}
    for played in (toy, line("1", "A>B")):
        file = write_lines(tmp_path / "a.jsonl", played)
        assert read_verdicts({"j": [file]}, bench="b").toy == (played is toy)
