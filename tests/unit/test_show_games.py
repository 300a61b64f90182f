"""The page of games: what is chosen, and that strangers' text stays text."""

import json
import re

import pytest
import show_games
from arena.pages.games_page import games_page
from arena.ranking.show_result import Sources

from tests.browser import needs_chromium, use_page
from tests.synthetic import write_jsonl

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
        write_jsonl(bench / "model_judgment" / "j" / f"{model[-1]}.jsonl", lines)
    for model in ("m", "n", "base"):
        texts = ({"answer": f"{model} says {uid}"} for uid in range(40))
        lines = [{"uid": f"q{u}", "messages": [{"content": text}]} for u, text in enumerate(texts)]
        write_jsonl(bench / "model_answer" / f"{model}.jsonl", lines)
    questions = [{"uid": f"q{uid}", "category": "a", "prompt": f"Why {uid}?"} for uid in range(40)]
    write_jsonl(bench / "question.jsonl", questions)
    return tmp_path


def sources(data):
    return Sources.find(bench="bench", judges=["j"], data_dir=data)


def page_data(text):
    return json.loads(re.search(r"^const data = (.*);$", text, re.MULTILINE)[1])


def find_pairs(data, model=None, **options):
    pairs = page_data(games_page(sources(data), **options))["pairs"]
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


def test_of_a_question_with_two_lines_one_is_shown(data):
    file = data / "bench" / "model_judgment" / "j" / "n.jsonl"
    games = ([{"score": "A>B"}, {"score": label}] for label in ("B>A", "A>B"))
    write_jsonl(file, [{"uid": "q1", "model": "n", "baseline": "base", "games": g} for g in games])
    for each in (1, 2):
        (pair,) = find_pairs(data, "n", each=each)
        assert pair["games"][1]["label"] == "A>B", "the last line, which also counts in scores"


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
    assert found["answers"]["base"]["q9"] == "base says 9"
    assert found["questions"]["q9"] == "Why 9?"


def test_long_texts_keep_their_end_and_a_sample_stays_small(data):
    file = data / "bench" / "model_judgment" / "j" / "n.jsonl"
    long = {"score": None, "judgment": {"answer": "again " * 50_000 + "[[A>B]]"}}
    write_jsonl(file, [{"uid": "q1", "model": "n", "baseline": "base", "games": [long, long]}])
    text = games_page(sources(data))
    assert len(text) < 60_000
    assert "again [[A\\u003eB]]" in text


def test_without_answers_the_judges_prompt_is_shown(data):
    file = data / "bench" / "model_judgment" / "j" / "n.jsonl"
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "the whole prompt"}]
    games = [{"score": one, "prompt": prompt} for one in PLAIN]
    write_jsonl(file, [{"uid": "q1", "model": "n", "games": games}])
    (data / "bench" / "model_answer" / "n.jsonl").unlink()
    text = games_page(sources(data))
    prompts = [one["prompt"] for one in page_data(text)["pairs"] if one["model"] == "n"]
    assert prompts == ["the whole prompt"]
    assert '<div class="note">no answers of n' in text


@needs_chromium
def test_a_browser_shows_texts_as_they_are(data, tmp_path):
    drawn = use_page(games_page(sources(data)), tmp_path)
    assert "<title>Games</title>" in drawn, "no script of a reply has run"
    assert drawn.count("<img") == 0
    # Searched for a 7: one of the questions that have it, with texts as they were written.
    assert re.search(r'id="place">1 of [1-9]<', drawn)
    shown = drawn.split('<div id="pair">')[1].split("</section>")[0]
    assert re.search(r"[mn] says \d*7<", shown)
    assert "&lt;/script&gt;&lt;script&gt;document.title" in shown
