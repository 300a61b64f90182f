"""Processes below one are found and ended, with all that they leave behind."""

import mmap
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
from arena.support.processes import adopt_orphans, descendants, end_descendants
adopt_orphans()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
name, orphan = child.stdout.readline().strip(), int(child.stdout.readline())
below = [process.pid for process in descendants()]
assert {child.pid, orphan} <= set(below), (child.pid, orphan, below)
print(name, end_descendants(grace=0.3), descendants())
"""


def run(*program: str, before: Sequence[str] = ()) -> str:
    command = [*before, sys.executable, "-c", *program]
    env = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@adopts_orphans
def test_orphans_and_shared_memory_are_gone():
    name, unkilled, left = run(ENDS_IT, MAKES_SHARED_MEMORY).split(maxsplit=2)
    assert (unkilled, left.strip()) == ("[]", "[]")
    assert not (Path("/dev/shm") / name).exists()


OTHER_SESSIONS = """
import os, subprocess
from arena.support.processes import descendants, end_descendants
ours = subprocess.Popen(["sh", "-c", "sleep 0.5; exit 3"])  # as a squeue of another thread
theirs = subprocess.Popen(["sleep", "600"], start_new_session=True)
assert [process.pid for process in descendants(other_sessions=True)] == [theirs.pid]
assert end_descendants(5.0, other_sessions=True) == []
assert ours.wait() == 3  # neither ended nor collected
assert descendants() == []
"""
# As if it hung in a driver: no signal reaches it.
UNDYING = """
import subprocess, sys
from arena.support import processes
processes.UNKILLED_SECONDS = 0.3
child = subprocess.Popen(["sleep", "600"])
really, processes._signal = processes._signal, lambda processes, number: None
assert processes.end_descendants(0.1) == [child.pid]
processes._signal = really
processes.UNKILLED_SECONDS = 300
assert processes.end_descendants(0.1) == []
"""


# In a mount that only this program sees. Other users' processes cannot be read there.
NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"
HIDES = f'mount -t proc -o hidepid=1 proc /proc && exec {NOBODY} "$@"'


@pytest.mark.parametrize("before", [(), ("unshare", "-m", "sh", "-c", HIDES, "sh")])
def test_what_our_own_session_does_is_left_alone(before):
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import arena.support.processes"
    if before and os.system(shlex.join([*before, sys.executable, "-c", code])):
        pytest.skip("needs root, and a Python and scripts that every user can read")
    run(OTHER_SESSIONS, before=before)


def test_what_does_not_end_is_named():
    run(UNDYING)


@adopts_orphans
def test_weights_in_memory_that_are_only_read_are_kept():
    """Such as those that a user has copied to /dev/shm; a process that is gone has none."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
            assert Path(file.name) not in shared_memory([os.getpid(), 2**22 + 1])
