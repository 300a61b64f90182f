"""What a campaign used: hours, times and tokens of known batches."""

import csv
import io
import math
import re
from unittest.mock import patch

import pytest
from arena.costs.ledger import COLUMNS, ledger, ledger_page, open_seconds
from arena.support import slurm

from tests.served import run_script
from tests.synthetic import T0, attempt, journal_line, write_attempt, write_batch, write_journal


@pytest.fixture
def root(tmp_path, monkeypatch):
    """01: two attempts, four games. 02: its judge never answered. 03: never began."""
    monkeypatch.setattr(slurm, "sacct", lambda _: ({}, None))
    first = attempt(0, 10, 40, 100, slurm_job_id="1", cause="walltime", restarts=[{"cause": "x"}])
    second = attempt(200, 205, 215, 300, slurm_job_id="2", earlier=[first])
    write_batch(tmp_path, "r-01", ["a", "b"], second)
    silent = attempt(0, 5, None, 65, slurm_job_id="3", cause="did not start")
    write_batch(tmp_path, "r-02", ["c"], silent)
    write_batch(tmp_path, "r-03", ["d"])
    a = [
        journal_line(0, 0, T0 - 50),  # of an earlier run, whose record is gone
        journal_line(1, 0, T0 + 60, seconds=10, attempts=2),  # open 50 to 60
        journal_line(1, 1, T0 + 65, seconds=10, state="unparsed"),  # open 55 to 65
        journal_line(2, 0, T0 + 90, attempts=0),  # taken over: nobody was asked
    ]
    write_journal(tmp_path, "a", a)
    b = [
        journal_line(1, 0, T0 + 250, seconds=10),
        journal_line(1, 1, T0 + 270, seconds=5, state="too_long", usage=(9, 0, 0)),
    ]
    write_journal(tmp_path, "b", b)
    return tmp_path


def rows_of(root, now=T0 + 1000, accounts=(), **keys):
    with patch.object(slurm, "sacct", lambda _: (dict(accounts), None)):
        return list(ledger(root, now, **keys).itertuples(index=False))


def test_rows(root):
    one, two, total = rows_of(root, price=2.5)
    assert (one.batch, one.models, one.jobs, one.restarts) == ("r-01", 2, 2, 1)
    assert one.gpu_hours == pytest.approx(2 * 200 / 3600)  # (100 s + 100 s) on two GPUs
    assert (one.start_s, one.busy_s, one.idle_s) == (40, 30, 130)
    assert (one.games, one.failures, one.retries) == (4, 2, 1)
    assert (one.prompt_tokens, one.cached_tokens, one.completion_tokens) == (309, 120, 60)
    assert one.games_per_hour == 480
    assert one.source == "record"
    assert one.cost == pytest.approx(2.5 * 2 * 200 / 3600, abs=1e-4)
    assert (two.start_s, two.busy_s, two.idle_s, two.games) == (60, 0, 5, 0)
    assert math.isnan(two.games_per_hour)
    assert (total.batch, total.models, total.games, total.start_s) == ("total", 3, 4, 100)
    assert total.gpu_hours == pytest.approx(2 * 265 / 3600)
    assert total.cost == pytest.approx(one.cost + two.cost)


def test_a_game_asked_again_is_counted_and_is_no_retry(root):
    again = journal_line(1, 1, T0 + 260, attempts=2)  # of a: it was unparsed in the first life
    other = journal_line(3, 1, T0 + 262, attempts=2).replace('"q3"', '"q1"')  # other settings
    write_journal(root, "a", [journal_line(1, 1, T0 + 65, state="unparsed"), again, other])
    one, _, total = rows_of(root)
    assert (one.games, one.asked_again, one.retries) == (5, 1, 1)
    assert total.asked_again == 1


def test_slurms_accounting_beats_the_record_where_it_is_whole(root):
    accounts = {"1": slurm.Account(110, 0.5), "2": slurm.Account(110, 0.25)}
    one, two, total = rows_of(root, accounts=accounts)
    assert (one.gpu_hours, one.source) == (0.75, "slurm")
    assert one.idle_s == 110 + 110 - 40 - 30  # the job is there before the server and after it
    assert (two.source, math.isnan(two.cost)) == ("record", True)
    assert total.source == "record+slurm"
    one, *_ = rows_of(root, accounts={"1": accounts["1"]})  # job 2 is not known there
    assert one.source == "record"
    here = attempt(400, 401, 402, 500)  # the rest of the batch, without Slurm
    job = attempt(0, 10, 40, 100, slurm_job_id="1")
    write_attempt(root, "r-01", here | {"earlier": [job]})
    one, *_ = rows_of(root, accounts=accounts)
    assert (one.gpu_hours, one.source) == (2 * 200 / 3600, "record")


def test_where_the_accounting_knows_no_gpus_those_asked_for_count(root):
    accounts = {job: slurm.Account(90, 0.0) for job in "12"}
    one, *_ = rows_of(root, accounts=accounts)
    assert (one.gpu_hours, one.source) == (2 * 180 / 3600, "slurm")
    write_attempt(root, "r-02", attempt(0, 5, None, 65, slurm_job_id="1", gpus=0))
    assert rows_of(root, accounts=accounts)[1].gpu_hours == 0


def test_a_model_of_two_runs_is_one_model(root):
    write_batch(root, "s-01", ["a", "b", "e"], attempt(400, None, None, 410))
    *rows, total = rows_of(root)
    assert ([row.models for row in rows], total.models) == ([2, 1, 3], 4)


def test_what_still_runs_counts_until_now(root):
    write_batch(root, "r-04", ["d"], attempt(0, 10, 20, None, gpus=1))
    row = rows_of(root, T0 + 3600)[-2]
    assert (row.gpu_hours, row.start_s, row.idle_s) == (1, 10, 3590)


def test_only_what_began_since(root):
    """Of a batch that a later run asked for again, what this one used."""
    former = attempt(0, 10, 40, 100)
    write_batch(root, "r-04", ["a"], attempt(400, 405, 410, 500, earlier=[former]))
    row, total = rows_of(root, since=T0 + 400)
    assert (row.batch, row.jobs, row.gpu_hours, row.games) == ("r-04", 1, 200 / 3600, 0)
    assert total.gpu_hours == row.gpu_hours
    assert len(rows_of(root, since=T0)) == 4


def test_a_game_is_of_the_attempt_that_began_last_whatever_was_planned_last(root):
    """Batch 5 was begun first, killed, and asked for again by a later run."""
    killed = attempt(0, 1, 5, None, slurm_job_id="8", run="s1")
    again = attempt(800, 801, 805, 900, slurm_job_id="10", earlier=[killed])
    write_batch(root, "05", ["z"], again, run="s2")
    write_batch(root, "06", ["z"], attempt(600, 601, 605, 700, slurm_job_id="9"), run="s1")
    write_journal(root, "z", [journal_line(q, 0, T0 + t) for q, t in enumerate((50, 650, 850))])
    games = {row.batch: row.games for row in rows_of(root)}
    assert (games["05"], games["06"]) == (2, 1)


NO_SLURM = {"PATH": ""}  # no sacct: a Slurm of this machine knows nothing of these jobs


def test_by_hand_it_has_the_runs_own_price_and_writes_both_files(root):
    write_batch(root, "r-04", ["a"], gpu_hour_cost=3)
    done = run_script("ledger.py", root, env=NO_SLURM)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t"))
    assert tuple(rows[0]) == COLUMNS
    assert [row["batch"] for row in rows] == ["r-01", "r-02", "total"]
    assert (rows[0]["gpu_hours"], rows[1]["games_per_hour"]) == ("0.1111", "")
    total = rows[-1]
    assert float(total["cost"]) == pytest.approx(3 * float(total["gpu_hours"]), abs=1e-3)
    assert (root / "ledger.tsv").read_text() == done.stdout
    assert first_cells((root / "ledger.html").read_text("utf-8")) == ["r-01", "r-02", "total"]


def test_a_mistyped_folder_is_not_made(tmp_path):
    done = run_script("ledger.py", tmp_path / "nosuch", env=NO_SLURM)
    assert done.returncode == 1
    assert done.stderr.startswith(f"ledger: {tmp_path}/nosuch: not a results folder")
    assert not (tmp_path / "nosuch").exists()


def test_no_campaign_is_an_empty_ledger(tmp_path):
    (total,) = rows_of(tmp_path)
    assert (total.batch, total.games, total.gpu_hours) == ("total", 0, 0)


@pytest.mark.parametrize(
    ("spans", "seconds"), [([], 0), ([(0, 5), (1, 2), (4, 6)], 6), ([(3, 4), (0, 1)], 2)]
)
def test_open_seconds(spans, seconds):
    assert open_seconds(spans) == seconds


def first_cells(html):
    return re.findall(r'<tr><td data-v="([^"]+)" class="word"', html)


def test_page_names_every_batch_and_escapes(root):
    html = ledger_page(ledger(root, T0 + 1000, 1), "Ledger: <b>").html()
    assert "<title>Ledger: &lt;b&gt;</title>" in html
    assert first_cells(html) == ["r-01", "r-02", "total"]
    assert re.search(">Source<(.|\n)*>record<", html)
    assert 'class="busy" style="width:15.0%" title="busy 30 s"' in html  # 30 of 200 s
    assert "Cost" in html
    assert "Cost" not in ledger_page(ledger(root, T0 + 1000), "").html()
    assert "http" not in html  # nothing is loaded from elsewhere
