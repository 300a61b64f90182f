"""The monitor's page: what stands in it, and that it keeps what its reader chose."""

import re
import time
from dataclasses import replace

import pytest
from arena.campaign.problems import problems
from arena.campaign.status import Campaign, StatusReader
from arena.campaign.status_page import speeds, status_page
from arena.data.layout import Layout
from arena.pages.html import Page, Part, Tab, Table

from tests.browser import needs_chromium, open_page, use_page
from tests.synthetic import T0, attempt, journal_line, write_attempt, write_batch, write_journal


@pytest.fixture
def status(tmp_path):
    """Two models played at 1 game in 2 s each, by two jobs, the second of which failed."""
    root = tmp_path / "bench" / "judge"
    for number, (model, cause) in enumerate({"a<b>": None, "c": "disk full"}.items(), 1):
        former = attempt(-9999, 1, 5, -9000, run="q")  # the same batch in an earlier run
        record = attempt(0, 1, 5, 60 if cause else None, cause=cause, earlier=[former])
        write_batch(root, f"r-0{number}", [model], record, games={model: 40})
        lines = [journal_line(q, 0, T0 + 10 + 2 * q) for q in range(20)]
        write_journal(root, model, [*lines, journal_line(0, 1, T0 - 99)])  # of an earlier run
    return StatusReader(Campaign(Layout(root))).read(T0 + 59)


def page_of(status, refresh=None):
    return status_page(status, status.rows, problems(status), refresh)


def test_history_counts_the_games_of_the_run_by_job(status):
    """Stretches that are over: of the last one, which is not, nobody knows the speed."""

    def seen(status):
        found = speeds(status)
        return {
            one["batch"]: [p["speed"] for p in found if p["batch"] == one["batch"]] for one in found
        }

    each = [0, 0.5, 0.5, 0.5, 0.5]
    assert seen(status) == {"": [0, 1, 1, 1, 1], "r-01": each, "r-02": each}
    write_attempt(status.campaign.layout.root, "r-01", attempt(0, 1, 5, 58))
    assert seen(StatusReader(status.campaign).read(T0 + 9999))["r-01"] == each[:4]


def test_every_cell_has_a_heading_in_both_tabs(status):
    page = page_of(replace(status, stage=status))
    assert [tab.name for tab in page.tabs] == ["Judgments", "Answers"]
    for table in (part.table for tab in page.tabs for part in tab.parts if part.table):
        assert {len(row) for row in table.rows} == {len(table.columns)}
    assert "Answers" in [name for name, _ in table.columns]


def test_a_campaign_without_a_game_has_no_curve(tmp_path):
    root = tmp_path / "bench" / "answers"
    write_batch(root, "r-01", ["a"], attempt(0, 1, None, None), games={"a": 2})
    page = page_of(StatusReader(Campaign(Layout(root))).read(T0))
    assert (page.charts, page.title, page.tabs[0].name) == ([], "bench, answers", "Answers")
    assert "starting <b>1</b>" in page.html() and "nothing runs" not in page.html()


def test_the_page_says_what_the_monitor_says(status):
    page = page_of(status)
    text = page.html()
    assert re.search(r'grave">✗ batch r-02 on n1: disk full\nsee server.log', text)
    assert re.findall(r"<dt>([^<]+)<b>", text) == ["judging ", "failed "]
    assert 'title="a&lt;b&gt;: 21/40" style="--full:52.5%"' in text and 'data-v="21.0"' in text
    assert "<b>" not in re.sub(r"<b>[^<]*</b>", "", text.split("</style>")[1].split("<script>")[0])
    assert "location.reload" not in text.rpartition("<script>")[2]


@needs_chromium
def test_a_real_browser_draws_it_and_says_when_it_is_old(status, tmp_path):
    drawn = use_page(page_of(status, 1000).html(), tmp_path)
    assert "<svg" in drawn
    assert "the monitor that writes it has ended" in drawn
    page = page_of(status, 1000)
    page.written = time.time()
    assert "has ended" not in open_page(page.html(), tmp_path).split("<script>")[0]


@needs_chromium
def test_what_the_reader_chose_outlives_the_refresh(tmp_path):
    tables = [Table(("M",), [[f"m{number}"] for number in range(20)]) for _ in range(2)]
    page = Page("t", "", tabs=[Tab(f"t{n}", [Part(table=one)]) for n, one in enumerate(tables)])
    page.refresh = 1000
    script = """<script>if (!sessionStorage.getItem("kept:" + location.pathname)) {
      document.querySelectorAll("nav button")[1].click();
      const head = document.querySelectorAll("thead button")[1];
      head.click(); head.click();
      const search = document.querySelectorAll("input")[1];
      search.value = "7"; search.dispatchEvent(new Event("input"));
      keep(); location.reload();
    } else document.body.dataset.loads = "again";</script>"""
    drawn = open_page(page.html() + script, tmp_path)
    assert 'data-loads="again"' in drawn
    hidden, shown = drawn.split("<section")[1:]
    assert 'hidden=""' in hidden.split(">")[0]
    assert 'aria-sort="descending"' in shown
    assert re.findall(r"<tr><td[^>]*>(m\d+)<", shown) == ["m17", "m7"]
