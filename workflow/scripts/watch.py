"""Judge checkpoints as they come: python workflow/scripts/watch.py --every 300 -- OPTIONS

Starts `snakemake` again and again, with its options that stand behind `--`. Each run makes the
answers of what has come meanwhile, the newest first, and judges them. Checkpoints that are still
being written are left for the next run. Ends with Ctrl-C, or once `--until FILE` is there.
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
    parser.add_argument("--until", type=Path, metavar="FILE", help="end once this file is there")
    options = parser.parse_args(own.split("\0") if own else [])
    options.snakemake = rest.split("\0") if rest else []
    return options


def command_of(given: list[str]) -> list[str]:
    """Snakemake's command; its --config is one option, which ours joins."""
    place = next((i for i, one in enumerate(given, 1) if one in ("--config", "-C")), None)
    if place is None:
        given, place = [*given, "--config"], len(given) + 1
    return [sys.executable, "-m", "snakemake", *given[:place], NEWEST_FIRST, *given[place:]]


def status_of(command: list[str]) -> int:
    """Run it to its end. Ctrl-C reaches it as well: it is given the time to cancel its jobs."""
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
        begun = time.monotonic()
        # Seen before the run: it looks once more.
        last = bool(options.until and options.until.exists())
        status = status_of(command_of(options.snakemake))
        now = time.strftime("%H:%M:%S")
        if last:
            print(f"{now}: {options.until} is there: the end", flush=True)
            sys.exit(status)
        pause = max(0.0, options.every - (time.monotonic() - begun))
        word = "done" if status == 0 else f"exit status {status}"
        print(f"{now}: {word}; looks again in {pause:.0f} s (Ctrl-C ends)", flush=True)
        time.sleep(pause)


if __name__ == "__main__":
    try:
        run_tool("watch", main)
    except KeyboardInterrupt:
        sys.exit(130)
