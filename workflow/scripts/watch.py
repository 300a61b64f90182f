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


def options_of(arguments: list[str]) -> argparse.Namespace:
    own, _, rest = "\0".join(arguments).partition("\0--\0")
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--every", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--until", type=Path, metavar="FILE", help="end when this file exists")
    options = parser.parse_args(own.split("\0") if own else [])
    options.snakemake = rest.split("\0") if rest else []
    return options


def command_of(given: list[str]) -> list[str]:
    """Snakemake's command. Only one --config is allowed, so ours is inserted into the user's."""
    place = next((i for i, one in enumerate(given, 1) if one in ("--config", "-C")), None)
    if place is None:
        given, place = [*given, "--config"], len(given) + 1
    return [sys.executable, "-m", "snakemake", *given[:place], NEWEST_FIRST, *given[place:]]


def status_of(command: list[str]) -> int:
    """Exit status of a command. Ctrl-C reaches it too: wait while it cancels its jobs."""
    interrupted = False
    with subprocess.Popen(command) as child:
        while True:
            try:
                status = child.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return status


def main(arguments: list[str]) -> None:
    options = options_of(arguments)
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
