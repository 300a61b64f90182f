"""The page of games: what is chosen, and that strangers' text stays text."""

import json
import re

import pytest
import show_games
from arena.pages.games_page import games_page
from arena.ranking.show_result import TOY_NOTE

from tests.browser import needs_chromium, open_page, use_page
from tests.judged import answer, judgments, line, sources_of
from tests.synthetic import write_lines

NASTY = '</script><script>document.title = "broken"</script><img src=x onerror="boom()">'
FLIP, SILENT, STRONG, PLAIN = ("B>A", "B>A"), ("B>A", None), ("A>>B", "B>A"), ("B>A", "A>B")


def reply(label):
    return f"{NASTY} My verdict: [[{label}]]" if label else "I cannot say."


@pytest.fixture
def data(tmp_path):
    """Two models and 40 questions; of the first model one flip, one without verdict, one lost."""
    bench = tmp_path / "bench"
    for model in ("org/m", "n"):
        lines = []
        for uid in range(40):
            games = {3: FLIP, 5: SILENT, 7: STRONG}.get(uid, PLAIN) if model != "n" else PLAIN
            played = [{"score": one, "judgment": {"answer": reply(one)}} for one in games]
            keys = {"model": model, "baseline": "base", "category": "ab"[uid % 2]}
            lines.append({"uid": f"q{uid}", **keys, "games": played})
        judgments(tmp_path, **{f"j__{model[-1]}": lines})
    for model, file in {"m": "m", "n": "n", "base": "base-v2"}.items():
        said = [answer(f"q{uid}", f"{model} says {uid}", model=model) for uid in range(40)]
        write_lines(bench / "model_answer" / f"{file}.jsonl", said)
    questions = [{"uid": f"q{uid}", "category": "a", "prompt": f"Why {uid}?"} for uid in range(40)]
    write_lines(bench / "question.jsonl", questions)
    return tmp_path


def page_data(text):
    return json.loads(re.search(r"^const data = (.*);$", text, re.MULTILINE)[1])


def find_pairs(data, model=None, **options):
    pairs = page_data(games_page(sources_of(data), **options))["pairs"]
    return [pair for pair in pairs if model in (None, pair["model"])]


def test_one_of_every_kind_is_chosen_and_one_of_all(data):
    pairs = {pair["uid"]: pair for pair in find_pairs(data, "org/m")}
    for uid, kind in (("q3", "flip"), ("q5", "no verdict"), ("q7", "strong loss")):
        assert pairs[uid]["kinds"] == [kind]
    assert len(pairs) in (3, 4)
    assert [pair["kinds"] for pair in find_pairs(data, "n")] == [[]]
    strong = pairs["q7"]
    assert [(game["label"], game["meaning"]) for game in strong["games"]] == [
        ("A>>B", "the baseline wins clearly"),
        ("B>A", "the baseline wins"),
    ]


@pytest.mark.parametrize(("first", "last"), [("B>A", "A>B"), ("A>B", "B>A")])
def test_of_a_question_with_two_lines_the_last_is_shown(data, first, last):
    """As in scores, also if only the first one is a flip."""
    keys = {"model": "n", "baseline": "base"}
    judgments(data, j__n=[line("q1", "A>B", label, **keys) for label in (first, last)])
    for each in (1, 2, None):
        (pair,) = find_pairs(data, "n", each=each)
        assert pair["games"][1]["label"] == last


def test_each_model_of_a_file_has_its_sample(data):
    names = [(model, f"q{uid}") for model in "xyz" for uid in range(9)]
    judgments(data, j__n=[line(uid, *FLIP, model=model, baseline="base") for model, uid in names])
    assert {pair["model"] for pair in find_pairs(data)} == {"org/m", "x", "y", "z"}


def test_the_sample_hangs_on_the_seed_and_not_on_other_models(data):
    def chosen(seed):
        return [one["uid"] for one in find_pairs(data, "n", seed=seed)]

    before = [chosen(seed) for seed in range(4)]
    assert any(uids != before[0] for uids in before)
    (data / "bench" / "model_judgment" / "j" / "m.jsonl").unlink()
    assert [chosen(seed) for seed in range(4)] == before


def test_all_games_of_one_model(data, capsys):
    asked = ["--data-dir", str(data), "-b", "bench", "-j", "j", "--models", "m", "--each", "all"]
    assert show_games.main([*asked, "--out", str(data)]) == 0
    found = page_data((data / "games.html").read_text())
    assert len(found["pairs"]) == 40
    assert found["answers"]["org/m"]["q9"] == "m says 9", "under the file's name"
    assert found["answers"]["base"]["q9"] == "base says 9", "of the model that its lines name"
    assert found["questions"]["q9"] == "Why 9?"


def test_the_toy_is_named_by_its_judgments(data):
    """Also by hand, where no config says which judge it is."""
    assert TOY_NOTE not in games_page(sources_of(data))
    games = [{"score": one, "toy": True} for one in PLAIN]
    judgments(data, j__n=[{"uid": "q1", "model": "n", "baseline": "base", "games": games}])
    assert TOY_NOTE in games_page(sources_of(data))


def test_long_texts_keep_their_end_and_a_sample_stays_small(data):
    long = {"score": None, "judgment": {"answer": "again " * 50_000 + "[[A>B]]"}}
    judgments(data, j__n=[{"uid": "q1", "model": "n", "baseline": "base", "games": [long, long]}])
    text = games_page(sources_of(data))
    assert len(text) < 60_000
    assert "again [[A\\u003eB]]" in text


def test_without_answers_the_judges_prompt_is_shown(data):
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "the whole prompt"}]
    games = [{"score": one, "prompt": prompt} for one in PLAIN]
    judgments(data, j__n=[{"uid": "q1", "model": "n", "games": games}])
    (data / "bench" / "model_answer" / "n.jsonl").unlink()
    text = games_page(sources_of(data))
    prompts = [one["prompt"] for one in page_data(text)["pairs"] if one["model"] == "n"]
    assert prompts == ["the whole prompt"]
    assert '<div class="note">no answers of n' in text


@needs_chromium
def test_a_browser_shows_texts_as_they_are(data, tmp_path):
    drawn = use_page(games_page(sources_of(data)), tmp_path)
    assert "<title>Games</title>" in drawn, "no script of a reply has run"
    assert drawn.count("<img") == 0
    # Searched for a 7: one of the questions that have it, with texts as they were written.
    assert re.search(r'id="place">1 of [1-9]<', drawn)
    shown = drawn.split('<div id="pair">')[1].split("</section>")[0]
    assert re.search(r"[mn] says \d*7<", shown)
    assert "&lt;/script&gt;&lt;script&gt;document.title" in shown


@needs_chromium
def test_judgments_without_anything_else_are_shown(tmp_path):
    """Of older scripts: neither prompts nor a baseline's name, and no questions or answers."""
    games = [{"judgment": "so: [[A>B]]"}, {"judgment": "[[B>A]]"}]
    judgments(tmp_path, j__n=[{"question_id": "q1", "games": games}])
    drawn = open_page(games_page(sources_of(tmp_path)), tmp_path)
    shown = drawn.split('<div id="pair">')[1].split("</section>")[0]
    assert shown.count("(no answer found)") == 2
    assert "so: [[A&gt;B]]" in shown


@needs_chromium
def test_the_prompt_is_named_by_its_game(tmp_path):
    """In the second one, A and B are swapped."""
    game = {"score": "A>B", "prompt": [{"role": "user", "content": "the prompt"}]}
    judgments(tmp_path, j__n=[{"uid": "q1", "games": [None, game]}])
    drawn = open_page(games_page(sources_of(tmp_path)), tmp_path)
    assert "Prompt of the judge in game 2</h2><pre" in drawn
