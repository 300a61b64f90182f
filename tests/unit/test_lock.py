"""The lock of a journal: one holder, no dead holder, between processes and between nodes."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import arena.journals.lock
import psutil
import pytest
from arena.journals.lock import STALE, TRUSTED, Lock, is_alive, read_holder, slurm_job_runs
from arena.support import processes
from arena.support.errors import JournalError

from tests.served import SCRIPTS, eventually

HOLD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from arena.journals.lock import Lock\n"
    "lock = Lock(sys.argv[2]); print(lock.try_acquire(), flush=True); sys.stdin.read()\n"
    "lock.release()"
)


@pytest.fixture
def journal(tmp_path) -> Path:
    return tmp_path / "games" / "model.jsonl"


@pytest.fixture
def holder(journal):
    """A process that holds the lock until its standard input is closed."""
    command, pipe = [sys.executable, "-c", HOLD, SCRIPTS, journal], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "None\n"
        yield process
        process.kill()


NEW = -100.0  # s; the age of a heartbeat that stays new, however slow the test is


def elsewhere(journal: Path, age: float = NEW, **changes) -> Path:
    """A lock whose holder is on another node, its last heartbeat `age` seconds ago."""
    plain = {"host": "n2", "machine": "another/boot", "pid": 7, "started": "1", "token": "theirs"}
    path = Lock(journal).path
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(plain | {"slurm_job_id": None} | changes))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_second_client_is_told_who_holds_it_and_gets_it_after(journal, holder, monkeypatch):
    with Lock(journal) as lock:
        with pytest.raises(JournalError, match=f"process {holder.pid} on"):
            lock.acquire()
        found = lock.try_acquire()
        assert found.pid == read_holder(lock.path).pid == holder.pid
        reused = dataclasses.replace(found, started="1")  # its process id, by a later process
        assert not is_alive(reused, lock.path)
        with monkeypatch.context() as patch:  # another user's, hidden in /proc
            patch.setattr(os, "kill", Mock(side_effect=PermissionError))
            patch.setattr(psutil, "Process", Mock(side_effect=psutil.AccessDenied))
            assert lock.try_acquire() == found
        holder.communicate()  # closes its input: it releases
        assert lock.try_acquire() is None
    assert list(journal.parent.iterdir()) == []


def test_a_lock_does_not_outlive_a_killed_holder(journal, holder):
    """Nor while it is a zombie."""
    holder.kill()
    eventually(lambda: psutil.Process(holder.pid).status() == psutil.STATUS_ZOMBIE)
    with Lock(journal) as lock:
        assert not is_alive(read_holder(lock.path), lock.path)
        holder.wait()
        assert lock.try_acquire() is None


def test_without_proc_psutil_says_which_processes_run(journal, monkeypatch, tmp_path):
    """As on macOS."""
    monkeypatch.setattr(processes, "PROC", tmp_path / "none")
    with subprocess.Popen(["sleep", "600"]) as sleeper, Lock(journal) as ours:
        assert ours.try_acquire() is None
        holder = read_holder(ours.path)
        assert (holder.machine, holder.started) == (holder.host, processes.started(os.getpid()))
        assert holder.started == str(psutil.Process().create_time())
        assert Lock(journal).try_acquire() == holder
        assert not is_alive(dataclasses.replace(holder, started="before"), ours.path)
        assert processes.started(sleeper.pid)
        sleeper.kill()
        eventually(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE)
        assert processes.started(sleeper.pid) is None
    assert processes.started(sleeper.pid) is None


def test_released_and_taken_again_between_two_looks(journal, monkeypatch):
    """A contender finds the lock held, gone when it reads it, and then held by another."""
    first, second = Lock(journal), Lock(journal)
    assert first.try_acquire() is None
    read = Path.read_text

    def late(path, **options):
        if path != second.path:
            return read(path, **options)
        monkeypatch.undo()
        first.release()
        try:
            return read(path, **options)
        finally:
            assert second.try_acquire() is None

    monkeypatch.setattr(Path, "read_text", late)
    with second:
        assert Lock(journal).try_acquire().token == second._me.token


@pytest.mark.parametrize(
    ("script", "runs"),
    [
        ("echo RUNNING", True),
        ("echo SUSPENDED", True),
        ("echo PENDING", None),
        ("true", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", None),
    ],
)
def test_slurm_knows_whether_a_job_runs(squeue, script, runs):
    squeue(script)
    assert slurm_job_runs("17") is runs


JOB = {"slurm_job_id": "17"}
THEIRS = JOB | {"cluster": "a"}  # of two clusters on one file system: the number means nothing here
GONE = '[ "$3" = 17 ] || echo RUNNING'  # all jobs run but this one
HERE = {"SLURM_JOB_ID": "17"}
IN_B = HERE | {"SLURM_CLUSTER_NAME": "b"}


@pytest.mark.parametrize(
    ("changes", "age", "script", "first", "ours", "lives"),
    [
        # In seconds, not in the module's terms: two writers are worse than minutes of waiting.
        ({}, 240, None, True, {}, True),
        ({}, 330, None, True, {}, False),
        (JOB, NEW, GONE, False, {}, True),  # Slurm is asked at the first try only
        (JOB, NEW, GONE, True, {}, False),  # its heart beats, but Slurm knows better
        (JOB, TRUSTED + 20, GONE, False, {}, False),
        (JOB, 330, "echo RUNNING", False, {}, True),
        (JOB, 240, None, True, {}, True),  # without Slurm the heartbeat decides
        (JOB, 330, None, True, {}, False),
        (JOB, TRUSTED + 20, "echo RUNNING", True, HERE, False),  # ours, before it was requeued
        (JOB, NEW, "echo RUNNING", True, HERE, True),  # another step of our allocation
        (THEIRS, NEW, GONE, True, IN_B, True),
        (THEIRS, 330, "echo RUNNING", True, IN_B, False),
    ],
)
def test_a_remote_holder_is_alive_by_slurm_or_by_heartbeat(
    squeue, monkeypatch, journal, changes, age, script, first, ours, lives
):
    if script:
        squeue(script)
    else:
        monkeypatch.setenv("PATH", "/nonexistent")
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    elsewhere(journal, age, **changes)
    with Lock(journal) as lock:
        assert (lock.try_acquire(first=first) is not None) is lives


def test_the_heartbeat_notices_a_lock_taken_by_another(journal, monkeypatch):
    monkeypatch.setattr(arena.journals.lock, "HEARTBEAT", 0.01)
    with Lock(journal) as lock:
        assert lock.try_acquire() is None
        os.utime(lock.path, (0, 0))
        eventually(lambda: lock.path.stat().st_mtime > 0)
        assert not lock.lost
        elsewhere(journal)
        eventually(lambda: lock.lost)
        before = lock.path.read_bytes()
    assert lock.path.read_bytes() == before  # left to its new holder


def test_a_lock_is_lost_when_it_is_not_there_twice_in_a_row(journal, monkeypatch):
    """Once may be the file server's error."""
    looks = iter([None, "ours", None, None])
    seen = []

    def look(path):
        seen.append(next(looks))
        return seen[-1] and read_holder(path)

    monkeypatch.setattr(arena.journals.lock, "HEARTBEAT", 0.01)
    with Lock(journal) as lock:
        monkeypatch.setattr(arena.journals.lock, "read_holder", look)
        assert lock.try_acquire() is None
        eventually(lambda: lock.lost)
        monkeypatch.undo()
    assert len(seen) == 4


def test_a_file_in_the_place_of_the_lock_is_removed_only_when_it_is_old(journal):
    """What a crashed node left of a lock; a new one may be of others."""
    lock = Lock(journal)
    lock.path.parent.mkdir(parents=True)
    lock.path.write_text("hands off")
    with pytest.raises(JournalError, match="not a valid lock"):
        lock.try_acquire()
    assert lock.path.read_text() == "hands off"
    os.utime(lock.path, (time.time() - STALE - 30,) * 2)
    with lock:
        assert lock.try_acquire() is None


def test_only_the_lock_that_was_found_stale_is_removed(journal):
    """A contender that was slow to act must not remove the lock of a quicker one."""
    lock = Lock(journal)
    with Lock(journal) as dead:
        assert dead.try_acquire() is None
        stale = lock.path.read_text()
    with Lock(journal) as quicker:
        assert quicker.try_acquire() is None
        lock._remove_stale(stale)
        assert read_holder(lock.path) == quicker._me


def test_one_contender_at_a_time_removes_a_dead_lock(journal):
    """Another is at it, so we keep off; one that died at it holds nobody up."""
    lock = Lock(journal)
    guard = lock.path.with_name(f"{lock.path.name}.guard")
    with Lock(journal) as dead:
        assert dead.try_acquire() is None
        stale = lock.path.read_text()
        guard.touch()
        lock._remove_stale(stale)
        assert lock.path.exists()
        os.utime(guard, (0, 0))
        lock._remove_stale(stale)
        lock._remove_stale(stale)
        assert not lock.path.exists()
    assert not guard.exists()


RACE = (
    "import sys, os; sys.path.insert(0, sys.argv[1]); from arena.journals.lock import Lock\n"
    "sys.stdin.readline()\n"
    "lock = Lock(sys.argv[2])\n"
    "for _ in range(25):\n"
    "    while lock.try_acquire() is not None: pass\n"
    "    held = os.open(sys.argv[3], os.O_CREAT | os.O_EXCL)\n"
    "    os.close(held); os.unlink(sys.argv[3])\n"
    "    if len(sys.argv) > 4: os._exit(9)\n"
    "    lock.release()\n"
)


def test_many_processes_never_hold_it_twice(journal, tmp_path):
    """Six processes take the lock 25 times each, two more die with it in their hands."""
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, SCRIPTS, journal, tmp_path / "held", *(["die"] * (n < 2))],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(8)
    ]
    for process in crowd:
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [(process.communicate(timeout=600)[1], process.returncode) for process in crowd]
    assert ends == [("", 9)] * 2 + [("", 0)] * 6
