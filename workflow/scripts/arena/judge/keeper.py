"""Stands between the supervisor and the judge, so that the judge never outlives the supervisor.

`python -m arena.judge.keeper SUPERVISOR GRACE RECORD SERVER_FILE -- COMMAND...` starts the
command in a session of its own and ends when the command ends, or when standard input is closed: by
the supervisor (its pid) that wants the judge to end, or by the system because the supervisor was
killed (`kill -9`, which Snakemake uses on a service when one of its consumers fails). In both cases
everything below is ended first, whatever session it has moved to. The exit status is the command's;
128 + N for a signal N.

A supervisor that ends in order writes one byte before it closes the pipe. Without that byte the
keeper does what the supervisor no longer can: it removes the server file, which holds a key, and
writes the end into batch.json. By then a retry may have its own in their place, since a judge needs
seconds to end: those are left alone.

Only the standard library, and no thread: it must stand when all else falls.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from arena.support.processes import adopt_orphans, end_descendants, reap

AFTER_CRASH = 2.0  # what a dead judge leaves behind has nothing to finish


def keep(command: list[str], grace: float) -> tuple[int, bool]:
    """Run a command until it ends or standard input does.

    Returns its exit status, and whether the supervisor was killed.
    """
    adopt_orphans()
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, so that the pipe is written to
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A signal to all processes of a job reaches the supervisor too, and it decides.
        signal.signal(number, lambda *_: None)
    judge = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    said, closed = b"", False
    while not closed:
        status = reap().get(judge.pid)
        if status is not None:
            break
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
        if 0 in ready:
            word = os.read(0, 64)
            said, closed = said + word, not word
    if closed:
        status = None
    end_descendants(grace if closed else min(grace, AFTER_CRASH))
    if status is None:
        status = judge.poll()
    return (0 if status is None else status), closed and not said


def write_end(supervisor: int, record: Path, server_file: Path) -> None:
    """Do what a killed supervisor, told by its pid, left undone."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(server_file.read_text()).get("pid") == supervisor:
            server_file.unlink()
    with contextlib.suppress(OSError, ValueError):
        entry = json.loads(record.read_text())
        if entry.get("pid") == supervisor and not entry.get("end"):
            end = datetime.now(UTC).isoformat(timespec="seconds")
            entry |= {"end": end, "cause": "the supervisor was killed"}
            record.write_text(json.dumps(entry, indent=1) + "\n")


def main() -> None:
    supervisor, grace, record, server_file, _, *command = sys.argv[1:]
    status, orphaned = keep(command, float(grace))
    if orphaned:
        write_end(int(supervisor), Path(record), Path(server_file))
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
