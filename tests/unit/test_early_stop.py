"""The main process hears of a judge that cannot start, and of a budget that is used up."""

import signal
import threading
from pathlib import Path

import pytest
from arena.batch import early_stop
from arena.data.layout import Layout
from arena.journals.records import RunStop, StopKind


@pytest.mark.parametrize("kind", [kind for kind in StopKind if kind.ends_run])
def test_cause_reaches_the_main_process_once(tmp_path: Path, monkeypatch, kind) -> None:
    monkeypatch.setattr(early_stop, "POLL", 0.01)
    heard, told = threading.Event(), []
    roots = [tmp_path / "answers", tmp_path]
    early_stop.watch_for_early_stop(roots, "r1", lambda why: (told.append(why), heard.set()))
    cause = RunStop(kind, "no such weights", "0a1b2c3d", "n1", "server.log")
    cause.write(Layout(tmp_path).run_stop("r2"))  # of another run
    assert not heard.wait(0.1)
    cause.write(Layout(tmp_path).run_stop("r1"))
    assert heard.wait(60)
    assert told == [cause]


def test_the_handler_of_sigterm_may_wait_for_what_the_main_thread_holds(tmp_path, monkeypatch):
    """As Snakemake's does: it selects jobs under a lock that its handler takes as well."""
    monkeypatch.setattr(early_stop, "POLL", 0.01)
    lock, stopped = threading.Lock(), threading.Event()

    def handler(*_: object) -> None:
        if lock.acquire(timeout=30):
            stopped.set()

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with lock:
            Layout(tmp_path).run_stop("r1").parent.mkdir()
            RunStop(StopKind.BUDGET, "used up").write(Layout(tmp_path).run_stop("r1"))
            watching = threading.Event()
            early_stop.watch_for_early_stop(
                [tmp_path], "r1", lambda _: (watching.set(), early_stop.submit_nothing_more())
            )
            assert watching.wait(60)
        assert stopped.wait(60)
    finally:
        signal.signal(signal.SIGTERM, before)
