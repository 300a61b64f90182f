"""Batches from their files, in the shapes that profiles and jobs write."""

import json
import os
import socket
import subprocess

import pytest
from arena.campaign.campaign import Campaign
from arena.campaign.problems import problems
from arena.campaign.status import StatusReader
from arena.campaign.status_json import as_json
from arena.costs.ledger import ledger
from arena.data.layout import Layout
from arena.journals.attempts import Attempt, AttemptLog, read_attempts, write_killed
from arena.journals.batches import newest_run, read_batches
from arena.journals.records import ModelStatus, Status, Stop, StopKind

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


def test_a_batch_with_two_attempts(tmp_path):
    write_batch(tmp_path, "run-01", ["a", "b"], games={"a": 8})
    first = attempt(0, 1, 20, 100, slurm_job_id="7", cause="walltime")
    second = attempt(200, 201, 220, None, slurm_job_id="8", earlier=[first])
    write_attempt(tmp_path, "run-01", second)
    (batch,) = read_batches(tmp_path)
    assert (batch.name, batch.run) == ("run-01", "run")
    assert (batch.models, batch.plan.games) == (("a", "b"), {"a": 8})
    assert [(one.job, one.failed) for one in batch.attempts] == [("7", True), ("8", False)]
    # 100 s and, still running, 400 s on two GPUs.
    assert batch.gpu_hours(T0 + 600) == pytest.approx(2 * 500 / 3600)


def test_a_batch_that_two_runs_ask_for(tmp_path):
    """Its hours are each run's own; each attempt says its walltime, which it cannot outlive."""
    write_batch(tmp_path, "0a1b2c3d", ["a"], run="r2", resources={})
    keys = {"gpus": 1, "node": "n9", "asked": {"runtime": 10}}
    first = attempt(0, 1, 5, 3600, run="r1", slurm_job_id="1", **keys)
    again = attempt(7200, 7201, 7205, None, run="r2", slurm_job_id="2", earlier=[first], **keys)
    write_attempt(tmp_path, "0a1b2c3d", again)
    (batch,) = read_batches(tmp_path)
    assert (batch.run, batch.gpu_hours(T0 + 9000, "r1")) == ("r2", 1)
    assert batch.gpu_hours(T0 + 9000, "r2") == pytest.approx(600 / 3600)


def test_a_late_end_of_a_killed_attempt_leaves_the_retrys_record_alone(tmp_path):
    """The keeper of a killed batch writes its end when the judge has ended, seconds later."""
    path = Layout(tmp_path).attempts("0a1b2c3d")
    AttemptLog(path, Attempt("0a1b2c3d", "r1", pid=11, start=T0))
    write_killed(path, 11)
    (killed,) = read_attempts(path)
    assert (killed.pid, killed.stop.kind) == (11, StopKind.KILLED)
    AttemptLog(path, Attempt("0a1b2c3d", "r1", pid=12, start=T0 + 60, ready=T0 + 90))
    before = path.read_bytes()
    write_killed(path, 11)  # of no attempt that still runs
    assert path.read_bytes() == before
    assert [one.pid for one in read_attempts(path)] == [11, 12]


def test_a_status_is_read_as_it_was_written(tmp_path):
    stop = Stop(StopKind.OPEN_GAMES, "3 games do not go through")
    models = {"a": ModelStatus(8, {"ok": 5, "unparsed": 1}, stop), "b": ModelStatus(4)}
    status = Status(T0, "ready", models, 7, "the judge is slow")
    path = tmp_path / "status.json"
    status.write(path)
    assert Status.read(path) == status
    assert status.models["a"].played == 6
    path.write_text('{"time": "' + iso(T0) + '", "models": {"a": {"games": "x"}, "b": 3}}')
    assert Status.read(path) == Status(T0, "", {"a": ModelStatus(0)})
    assert Status.read(tmp_path / "none.json") is None


def test_an_attempt_without_an_end_ends_with_its_walltime_or_the_next_one(tmp_path):
    """Slurm's SIGKILL leaves no time to write an end."""
    write_batch(tmp_path, "r-01", ["a"], resources={"gpus": 1, "runtime": 10})
    first = attempt(0, 1, 5, None, slurm_job_id="1", gpus=1)
    second = attempt(300, 301, 305, None, slurm_job_id="2", gpus=1)
    write_attempt(tmp_path, "r-01", second | {"earlier": [first]})
    (batch,) = read_batches(tmp_path)
    assert [one.elapsed(T0 + 400) for one in batch.attempts] == [300, 100]
    assert [one.elapsed(T0 + 9999) for one in batch.attempts] == [300, 2 * 600]
    write_attempt(tmp_path, "r-02", attempt(0, 1, 5, None))  # no job, no limit
    assert read_batches(tmp_path)[1].attempts[0].elapsed(T0 + 9999) == 9999


def test_a_process_that_died_without_a_word_lived_as_long_as_its_logs_grew(tmp_path):
    """kill -9 of a whole run; or its client stopped before a judge, and its keeper, was there."""
    process = subprocess.Popen(["sleep", "60"])
    here = {"node": socket.gethostname(), "pid": process.pid}
    write_batch(tmp_path, "r-01", ["a"], attempt(0, None, None, None, **here))
    for name, time in (("batch.json", T0), ("a.log", T0 + 250)):
        path = tmp_path / "logs" / "r-01" / name
        path.touch()
        os.utime(path, (time, time))

    def held():
        return read_batches(tmp_path)[0].attempts[0].elapsed(T0 + 9999)

    assert held() == 9999
    process.kill()
    process.wait()
    assert held() == 250


@pytest.mark.parametrize(("given", "gpus"), [(2, 2), (0, 0), (None, 5)])
def test_gpus_held_are_those_given_else_those_asked_for(tmp_path, given, gpus):
    write_batch(tmp_path, "run-01", ["a"], resources={"gpus": 5})
    write_attempt(tmp_path, "run-01", attempt(0, None, None, 3600, gpus=given))
    assert read_batches(tmp_path)[0].gpu_hours(T0) == gpus


def test_files_of_others_are_not_trusted(tmp_path):
    write_batch(tmp_path, "run-01", ["a"]).write_text("{torn")
    write_batch(tmp_path, "run-02", ["b"], {"start": "never", "restarts": None, "earlier": None})
    torn, odd = read_batches(tmp_path)
    assert torn.unreadable == (str(tmp_path / "batches/run-01.json"),)
    assert odd.attempts[0].start is None
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
def test_what_is_odd_is_unknown_and_no_error(tmp_path, which):
    """Each value of each file in turn."""
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


def test_newest_run(tmp_path):
    for name in ("20260101-000000-aa-01", "20260102-000000-bb-01", "20260102-000000-bb-02"):
        write_batch(tmp_path, name, ["a"])
    assert newest_run(read_batches(tmp_path)) == "20260102-000000-bb"
    assert newest_run([]) is None


def test_two_attempts_that_live_at_the_same_time_keep_each_other(tmp_path):
    """The job of a dead run plays on while the next run's job of the same batch waits for it."""
    path = Layout(tmp_path).attempts("0a1b2c3d")
    first = AttemptLog(path, Attempt("0a1b2c3d", run="r1", job="1", pid=8, start=T0))
    second = AttemptLog(path, Attempt("0a1b2c3d", run="r2", job="2", pid=8, start=T0 + 9))
    first.note(ready=T0 + 20)
    first.ended(None)
    second.note(first_game=T0 + 30)
    one, other = read_attempts(path)
    assert (one.job, one.ready, one.end is None) == ("1", T0 + 20, False)
    assert (other.job, other.first_game, other.end) == ("2", T0 + 30, None)
