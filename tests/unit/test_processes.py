"""Processes below one are found and ended, with all that they leave behind."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from arena.support.processes import shared_memory

from tests.served import SCRIPTS, adopts_orphans

MAKES_SHARED_MEMORY = """
import os, signal, sys, time
from multiprocessing import resource_tracker, shared_memory
made = shared_memory.SharedMemory(create=True, size=4096)
resource_tracker.unregister(made._name, "shared_memory")  # as when its tracker is killed with it
print(made.name, flush=True)
if os.fork():
    time.sleep(3600)
os.setsid()
if os.fork():
    os._exit(0)  # the grandchild is an orphan now
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(3600)
"""
ENDS_IT = """
import subprocess, sys
from arena.support.processes import Descendants, adopt_orphans
adopt_orphans()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
name, orphan = child.stdout.readline().strip(), int(child.stdout.readline())
all = Descendants()
below = [process.pid for process in all.running()]
assert {child.pid, orphan} <= set(below), (child.pid, orphan, below)
print(name, orphan, all.end(grace=0.3), all.running())
"""


def run(*program: str) -> str:
    command = [sys.executable, "-c", *program]
    env = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@adopts_orphans
def test_orphans_and_shared_memory_are_gone():
    name, orphan, unkilled, left = run(ENDS_IT, MAKES_SHARED_MEMORY).split(maxsplit=3)
    assert (unkilled, left.strip()) == ("[]", "[]")
    assert not (Path("/dev/shm") / name).exists()
    assert not psutil.pid_exists(int(orphan))


OTHER_SESSIONS = """
import os, subprocess
from arena.support.processes import Descendants
ours = subprocess.Popen(["sh", "-c", "sleep 0.5; exit 3"])  # as a squeue of another thread
theirs = subprocess.Popen(["sleep", "600"], start_new_session=True)
assert [process.pid for process in Descendants(other_sessions=True).running()] == [theirs.pid]
assert Descendants(other_sessions=True).end(grace=5.0) == []
assert ours.wait() == 3  # neither ended nor collected
assert Descendants().running() == []
"""
# As if it hung in a driver: no signal reaches it.
UNDYING = """
import subprocess, sys
from arena.support import processes
processes.UNKILLED_SECONDS = 0.3
child = subprocess.Popen(["sleep", "600"])
really, processes._signal = processes._signal, lambda processes, number: None
assert processes.Descendants().end(grace=0.1) == [child.pid]
processes._signal = really
assert processes.Descendants().end(grace=0.1) == []
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(OTHER_SESSIONS, id="what our own session does is left alone"),
        pytest.param(UNDYING, id="what does not end is named"),
    ],
)
def test_all_below_is_ended(program):
    run(program)


def test_shared_memory_of_a_process_that_is_gone_is_none():
    assert shared_memory([2**22 + 1]) == set()
