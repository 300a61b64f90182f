"""`snakemake --report report.html`: one file with every page, opened in a real browser."""

import json
import re

from tests.browser import needs_chromium, open_page, use_page


@needs_chromium
def test_the_report_is_one_file_that_opens_offline(judged, tmp_path):
    judged.run("--report", "report.html")
    report = judged.dir / "report.html"
    text = report.read_text(encoding="utf-8")
    for title in ("1. Table of scores", "3. Who is better than whom", "Is the judge sound?"):
        assert title in text
    for page in ("leaderboard", "intervals", "differences", "categories", "judge_health"):
        assert re.search(rf'report/{page}.html": {{', text), page
    # Snakemake's own style sheet says that it is not meant for production; nothing else may speak.
    assert "The demo judge is a toy" in open_page(text, tmp_path, ignored="tailwindcss")


@needs_chromium
def test_every_page_works_without_console_messages(judged, tmp_path):
    for page in (judged.root / "report").glob("*.html"):
        use_page(page.read_text(encoding="utf-8"), tmp_path)


def test_the_toy_is_named_in_every_output(judged):
    for name in (
        "leaderboard.txt",
        "leaderboard.md",
        "leaderboard.json",
        "health.txt",
        "ledger.html",
    ):
        assert "The demo judge is a toy" in (judged.root / name).read_text(), name
    for page in (judged.root / "report").glob("*.html"):
        assert "The demo judge is a toy" in page.read_text(encoding="utf-8"), page


def test_the_command_gives_what_the_rule_wrote(judged):
    """The same numbers by hand as by the workflow, from the judgments alone."""
    done = judged.tool(
        "show_result.py",
        *("--judgments-dir", "results/model_judgment", "-b", "arena-demo", "-j", "demo-judge"),
        *("--out", "by-hand"),
    )
    assert "Category: overall" in done.stdout
    ours = (judged.dir / "by-hand" / "leaderboard.csv").read_text()
    assert ours == (judged.root / "leaderboard.csv").read_text()


def test_other_weights_make_another_leaderboard_and_judge_nothing(judged):
    judged.configure(leaderboard={"weight": 1, "steps": None})
    tables = {"show_result", "judge_health", "plot_result", "enough_verdicts"}
    assert judged.planned().keys() == {"default", *tables}


def test_ranks_tokens_and_votes_as_the_config_asks(judged):
    """What the command takes as options."""
    asked = {"ranks": "marginal", "tokens": True, "ci": "unanchored", "rule": "v0.1"}
    judged.configure(leaderboard=asked | {"rounds": 50})
    judged.run("show_result")
    found = json.loads((judged.root / "leaderboard.json").read_text())
    assert {key: found[key] for key in ("ranks", "ci", "rule")}.items() <= asked.items()
    assert all(row["avg_tokens"] > 0 for row in found["rows"])
    assert "for all models at once" not in (judged.root / "leaderboard.txt").read_text()
