"""The main process hears of a judge that cannot start."""

import threading
from pathlib import Path

from arena.campaign import early_stop
from arena.serving.server_records import BatchRecord, FailedStart


def test_cause_reaches_the_main_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(early_stop, "LOOK", 0.01)
    (tmp_path / "batches").mkdir()
    heard, told = threading.Event(), []
    early_stop.watch_for_failed_start(
        tmp_path, "r1", lambda cause: (told.append(cause), heard.set())
    )
    record = BatchRecord(tmp_path / "logs/r2-01/batch.json", "r2-01", 2, tmp_path / "server.log")
    FailedStart(tmp_path, "r2").write("of another run", record)
    assert not heard.wait(0.1)
    FailedStart(tmp_path, "r1").write("no such weights", record)
    assert heard.wait(5)
    assert len(told) == 1
    assert told[0].startswith("no such weights")
