"""Batches from their files, in the shapes that profiles and jobs write."""

import json
import os
import socket
import subprocess

import pytest
from arena.campaign.problems import problems
from arena.campaign.status import Campaign, StatusReader
from arena.campaign.status_page import as_json
from arena.costs.ledger import ledger
from arena.data.layout import Layout
from arena.journals.batches import Attempt, AttemptLog, read_attempts, read_batches, write_killed
from arena.journals.records import ModelStatus, Status, Stop, StopKind
from arena.support import slurm

from tests.served import eventually
from tests.synthetic import (
    T0,
    attempt,
    iso,
    journal_line,
    write_attempt,
    write_batch,
    write_journal,
    write_status,
)


def test_a_batch_that_two_runs_ask_for(tmp_path):
    """Its hours are each run's own; each attempt says its walltime, which it cannot outlive."""
    write_batch(tmp_path, "0a1b2c3d", ["a", "b"], run="r2", games={"a": 8})
    keys = {"gpus": 1, "node": "n9", "asked": {"runtime": 10}}
    first = attempt(0, 1, 5, 3600, run="r1", slurm_job_id="1", cause="too late", **keys)
    again = attempt(7200, 7201, 7205, None, run="r2", slurm_job_id="2", earlier=[first], **keys)
    write_attempt(tmp_path, "0a1b2c3d", again)
    (batch,) = read_batches(tmp_path)
    assert (batch.name, batch.models, batch.plan.games) == ("0a1b2c3d", ("a", "b"), {"a": 8})
    assert [(one.job, bool(one.stop)) for one in batch.attempts] == [("1", True), ("2", False)]
    assert (batch.run, batch.gpu_hours(T0 + 9000, "r1")) == ("r2", 1)
    assert batch.gpu_hours(T0 + 9000, "r2") == pytest.approx(600 / 3600)


def test_a_late_end_of_a_killed_attempt_leaves_the_retrys_record_alone(tmp_path):
    """The keeper of a killed batch writes its end when the judge has ended, seconds later."""
    path = Layout(tmp_path).attempts("0a1b2c3d")
    first = AttemptLog(path, Attempt("0a1b2c3d", "r1", pid=11, start=T0))
    write_killed(path, 11)
    (killed,) = read_attempts(path)
    assert (killed.pid, killed.stop.kind) == (11, StopKind.KILLED)
    AttemptLog(path, Attempt("0a1b2c3d", "r1", pid=12, start=T0 + 60, ready=T0 + 90))
    before = path.read_bytes()
    write_killed(path, 11)  # of no attempt that still runs
    assert path.read_bytes() == before
    first.ended(None)
    ended, retry = read_attempts(path)
    assert (ended.pid, retry.pid, retry.ready, retry.end) == (11, 12, T0 + 90, None)


def test_a_status_is_read_as_it_was_written(tmp_path):
    stop = Stop(StopKind.OPEN_GAMES, "3 games do not go through")
    models = {"a": ModelStatus(8, {"ok": 5, "unparsed": 1}, stop), "b": ModelStatus(4)}
    status = Status(T0, "ready", models, 7, "the judge is slow")
    path = tmp_path / "status.json"
    status.write(path)
    assert Status.read(path) == status
    assert status.models["a"].played == 6
    path.write_text('{"time": "' + iso(T0) + '", "models": {"a": {}}, "of_a_later_version": 3}')
    assert Status.read(path) == Status(T0, "", {"a": ModelStatus(0)})
    assert Status.read(tmp_path / "none.json") is None


def test_an_attempt_without_an_end_ends_with_its_walltime_or_the_next_one(tmp_path):
    """Slurm's SIGKILL leaves no time to write an end."""
    write_batch(tmp_path, "r-01", ["a"])
    first = attempt(0, 1, 5, None, slurm_job_id="1", asked={"runtime": 10})
    second = attempt(300, 301, 305, None, slurm_job_id="2", asked={"runtime": 20})
    write_attempt(tmp_path, "r-01", second | {"earlier": [first]})
    (batch,) = read_batches(tmp_path)
    assert [one.elapsed(T0 + 400) for one in batch.attempts] == [300, 100]
    assert [one.elapsed(T0 + 9999) for one in batch.attempts] == [300, 2 * 600]
    write_batch(tmp_path, "r-02", ["a"], attempt(0, 1, 5, None))  # no job, no limit
    assert read_batches(tmp_path)[1].attempts[0].elapsed(T0 + 9999) == 9999


def test_a_killed_process_ended_at_the_last_write_to_its_logs(tmp_path):
    """kill -9 of a whole run; or its client stopped before a judge, and its keeper, was there."""
    process = subprocess.Popen(["sleep", "600"])
    here = {"node": socket.gethostname(), "pid": process.pid}
    write_batch(tmp_path, "r-01", ["a"], attempt(0, None, None, None, **here))
    for name, time in (("batch.json", T0), ("a.log", T0 + 250)):
        path = tmp_path / "logs" / "r-01" / name
        path.touch()
        os.utime(path, (time, time))

    def held():
        return read_batches(tmp_path)[0].attempts[0].elapsed(T0 + 9999)

    assert held() == 9999
    process.kill()  # a zombie: nobody has waited for it
    eventually(lambda: held() == 250)
    process.wait()


def test_unreadable_records_raise_no_error(tmp_path):
    write_batch(tmp_path, "run-01", ["a"]).write_text("{torn")
    write_batch(tmp_path, "run-02", ["b"], {"start": 1e20})
    torn, odd = read_batches(tmp_path)
    assert torn.unreadable == (str(tmp_path / "batches/run-01.json"),)
    assert odd.unreadable == (str(tmp_path / "logs/run-02/batch.json"),)
    assert odd.gpu_hours(T0) == 0


ODD = [None, -1, 1.5, 10**400, "x", "2026-13-45T99:99", [[1]], {"a": 1}, True, float("nan")]


def places_of(value):
    """Container and key of all that a JSON value holds."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places_of(value[key])


@pytest.mark.parametrize(
    "which",
    ["batches/r-01.json", "logs/r-01/batch.json", "logs/r-01/status.json", "validation.json"],
)
def test_odd_values_raise_no_error(tmp_path, monkeypatch, which):
    """Each value of each file in turn."""
    monkeypatch.setattr(slurm, "sacct", lambda _: ({}, None))
    write_batch(tmp_path, "r-01", ["a"], games={"a": 8}, gpu_hour_cost=2.5)
    first = attempt(0, 1, 5, 50, cause="walltime", restarts=[{"cause": "died"}])
    write_attempt(tmp_path, "r-01", attempt(60, 61, 65, None, earlier=[first], pid=1))
    write_journal(tmp_path, "a", [journal_line(1, 0)])
    stop = ("open_games", "3 games do not go through")
    write_status(tmp_path, "r-01", T0 + 70, {"a": (8, {"ok": 1}, stop)}, remark="slow", open=3)
    row = {"model": "a", "questions": 9, "answers": 5, "state": "incomplete", "reason": "4 missing"}
    (tmp_path / "validation.json").write_text(json.dumps({"models": [row]}))
    path = tmp_path / which
    told = [json.loads(path.read_text())]
    for place, key in places_of(told):
        sound = place[key]
        for place[key] in ODD:
            path.write_text(json.dumps(told[0]))
            status = StatusReader(Campaign(Layout(tmp_path))).read(T0 + 100)
            json.dumps(as_json(status, status.rows, problems(status)))
            ledger(tmp_path, T0 + 100, 2.5)
        place[key] = sound


def test_two_attempts_at_the_same_time_keep_each_others_records(tmp_path):
    """The job of a dead run plays on while the next run's job of the same batch waits for it."""
    path = Layout(tmp_path).attempts("0a1b2c3d")
    first = AttemptLog(path, Attempt("0a1b2c3d", run="r1", job="1", pid=8, start=T0))
    second = AttemptLog(path, Attempt("0a1b2c3d", run="r2", job="2", pid=8, start=T0 + 9))
    first.note(ready=T0 + 20)
    first.ended(None)
    second.note(launched=T0 + 30)
    one, other = read_attempts(path)
    assert (one.job, one.ready, one.end is None) == ("1", T0 + 20, False)
    assert (other.job, other.launched, other.end) == ("2", T0 + 30, None)


def test_starts_of_all_servers_of_an_attempt_count(tmp_path, monkeypatch):
    """A batch of answers serves one checkpoint after the other."""
    log = AttemptLog(Layout(tmp_path).attempts("0a1b2c3d"), Attempt("0a1b2c3d", start=T0))
    for now, ready in ((1, 11), (60, None), (65, 70)):  # the second never becomes ready
        monkeypatch.setattr("time.time", lambda now=now: T0 + now)
        log.launched()
        if ready:
            log.note(ready=T0 + ready)
    (attempt,) = read_attempts(log.path)
    assert attempt.starting(T0 + 90) == 10 + 5 + 5
