"""Pages of the report: what stands in them. How they look is for eyes: see docs/statistics.md."""

import html
import re

import plot_result as command
import pytest
from arena.pages.charts import curves, difference_matrix, intervals
from arena.pages.formats import comparison, write
from arena.pages.html import Page, Part, Tab, Table
from arena.pages.plot_result import curves_page, make_pages
from arena.ranking.intervals import question_weights
from arena.ranking.show_result import as_json, make_health
from arena.support.cli import run_command

from tests.browser import needs_chromium, open_page, use_page
from tests.judged import judgments, result_of, sources_of

NASTY = '=x<script>alert("1")</script>,y'


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages of a small campaign of two categories with checkpoints and a nasty name."""
    data = tmp_path_factory.mktemp("data")
    labels = ("A>B", "A=B", "B>A", "B>>A")
    for place, model in enumerate(("r-step1", "r-step2", "s-step1", NASTY)):
        lines = []
        for uid in range(12):
            first, second = labels[(uid + place) % 4], labels[(uid * place) % 4]
            games = [{"score": first, "toy": True}, {"score": second}]
            if uid == 7:
                games[1] = {"judgment": "</script> no verdict"}
            keys = {"category": "ab"[uid % 2], "model": model, "baseline": "base"}
            lines.append({"uid": str(uid), **keys, "games": games})
        judgments(data, **{f"j__m{place}": lines})
    return pages_of(data, rounds=20, steps=r"(?P<run>\w)-step(?P<step>\d)")[1]


def pages_of(data, **options):
    """The result of bench and judge j, and its pages."""
    result = result_of(data, **options)
    write(result, data)
    (data / "health.json").write_text(as_json(make_health(sources_of(data))))
    return result, make_pages(data)


def rows_of(page_html, section=0):
    """Texts of the first table's cells in a tab."""
    tab = page_html.split("<section")[section + 1]
    body = tab.split("<tbody>")[1].split("</tbody>")[0]
    rows = (re.findall("<td.*?</td>", row, re.S) for row in body.split("<tr")[1:])
    return [[html.unescape(re.sub("<[^>]+>", "", cell)) for cell in row] for row in rows]


NAMES = ["leaderboard", "intervals", "differences", "categories", "curves", "judge_health"]


def test_every_page_is_whole_and_loads_nothing(pages):
    assert list(pages) == NAMES
    for name, page in pages.items():
        text = page.html()
        assert "The demo judge is a toy" in text, name
        assert not re.search(r"""(src|href)=["']?(https?:|//)""", text), name
        assert text.count("<script") == text.count("</script>"), name
        assert ("vegaEmbed=" in text) == bool(page.charts), name


def test_strangers_text_is_text(pages):
    for page in pages.values():
        assert "<script>alert" not in page.html()
    assert html.escape(NASTY, quote=False).replace('"', "&#34;") in pages["leaderboard"].html()


def test_control_characters_are_shown_as_escapes():
    page = Page("a\x1bb", "", tabs=[Tab("t", [Part(text="\u202ec")])])
    chart = difference_matrix([], ["m\x9b"])
    page.tabs[0].parts.append(Part(chart=page.chart(chart)))
    assert r"a\x1bb" in page.html()
    assert not re.search("[\x1b\x9b\u202e]|u009b", page.html().split("<body>")[-1])


def test_the_leaderboards_rows(pages):
    text = pages["leaderboard"].html()
    assert re.findall(r'role="tab"[^>]*>([^<]+)<', text) == ["overall", "a", "b"]
    rows = rows_of(text)
    scores = {row[1]: float(row[2]) for row in rows}
    assert len(rows) == len(scores) == 5
    assert [*scores.values()] == sorted(scores.values(), reverse=True)
    assert scores["base (baseline)"] == 50
    (row,) = (row for row in rows if row[1] == "r-step1")
    assert sum(map(int, row[5].split(" · "))) == int(row[7]) == 22


def test_ranks_sort_by_the_best_and_then_the_worst_and_bars_by_their_score(pages):
    rows = pages["leaderboard"].tabs[0].parts[0].table.rows
    assert len(rows) == 5
    for ranks, _, score, _, bar, *_ in rows:
        best, _, worst = ranks.text.partition("–")
        assert ranks.key == pytest.approx(int(best) + int(worst or best) / 1e4)
        assert bar.key == score.key == bar.bar[0] == pytest.approx(float(score.text), abs=0.05)


def test_charts_hold_the_numbers(pages):
    overall = pages["differences"].charts[0]
    lines = overall["data"]["values"].splitlines()
    assert len(lines) == 1 + 20, "two lines a pair of five"
    assert lines[0] == "model,other,difference,lower,upper,questions,told_apart,p_adjusted"
    assert {line.count("script") for line in lines[1:]} == {0, 2}, "a name that is quoted in CSV"
    curve = pages["curves"].charts[0]
    values = curve["data"]["values"]
    assert [(point["run"], point["step"]) for point in values] == [("r", 1), ("r", 2), ("s", 1)]
    overall = pages["categories"].charts[1]
    shares = [one["share"] for one in overall["data"]["values"] if one["model"] == "r-step2"]
    assert sum(shares) == pytest.approx(1)


def test_a_dot_marks_what_differences_csv_does_not_tell_apart():
    """By all pairs at once, though the pair's own interval leaves out 0."""
    pair = {"model": "a", "other": "b", "difference": 0.5, "questions": 9, "p_adjusted": 0.3}
    pair |= {"lower": 0.01, "upper": 9.0, "told_apart": "no"}
    values = difference_matrix([pair], ["a", "b"]).to_dict()["data"]["values"].splitlines()
    assert values[0].split(",")[-2:] == ["told_apart", "p_adjusted"]
    assert values[1:] == ["a,b,0.5,0.0,9.0,9,no,0.3", "b,a,-0.5,-9.0,-0.0,9,no,0.3"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, for variances of one resample
def test_unknown_bounds_are_dashes(tmp_path):
    """A single resample that draws no question: the score is known, its interval is not."""
    line = {"uid": "1", "games": [{"score": "A>B"}, {"score": "A>B"}]}
    judgments(tmp_path, j__s1=[line], j__s2=[line], k__s1=[line], k__s2=[line])
    seed = next(seed for seed in range(99) if not question_weights(["1"], 1, seed).any())
    options = {"judges": ("j", "k"), "steps": r"(?P<step>\d)"}
    result, pages = pages_of(tmp_path, rounds=1, seed=seed, **options)
    pair = comparison(result, ["s1", "s2"]).splitlines()[1]
    assert pair.split()[3:] == ["+0.0", "-", "1", "-", "-", "no"]
    rows = rows_of(pages["leaderboard"].html())
    assert [row[:4] for row in rows[1:]] == [["1–3", f"s{n}", "50.0", "–"] for n in (1, 2)]
    assert [row[3:] for row in rows_of(pages["curves"].html())] == [["50.0", "–"]] * 2
    assert [row[1:] for row in rows_of(pages["judges"].html())] == [["50.0"] * 4] * 2
    assert "s1,s2,0.0,,,1.0,no," in pages["differences"].charts[0]["data"]["values"]


def test_categories_without_a_verdict_have_no_empty_charts(tmp_path):
    """Vega draws them infinitely high."""
    played = {"x": {"score": "A>B"}, "y": {"judgment": "no verdict"}}
    lines = [{"uid": c, "category": c, "games": [game, game]} for c, game in played.items()]
    _, pages = pages_of(judgments(tmp_path, j__m=lines), rounds=9)
    expected = {"intervals": ["overall", "x"], "categories": ["side by side", "overall", "x"]}
    for name, tabs in expected.items():
        drawn = [tab.name for tab in pages[name].tabs if tab.parts[0].chart is not None]
        assert (drawn, len(pages[name].charts)) == (tabs, len(tabs))
    _, pages = pages_of(judgments(tmp_path, j__m=lines[1:]), rounds=9)
    assert pages["intervals"].charts == pages["categories"].charts == []


def test_a_model_without_a_rank_has_a_dash():
    """Style control does not know the style of its answers."""
    row = {"model": "m", "is_baseline": False, "best_rank": None, "worst_rank": None}
    row |= {"score": 50.0, "lower": 45.0, "upper": 60.0, "questions": 9, "games": 18}
    assert intervals([row], 0.9).to_dict()["layer"][1]["data"]["values"][0]["ranks"] == "–"


def test_large_steps_are_written_in_full():
    point = {"category": "c", "run": "r", "step": 1234567.0, "model": "m", "score": 50.0}
    row = {"category": "c", "model": "m", "score": 50.0, "is_baseline": False}
    board = {"categories": {"c": {}}, "rows": [row], "level": 0.9, "notes": []}
    about = {"bench": "b", "judges": ["j"], "ci": "questions", "control_features": []}
    board |= about | {"rule": "v2.0", "weight": 3, "rounds": 9, "seed": 1}
    page = curves_page(board, [point | {"lower": 45.0, "upper": 60.0}])
    assert rows_of(page.html())[0][1] == "1,234,567"


def test_mistakes_are_explained(tmp_path, capsys):
    assert run_command("plot_result", lambda: command.main([str(tmp_path)])) == 1
    assert "leaderboard.json: no such file; run show_result.py --out" in capsys.readouterr().err


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_a_browser_draws_every_tab_without_console_messages(pages, tmp_path, name):
    drawn = use_page(pages[name].html(), tmp_path)
    assert drawn.count("<svg") >= len(pages[name].charts)


def test_a_model_that_is_on_no_curve_is_named(pages):
    text = pages["curves"].html()
    note = re.search(r'<div class="note">(Not on a curve[^<]*)<', text)[1]
    assert html.unescape(note).endswith(f": {NASTY}")
    assert "r-step1" not in note


POINTS = [
    {"run": f"run{run:02}", "step": step, "model": f"run{run:02}-step{step}", "category": "c"}
    | {"score": 40 + run, "lower": 35 + run, "upper": 45 + run}
    for run in range(12)
    for step in (1, 2)
]


def test_more_runs_than_colours_get_a_plot_each():
    many, few = (curves([p for p in POINTS if p["run"] < f"run{n:02}"], 0.9) for n in (9, 8))
    facet = many.to_dict()["facet"]
    assert (facet["field"], facet["sort"]) == ("run", [f"run{run:02}" for run in range(9)])
    colours = few.to_dict()["layer"][1]["encoding"]["color"]["scale"]["range"]
    assert len(set(colours)) == 8


def test_every_row_of_a_matrix_has_its_name():
    names = [f"m{number}" for number in range(150)]
    axis = difference_matrix([], names).to_dict()["layer"][0]["encoding"]["y"]["axis"]
    assert (axis["labelOverlap"], axis["labelLimit"]) == (False, 0)


# A page in a frame as wide as a telephone, which Chromium's own window cannot be.
FRAME = """<iframe style="width:400px;height:900px" srcdoc="PAGE"></iframe><script>
const waiting = setInterval(() => {
  const page = document.querySelector("iframe").contentDocument;
  const chart = page.querySelector("svg.marks")?.getBoundingClientRect().width;
  if (!chart) return;
  clearInterval(waiting);
  document.body.dataset.seen = page.documentElement.scrollWidth + " " + Math.round(chart);
}, 50);
</script>"""


@needs_chromium
def test_pages_fit_a_telephone(tmp_path):
    """The page never scrolls sideways, and charts of names of usual length fit as well."""
    models = [f"tulu3-8b-run{number}-step{number}000" for number in range(5)]
    known = {"score": 50, "lower": 45.0, "upper": 60.0, "is_baseline": False}
    known |= {"best_rank": 1, "worst_rank": 5, "questions": 9, "games": 18}
    rows = [{"model": model, **known} for model in models]
    page = Page("t" * 90, "about")
    page.tabs = [Tab("c", [Part(chart=page.chart(intervals(rows, 0.9), models))])]
    drawn = open_page(FRAME.replace("PAGE", html.escape(page.html())), tmp_path)
    wide, chart = map(int, re.search(r'data-seen="(\d+) (\d+)"', drawn).groups())
    assert wide <= 400
    assert 300 < chart <= 376, "the page's margins are 12 pixels"


@needs_chromium
def test_tables_are_sorted_and_searched(tmp_path):
    """What is not known stays last either way, and the total below all."""
    ids = ("10", "1f3", "1e5")  # of which only some look like numbers
    rows = [[ids[place % 3], f"m{(7 * place) % 20}", place or None] for place in range(20)]
    table = Table(("ID", "M", "N"), [*rows, ["", "all 7", 99]], total=True)
    script = """<script>for (const [clicked, shown] of [[0, 1], [2, 2], [2, 2]]) {
      document.querySelectorAll("thead button")[clicked].click();
      const cells = [...document.querySelectorAll(`tr td:nth-child(${shown})`)];
      document.body.append(`@${cells.map(cell => cell.innerText).join(" ")}@`); }</script>"""
    drawn = use_page(Page("t", "", tabs=[Tab("t", [Part(table=table)])]).html() + script, tmp_path)
    up = [name for _, name, _ in rows[1:]]
    orders = [" ".join([*names, "m0", "all 7"]) for names in (up[::-1], up)]
    by_id, *by_number = re.findall(r"@(\w[^@{]+)@", drawn)
    assert by_id.split() == ["1e5"] * 6 + ["1f3"] * 7 + ["10"] * 7
    assert by_number == orders
    # The last click was on N, ascending, after which only names with a 7 are shown.
    shown = re.findall(r"<tr>.*?<td[^>]*>(m\d+)</td>", drawn.split("<tbody>")[1])
    assert shown == ["m7", "m17"]
    assert drawn.count('<tr hidden="">') == 18


def test_the_page_of_the_judges_health(pages):
    text = pages["judge_health"].html()
    assert "Picks the first answer" in text
    assert "&lt;/script&gt; no verdict" in text
    assert re.findall(r'role="tab"[^>]*>([^<]+)<', text) == [], "one judge, no answers: one tab"
    labels = pages["judge_health"].charts[0]["data"]["values"]
    for place in ("A is the baseline", "A is the model"):
        assert sum(one["share"] for one in labels if one["game"] == place) == pytest.approx(1)
    assert re.search(r'card[^"]* alarm">No verdict<b>4.2 %', text), "4 of 96 deserve a look"
