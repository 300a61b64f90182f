"""A process between ours and the server, so that the server never outlives us.

`python -m arena.judge.keeper PID GRACE RECORD -- COMMAND...` runs the command in a new session. It
ends when the command ends or when its standard input is closed. To stop the server, our process
(PID) writes GOODBYE and closes the pipe. If it was killed (`kill -9`), the system closes the pipe
without GOODBYE, and the keeper writes the end of the attempt into RECORD. In both cases all
processes below are ended first, in any session. The exit status is the command's, 128 + N for a
signal N, or 0 if the server was stopped.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from arena.support.processes import Descendants, adopt_orphans

GOODBYE = b"."
AFTER_CRASH = 2.0  # s of grace for the remaining processes of a dead server


def keep(command: list[str], grace: float) -> int:
    """Run a command until it or the standard input ends; returns the exit status."""
    adopt_orphans()
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    # With a handler, a signal only wakes the loop below. A signal that ends the whole job also
    # reaches our parent, which then decides.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while (status := reap().get(server.pid)) is None:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
        if 0 in ready:
            Descendants().end(grace)
            return 0
    Descendants().end(min(grace, AFTER_CRASH))
    return status


def reap() -> dict[int, int]:
    """Collect children that have ended: pid -> exit status, negative for a signal."""
    ended = {}
    with suppress(ChildProcessError):  # no children
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    return ended


def was_killed() -> bool:
    """Whether our parent was killed: then the pipe is closed, without GOODBYE."""
    ended, _, _ = select.select([0], [], [], 0)
    return bool(ended) and os.read(0, len(GOODBYE)) != GOODBYE


def main() -> None:
    parent, grace, record, _, *command = sys.argv[1:]
    status = keep(command, float(grace))
    if record and was_killed():
        from arena.journals.attempts import write_killed  # late: errors in it are harmless

        write_killed(Path(record), int(parent))
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
