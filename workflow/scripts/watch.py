"""Judge checkpoints as they appear: python workflow/scripts/watch.py --every 300 -- OPTIONS

Runs `snakemake OPTIONS` repeatedly. Each run generates the answers of new checkpoints, newest
first, and judges them. Checkpoints that are still being written are left for the next run. Ends
with Ctrl-C, or when the file of `--until` exists.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from arena.support.cli import run_tool

NEWEST_FIRST = "answers={newest_first: true}"


def command_of(given: list[str]) -> list[str]:
    """Snakemake's command. It uses only the last --config, so the user's is joined with ours."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", "-C", nargs="*", default=[])
    users, others = parser.parse_known_args(given)
    end = others.index("--") if "--" in others else len(others)  # targets follow
    config = ["--config", NEWEST_FIRST, *users.config]
    return [sys.executable, "-m", "snakemake", *others[:end], *config, *others[end:]]


def status_of(command: list[str]) -> int:
    """Exit status of a command. Ctrl-C reaches it too: wait while it cancels its jobs."""
    interrupted = False
    with subprocess.Popen(command) as child:
        while child.returncode is None:
            try:
                child.wait()
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return child.returncode


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--every", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--until", type=Path, metavar="FILE", help="end when this file exists")
    parser.add_argument("snakemake", nargs="*", metavar="-- OPTIONS", help="of Snakemake")
    options = parser.parse_args(arguments)
    while True:
        started = time.monotonic()
        # Checked before the run: checkpoints written before the file are still judged.
        last = bool(options.until and options.until.exists())
        status = status_of(command_of(options.snakemake))
        now = time.strftime("%H:%M:%S")
        if last:
            print(f"{now}: {options.until} exists, stopping", flush=True)
            sys.exit(status)
        pause = max(0.0, options.every - (time.monotonic() - started))
        outcome = "done" if status == 0 else f"failed with exit status {status}"
        print(f"{now}: {outcome}; next run in {pause:.0f} s (Ctrl-C stops)", flush=True)
        time.sleep(pause)


if __name__ == "__main__":
    try:
        run_tool("watch", main)
    except KeyboardInterrupt:
        sys.exit(130)
