"""Descendants of this process: find them, end them, and clean up after them.

A judge server is a tree of processes that falls apart: workers start sessions of their own,
children are orphaned when their parent is killed, shared memory stays. On Linux a process can
become the parent of all orphans below it (`adopt_orphans`); elsewhere they are lost.
"""

import ctypes
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
PROC = Path("/proc")
UNKILLED_SECONDS = 10.0  # a GPU driver needs seconds to free memory, or hangs for good


def put_first(*folders: Path) -> None:
    """Make this process and its children look for commands in these folders first."""
    others = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join([*map(str, folders), others])


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants (Linux only)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def started(pid: int) -> str | None:
    """Start time of a process, which with its pid identifies it; None if it has ended, or if it is
    another user's and hidden.
    """
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if not PROC.is_dir():
            return str(process.create_time())
        # Clock ticks since boot; psutil's time changes when the clock is set.
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    return None


def has_ended(pid: int) -> bool:
    """Whether it has ended. Another user's has not, also where `started` cannot see it because
    /proc hides it (mount option hidepid).
    """
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError) as error:
        return not isinstance(error, PermissionError)
    return started(pid) is None  # a zombie


def machine() -> str:
    """Id of the boot and the pid namespace (container) in which a pid is valid."""
    if not PROC.is_dir():
        return socket.gethostname()  # `started` distinguishes the processes of two boots
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"


def below(pid: int) -> list[psutil.Process]:
    """All processes below one, parents before children. Where /proc has hidepid=1, psutil's own
    `children` fails.
    """
    parents: dict[psutil.Process, int] = {}
    for one in psutil.pids():
        with suppress(psutil.Error):
            process = psutil.Process(one)
            parents[process] = process.ppid()
    found, level = list[psutil.Process](), {pid}
    while level:
        children = [process for process, parent in parents.items() if parent in level]
        found, level = found + children, {process.pid for process in children}
    return found


def descendants(*, other_sessions: bool = False) -> list[psutil.Process]:
    """Running processes below this one, parents before children. Reaps children that have ended.

    other_sessions: only those in other sessions, such as a judge, and not a `squeue` that another
    thread waits for.
    """
    found = []
    for process in below(os.getpid()):
        with suppress(psutil.Error, ProcessLookupError, ChildProcessError):  # it has ended
            if other_sessions and os.getsid(process.pid) == os.getsid(0):
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
            elif process.ppid() == os.getpid():
                os.waitpid(process.pid, os.WNOHANG)
    return found


def end_descendants(grace: float, *, other_sessions: bool = False) -> list[int]:
    """SIGTERM to all, after `grace` seconds SIGKILL; returns the pids that still run.

    Shared memory that they leave is removed.
    """
    left = descendants(other_sessions=other_sessions)
    memory = shared_memory(process.pid for process in left)
    _signal(left, signal.SIGTERM)
    kill_at, give_up_at = time.monotonic() + grace, math.inf
    while left:
        time.sleep(0.02)  # there is no event for "no descendant is left"
        left, now = descendants(other_sessions=other_sessions), time.monotonic()
        if now > give_up_at:
            break
        if now > kill_at:
            # Every time: a process may start another one before it gets the signal.
            memory |= shared_memory(process.pid for process in left)
            _signal(left, signal.SIGKILL)
            # From the first SIGKILL on: this process may have been suspended before.
            give_up_at = min(give_up_at, now + UNKILLED_SECONDS)
    for path in memory and memory - shared_memory(psutil.pids()):
        with suppress(OSError):  # another user's, or already removed
            path.unlink()
    return [process.pid for process in left]


def shared_memory(pids: Iterable[int]) -> set[Path]:
    """Files in /dev/shm that these processes write and share; not weights, which are only read."""
    found = set()
    for pid in pids:
        with suppress(OSError):  # it has ended, or is another user's
            for line in (PROC / str(pid) / "maps").read_text(errors="replace").splitlines():
                mapping, slash, name = line.partition(" /dev/shm/")
                if slash and " rw-s " in mapping and not name.endswith(" (deleted)"):
                    found.add(Path("/dev/shm") / name)
    return found


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
