"""Processes below this one: find them, end them, and leave nothing behind.

A judge server is a tree of processes that does not hold together: workers that move to sessions of
their own, children that are orphaned when their parent is killed, shared memory that outlives all
of them. On Linux a process can make itself the parent of every orphan below it (`adopt_orphans`),
so that the tree stays a tree; elsewhere only process groups are left to go by.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
PROC = Path("/proc")
# Python's own, by its command line: unlinks shared memory once those who use it are dead
TRACKER = b"from multiprocessing.resource_tracker import main"
TRACKER_SECONDS = 1.0  # it needs milliseconds
UNKILLED_SECONDS = 10.0  # a GPU's driver frees memory for seconds, or hangs for good


def adopt_orphans() -> bool:
    """Become the parent of orphans among the descendants; False where the system cannot (macOS)."""
    if not sys.platform.startswith("linux"):
        return False
    return ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def parents() -> dict[int, int]:
    """pid -> parent's pid of every process that runs; zombies are not among them."""
    if not PROC.is_dir():
        rows = (line.split() for line in _ps("-A", "-o", "pid=,ppid=,stat=").splitlines())
        return {int(pid): int(parent) for pid, parent, state, *_ in rows if state[0] != "Z"}
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                # "pid (name) state ppid ...", where a name may hold blanks and brackets
                state, parent = (entry / "stat").read_bytes().rpartition(b") ")[2].split()[:2]
                if state not in b"ZX":
                    found[int(entry.name)] = int(parent)
    return found


def started(pid: int) -> str | None:
    """When the process started, as its system puts it; None if it is gone or a zombie.

    With the number it names one process for good: numbers are given out again.
    """
    if not PROC.is_dir():
        said = _ps("-o", "stat=,lstart=", "-p", str(pid))
        state, _, start = said.strip().partition(" ")
        return None if not start or state[0] == "Z" else start.strip()
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]  # clock ticks since boot


def machine() -> str:
    """Where a process number means the same: this boot, this pid namespace (containers)."""
    if not PROC.is_dir():
        return socket.gethostname()  # `started` tells the processes of two boots apart
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"


def descendants(of: int) -> list[int]:
    """Running processes below `of`, parents before children."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found, front = [], [of]
    while front:
        front = [child for pid in front for child in children.get(pid, ())]
        found += front
    return found


def end_descendants(grace: float) -> list[int]:
    """End every process below this one; returns those that do not end.

    SIGTERM to all, after `grace` seconds SIGKILL, until none is left or 10 s of it have not helped.
    Python's resource trackers go last, as they tidy up after the others; shared memory that is
    left even so is removed.
    """
    memory = shared_memory(descendants(os.getpid()))
    _signal(descendants(os.getpid()), signal.SIGTERM)
    _wait_until_gone(grace, but_trackers=True)
    deadline = time.monotonic() + UNKILLED_SECONDS
    memory |= _kill(deadline, but_trackers=True)
    _wait_until_gone(TRACKER_SECONDS)
    memory |= _kill(deadline)
    for path in memory - shared_memory(parents()):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            path.unlink()
    return _below()


def _kill(deadline: float, but_trackers: bool = False) -> set[Path]:
    """Kill all below until none is left, or the time is up; returns their shared memory."""
    memory = set()
    # Again and again: a process may start another one between the look and the signal.
    while left := _below(but_trackers):
        memory |= shared_memory(left)
        _signal(left, signal.SIGKILL)
        _wait_until_gone(0.2, but_trackers)
        if time.monotonic() > deadline:
            break
    return memory


def shared_memory(pids: Iterable[int]) -> set[Path]:
    """Files in /dev/shm that these processes have mapped."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            for line in (PROC / str(pid) / "maps").read_text(errors="replace").splitlines():
                _, slash, name = line.partition(" /dev/shm/")
                if slash and not name.endswith(" (deleted)"):
                    found.add(Path("/dev/shm") / name)
    return found


def _ps(*options: str) -> str:
    """What `ps` prints of others than itself; nothing for a process that is gone."""
    command, plain = ["ps", *options], os.environ | {"LC_ALL": "C"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain) as ps:
        lines = ps.stdout.readlines()
    return "".join(line for line in lines if line.split()[:1] != [str(ps.pid)])


def _below(but_trackers: bool = False) -> list[int]:
    reap()
    return [pid for pid in descendants(os.getpid()) if not (but_trackers and _is_tracker(pid))]


def _is_tracker(pid: int) -> bool:
    try:
        return TRACKER in (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _wait_until_gone(seconds: float, but_trackers: bool = False) -> None:
    deadline = time.monotonic() + seconds
    while _below(but_trackers) and time.monotonic() < deadline:
        time.sleep(0.02)  # there is no event for "no descendant is left"


def reap() -> dict[int, int]:
    """Collect children that have ended: pid -> exit status, negative for a signal."""
    ended = {}
    with contextlib.suppress(ChildProcessError):  # no children
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended
