"""Descendants of this process: find them, end them, and clean up after them.

A judge server is a tree of processes that falls apart: workers start sessions of their own,
children are orphaned when their parent is killed, shared memory stays. On Linux a process can
become the parent of all orphans below it (`adopt_orphans`); elsewhere they are lost.
"""

import ctypes
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
# In the command line of Python's resource tracker, which unlinks shared memory of dead processes
TRACKER = "from multiprocessing.resource_tracker import main"
TRACKER_SECONDS = 1.0  # it needs milliseconds
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
    """Start time of a process, which with its pid identifies it; None if it has ended."""
    with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if not PROC.is_dir():
            return str(process.create_time())
        # Clock ticks since boot; psutil's time changes when the clock is set.
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    return None


def machine() -> str:
    """Id of the boot and the pid namespace (container) in which a pid is valid."""
    if not PROC.is_dir():
        return socket.gethostname()  # `started` distinguishes the processes of two boots
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"


class Descendants:
    """Processes below this one. other_sessions: only those in other sessions, such as a judge, and
    not a `squeue` that another thread waits for.
    """

    def __init__(self, other_sessions: bool = False) -> None:
        self.other_sessions = other_sessions

    def running(self, but_trackers: bool = False) -> list[psutil.Process]:
        """Parents before children. Reaps our own children that have ended."""
        found = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error, ProcessLookupError, ChildProcessError):  # it has ended
                if self.other_sessions and os.getsid(process.pid) == os.getsid(0):
                    continue
                if process.status() == psutil.STATUS_ZOMBIE:
                    if process.ppid() == os.getpid():
                        os.waitpid(process.pid, os.WNOHANG)
                elif not (but_trackers and any(TRACKER in word for word in process.cmdline())):
                    found.append(process)
        return found

    def end(self, grace: float) -> list[int]:
        """SIGTERM to all, after `grace` seconds SIGKILL; returns the pids that still run.

        Python's resource trackers are ended last, because they clean up after the others. Shared
        memory that is still left is removed.
        """
        below = self.running()
        memory = shared_memory(process.pid for process in below)
        _signal(below, signal.SIGTERM)
        self._wait(grace, but_trackers=True)
        deadline = time.monotonic() + UNKILLED_SECONDS
        for but_trackers in (True, False):
            # In a loop: a process may start another one before it gets the signal.
            while left := self.running(but_trackers):
                memory |= shared_memory(process.pid for process in left)
                _signal(left, signal.SIGKILL)
                self._wait(0.2, but_trackers)
                if time.monotonic() > deadline:
                    break
            if but_trackers:
                self._wait(TRACKER_SECONDS)
        for path in memory and memory - shared_memory(psutil.pids()):
            with suppress(OSError):  # another user's, or already removed
                path.unlink()
        return [process.pid for process in self.running()]

    def _wait(self, seconds: float, but_trackers: bool = False) -> None:
        deadline = time.monotonic() + seconds
        while self.running(but_trackers) and time.monotonic() < deadline:
            time.sleep(0.02)  # there is no event for "no descendant is left"


def shared_memory(pids: Iterable[int]) -> set[Path]:
    """Files in /dev/shm that these processes have mapped."""
    found = set()
    for pid in pids:
        with suppress(OSError):  # it has ended, or is another user's
            for line in (PROC / str(pid) / "maps").read_text(errors="replace").splitlines():
                _, slash, name = line.partition(" /dev/shm/")
                if slash and not name.endswith(" (deleted)"):
                    found.add(Path("/dev/shm") / name)
    return found


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
