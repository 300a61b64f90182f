"""A process between ours and the server, so that the server never outlives us.

`main`, with the arguments PID GRACE RECORD -- COMMAND..., runs the command in a new session. It
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
from pathlib import Path

from arena.support.processes import adopt_orphans, end_descendants

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
    while (status := server.poll()) is None:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
        if 0 in ready:
            end_descendants(grace)
            return 0
    end_descendants(min(grace, AFTER_CRASH))
    return status


def main() -> None:
    parent, grace, record, _, *command = sys.argv[1:]
    status = keep(command, float(grace))
    ended, _, _ = select.select([0], [], [], 0)
    if record and ended and os.read(0, len(GOODBYE)) != GOODBYE:  # our parent was killed
        from arena.journals.batches import write_killed  # late: errors in it are harmless

        write_killed(Path(record), int(parent))
    sys.exit(status if status >= 0 else 128 - status)
