"""The main process hears of a judge that cannot start, and of a budget that is used up."""

import threading
from pathlib import Path

import pytest
from arena.campaign import early_stop
from arena.client.budget import SpentMark
from arena.judge.server_records import BatchRecord, FailedStart


def judge_fails(root: Path, run: str) -> None:
    record = BatchRecord(root / f"logs/{run}-01/batch.json", f"{run}-01", 2, root / "server.log")
    FailedStart(root, run).write("no such weights", record)


def budget_ends(root: Path, run: str) -> None:
    SpentMark(root, run).write("the budget of this run is used up: 8 games")


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (judge_fails, "the judge does not start: no such weights (seen by batch r1-01"),
        (budget_ends, "the budget of this run is used up: 8 games"),
    ],
)
def test_cause_reaches_the_main_process(tmp_path: Path, monkeypatch, happens, words) -> None:
    monkeypatch.setattr(early_stop, "LOOK", 0.01)
    (tmp_path / "batches").mkdir()
    heard, told = threading.Event(), []
    early_stop.watch_for_early_stop(tmp_path, "r1", lambda why: (told.append(why), heard.set()))
    happens(tmp_path, "r2")  # another run
    assert not heard.wait(0.1)
    happens(tmp_path, "r1")
    assert heard.wait(60)
    assert len(told) == 1
    assert told[0].startswith(words)
