"""The lock of a journal: one writer at a time, across processes and nodes.

The lock is a file beside the journal, created with `link`, which is atomic on NFS too; `flock`
works within one node only on many cluster file systems. The file names its holder. `is_alive`
checks the holder: by its process, by Slurm, else by its heartbeat, the file's modification time
(by the file system's clock, since the nodes' clocks may differ).
"""

import contextlib
import errno
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arena.support import processes, slurm
from arena.support.errors import JournalError, os_errors_as

HEARTBEAT = 20.0  # s; cheap: it touches one small file
TRUSTED = 2 * HEARTBEAT  # s; a newer heartbeat counts as alive without asking Slurm
STALE = 300.0  # s; 15 missed heartbeats: longer than file server outages that jobs survive
# Slurm's states in which a job has processes.
RUNS = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "COMPLETING"}
GUARD_STALE = 60.0  # s; removing a stale lock takes milliseconds


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. machine: boot and pid namespace in which `pid` is valid. started: of the
    process, as `processes.started` returns it. cluster: where the Slurm job is."""

    host: str
    machine: str
    pid: int
    started: str
    slurm_job_id: str | None
    token: str
    cluster: str | None = None

    def __str__(self) -> str:
        job = f", Slurm job {self.slurm_job_id}" if self.slurm_job_id else ""
        return f"process {self.pid} on {self.host}{job}"


class Lock:
    """The lock of one journal; leaving its context releases it."""

    def __init__(self, journal: Path | str):
        journal = Path(journal)
        self.path = journal.with_name(f"{journal.name}.lock")
        self._me = Holder(
            host=socket.gethostname(),
            machine=processes.machine(),
            pid=os.getpid(),
            started=processes.started(os.getpid()) or "",
            slurm_job_id=os.environ.get("SLURM_JOB_ID"),
            token=secrets.token_hex(8),
            cluster=os.environ.get("SLURM_CLUSTER_NAME"),
        )
        self._stop = threading.Event()
        self._beat: threading.Thread | None = None
        self.lost = False

    def try_acquire(self, *, first: bool = True) -> Holder | None:
        """Take the lock if it is free or its holder is dead; else return the holder.

        first: whether this is the first try (see `is_alive`).
        """
        with os_errors_as(JournalError, f"{self.path}: the journal cannot be locked"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while not self._link(self.path):
                text = _read(self.path)
                if text is None:
                    continue  # released in between
                holder = _parse(text)
                if holder is None and _beats(self.path):
                    raise JournalError(f"{self.path}: not a valid lock; delete it if unused")
                if holder is not None and is_alive(holder, self.path, ask=first):
                    return holder
                self._remove_stale(text)
        self._beat = threading.Thread(target=self._heartbeat, daemon=True)
        self._beat.start()
        return None

    def acquire(self) -> None:
        if holder := self.try_acquire():
            raise JournalError(
                f"{self.path}: {holder} is using this journal. Nothing is lost: start again when "
                "it has ended"
            )

    def release(self) -> None:
        """Release the lock, unless another process has taken it over."""
        if self._beat is None:
            return  # never acquired
        self._stop.set()
        self._beat.join()
        self._beat = None
        with contextlib.suppress(OSError):  # others will see that this process has ended
            if read_holder(self.path) == self._me:
                self.path.unlink(missing_ok=True)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _heartbeat(self) -> None:
        missed = 0
        while not self._stop.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # the file server may be down
                holder = read_holder(self.path)
                missed = missed + 1 if holder is None else 0
                # Another took it over while this node was cut off. That the file is missing may
                # be a file server's error, once.
                if missed == 2 or (holder and holder != self._me):
                    self.lost = True
                    return
                if holder:
                    os.utime(self.path)

    def _link(self, target: Path) -> bool:
        temporary = self.path.with_name(f".{self.path.name}.{self._me.token}")
        try:
            temporary.write_bytes(msgspec.json.encode(self._me))
            os.link(temporary, target)
            return True
        except FileExistsError:
            # NFS may report this for our own link, if its first reply was lost.
            return temporary.stat().st_nlink == 2
        finally:
            temporary.unlink(missing_ok=True)

    def _remove_stale(self, text: str) -> None:
        """Remove a dead holder's lock: one process at a time, and only if it has not changed."""
        guard = self.path.with_name(f"{self.path.name}.guard")
        if not self._link(guard):
            with contextlib.suppress(FileNotFoundError):
                if _age(guard) > GUARD_STALE:
                    guard.unlink()
            time.sleep(0.05)  # another process is removing it
            return
        try:
            if _read(self.path) == text:
                self.path.unlink(missing_ok=True)
        finally:
            guard.unlink(missing_ok=True)


def read_holder(path: Path) -> Holder | None:
    """The holder of the lock; None where there is none or it cannot be read."""
    return _parse(_read(path) or "")


def is_alive(holder: Holder, path: Path, *, ask: bool = False) -> bool:
    """Whether the holder of the lock at `path` is alive.

    ask: ask Slurm even after a recent heartbeat, at the first try. Later tries do not: a hundred
    waiting jobs must not overload its controller.
    """
    if holder.machine == processes.machine():
        if start := processes.started(holder.pid):
            return start == holder.started
        if processes.has_ended(holder.pid):
            return False
    if not holder.slurm_job_id or holder.cluster != os.environ.get("SLURM_CLUSTER_NAME"):
        return _beats(path)
    if holder.slurm_job_id == os.environ.get("SLURM_JOB_ID"):
        return _beats(path, TRUSTED)  # our job before it was requeued, or a step on another node
    if not ask and _beats(path, TRUSTED):
        return True
    runs = slurm_job_runs(holder.slurm_job_id)
    return _beats(path) if runs is None else runs


def slurm_job_runs(job: str) -> bool | None:
    """Whether processes of the job may exist; None if Slurm cannot tell.

    It cannot for a pending job: it may have been requeued because its node is unreachable.
    """
    state, problem = slurm.ask_of_job(job, "%T", 20)  # s; a busy controller needs no longer
    if problem:
        return False if "Invalid job id" in problem else None
    if not state:
        return False
    return True if state in RUNS else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):  # NFS: another node removed it meanwhile
            return None
        raise


def _parse(text: str) -> Holder | None:
    with contextlib.suppress(ValueError):
        return msgspec.json.decode(text, type=Holder)
    return None


def _beats(path: Path, within: float = STALE) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return _age(path) < within
    return False


def _age(path: Path) -> float:
    """Seconds since the file was touched, by its file system's clock."""
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}.clock")
    probe.touch()
    try:
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink()
