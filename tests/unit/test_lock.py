"""The lock of a journal: one holder, no dead holder, between processes and between nodes."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import arena.journals.lock
import psutil
import pytest
from arena.journals.lock import STALE, TRUSTED, Lock, is_alive, read_holder, slurm_job_runs
from arena.support import processes
from arena.support.errors import JournalError

from tests.served import eventually

HOLD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from arena.journals.lock import Lock\n"
    "lock = Lock(sys.argv[2]); print(lock.try_acquire(), flush=True); sys.stdin.read()\n"
    "lock.release()"
)


@pytest.fixture
def journal(tmp_path) -> Path:
    return tmp_path / "games" / "model.jsonl"


@pytest.fixture
def hold(project):
    """Start processes that hold a lock until their standard input is closed."""
    with contextlib.ExitStack() as stack:

        def start(journal: Path) -> subprocess.Popen:
            command = [sys.executable, "-c", HOLD, project / "workflow" / "scripts", journal]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout.readline() == "None\n"
            return process

        yield start


def elsewhere(journal: Path, age: float = 0.0, **changes) -> Path:
    """A lock whose holder is on another node, its last heartbeat `age` seconds ago."""
    plain = {"host": "n2", "machine": "another/boot", "pid": 7, "started": "1", "token": "theirs"}
    path = Lock(journal).path
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(plain | {"slurm_job_id": None} | changes))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_second_client_is_told_who_holds_it_and_gets_it_after(journal, hold):
    process = hold(journal)
    with Lock(journal) as lock:
        with pytest.raises(JournalError, match=f"process {process.pid} on"):
            lock.acquire()
        assert lock.try_acquire().pid == read_holder(lock.path).pid == process.pid
        process.communicate()  # closes its input: it releases
        assert lock.try_acquire() is None
    assert list(journal.parent.iterdir()) == []


def test_a_lock_does_not_outlive_a_killed_holder(journal, hold):
    """Nor while it is a zombie."""
    process, lock = hold(journal), Lock(journal)
    process.kill()
    eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert not is_alive(read_holder(lock.path), lock.path)
    process.wait()
    with lock:
        assert lock.try_acquire() is None


def test_a_process_number_that_was_given_away_is_not_the_holder(journal, hold):
    process, lock = hold(journal), Lock(journal).path
    plain = json.loads(lock.read_text()) | {"started": "1"}
    lock.write_text(json.dumps(plain))
    assert process.poll() is None
    assert not is_alive(read_holder(lock), lock)


def test_without_proc_the_system_is_asked_who_lives(journal, monkeypatch, tmp_path):
    """As on macOS."""
    monkeypatch.setattr(processes, "PROC", tmp_path / "none")
    with subprocess.Popen(["sleep", "60"]) as sleeper, Lock(journal) as ours:
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
        ("echo REQUEUE_HOLD", None),
        ("true", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", None),
    ],
)
def test_slurm_knows_whether_a_job_lives(squeue, script, runs):
    squeue(script)
    assert slurm_job_runs("17") is runs


JOB = {"slurm_job_id": "17"}
GONE = '[ "$3" = 17 ] || echo RUNNING'  # all jobs run but this one


@pytest.mark.parametrize(
    ("changes", "age", "script", "first", "lives"),
    [
        # In seconds, not in the module's terms: two writers are worse than minutes of waiting.
        ({}, 240, None, True, True),
        ({}, 330, None, True, False),
        (JOB, 0, GONE, False, True),
        (JOB, 0, GONE, True, False),  # its heart beats, but Slurm knows better
        (JOB, TRUSTED + 20, GONE, False, False),
        (JOB, 330, "echo RUNNING", False, True),
        (JOB, 240, None, True, True),  # without Slurm the heartbeat decides
        (JOB, 330, None, True, False),
    ],
)
def test_a_holder_on_another_node_lives_by_slurm_or_by_its_heart(
    squeue, monkeypatch, journal, changes, age, script, first, lives
):
    if script:
        squeue(script)
    else:
        monkeypatch.setenv("PATH", "/nonexistent")
    elsewhere(journal, age, **changes)
    with Lock(journal) as lock:
        assert (lock.try_acquire(first=first) is not None) is lives


def test_who_waits_asks_slurm_once_while_the_heart_beats(tmp_path, squeue, journal):
    elsewhere(journal, **JOB)
    squeue(f"echo asked >> {tmp_path}/calls; echo RUNNING")
    for first in (True, False, False):
        assert Lock(journal).try_acquire(first=first) is not None
    assert (tmp_path / "calls").read_text() == "asked\n"


@pytest.mark.parametrize("ours", ["b", None])
def test_another_clusters_slurm_is_not_believed(squeue, monkeypatch, journal, ours):
    """Two clusters on one file system: the number of a job there is nobody's here, or another's."""
    squeue("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    if ours:
        monkeypatch.setenv("SLURM_CLUSTER_NAME", ours)
    for age, lives in ((0, True), (STALE + 30, False)):
        lock = elsewhere(journal, age, cluster="a", **JOB)
        assert is_alive(read_holder(lock), lock, ask=True) is lives


def test_a_requeued_job_does_not_wait_for_its_earlier_life(monkeypatch, journal):
    lock = elsewhere(journal, **JOB)  # on another node, its heart beat a moment ago
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert not is_alive(read_holder(lock), lock)


def test_the_heart_beats_and_notices_a_lock_that_was_taken(journal, monkeypatch):
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


def test_a_foreign_file_in_the_place_of_the_lock_is_not_removed(journal):
    lock = Lock(journal)
    lock.path.parent.mkdir(parents=True)
    lock.path.write_text("hands off")
    with pytest.raises(JournalError, match="not a valid lock"):
        lock.try_acquire()
    assert lock.path.read_text() == "hands off"


def test_what_a_crashed_node_left_of_a_lock_is_removed_when_it_is_old(journal):
    lock = Lock(journal)
    lock.path.parent.mkdir()
    lock.path.touch()
    os.utime(lock.path, (time.time() - STALE - 30,) * 2)
    with lock:
        assert lock.try_acquire() is None


def test_a_read_only_folder_is_an_error(journal):
    journal.parent.write_text("a file")
    with pytest.raises(JournalError, match="cannot be locked"):
        Lock(journal).try_acquire()


def test_only_the_very_lock_that_was_found_stale_is_removed(journal):
    """A contender that was slow to act must not remove the lock of a quicker one."""
    lock = Lock(journal)
    with Lock(journal) as dead:
        assert dead.try_acquire() is None
        stale = lock.path.read_text()
    with Lock(journal) as quicker:
        assert quicker.try_acquire() is None
        lock._remove_stale(stale)
        assert quicker.is_ours()


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


def test_a_crowd_never_holds_it_twice(journal, project, tmp_path):
    """Six processes take the lock 25 times each, two more die with it in their hands."""
    library = project / "workflow" / "scripts"
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, library, journal, tmp_path / "held", *(["die"] * (n < 2))],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(8)
    ]
    for process in crowd:
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in crowd]
    assert ends == [("", 9)] * 2 + [("", 0)] * 6


def test_a_lock_of_an_earlier_version_is_read(journal):
    """Its jobs may still play when the new one starts; it wrote other keys."""
    with Lock(journal) as lock:
        assert lock.try_acquire() is None
        plain = json.loads(lock.path.read_text()) | {"batch": "b1", "state": "waiting"}
        del plain["cluster"]
        lock.path.write_text(json.dumps(plain))
        assert Lock(journal).try_acquire() is not None
        assert lock.is_ours()
