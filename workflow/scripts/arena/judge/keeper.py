"""Stands between our process and the judge, so that the judge never outlives us.

`python -m arena.judge.keeper PID GRACE RECORD -- COMMAND...` starts the command in a session of its
own and ends when the command ends, or at the end of standard input: the process (its pid) that
wants the judge to end writes GOODBYE and closes it; where that process was killed (`kill -9`), the
system closes it without a word. In both cases everything below is ended first, whatever session it
has moved to. The exit status is the command's; 128 + N for a signal N; 0 where we ended it.

Without a word the keeper writes the end of the attempt into its record.
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
AFTER_CRASH = 2.0  # s; what a dead judge leaves behind has nothing to finish


def keep(command: list[str], grace: float) -> int:
    """Run a command until it ends or standard input does; the exit status."""
    adopt_orphans()
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    # Handlers, so that the pipe is written to. A signal to all of a job reaches our parent too, and
    # it decides.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    judge = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while (status := reap().get(judge.pid)) is None:
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
    """Whether our parent was: the system closes its files before it stops being our parent."""
    ended, _, _ = select.select([0], [], [], 0)
    return bool(ended) and os.read(0, len(GOODBYE)) != GOODBYE


def main() -> None:
    parent, grace, record, _, *command = sys.argv[1:]
    status = keep(command, float(grace))
    if record and was_killed():
        from arena.journals.attempts import write_killed  # here: the judge has ended, come what may

        write_killed(Path(record), int(parent))
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
