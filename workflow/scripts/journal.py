"""Check journals, or make them smaller: `python workflow/scripts/journal.py check RESULTS_FOLDER`.

RESULTS_FOLDER is <results_dir>/<bench>/<judge>, or one journal file. `check` reads and says what is
there, exit status 1 where a line cannot be read. `compact` drops lines that a later line of the
same game replaces, and unreadable ones; `--reopen too_long` drops games in these states too, so
that they are asked again (after the judge was given more context, say).
"""

import argparse
import sys
from pathlib import Path

from arena.journals.compact import check, compact
from arena.journals.journal import STATES
from arena.support.errors import ArenaError


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Check or compact journals of games.")
    parser.add_argument("command", choices=("check", "compact"))
    parser.add_argument("path", type=Path, help="<results_dir>/<bench>/<judge>, or one journal")
    parser.add_argument(
        "--reopen",
        action="append",
        default=[],
        choices=STATES,
        help="compact: drop games in this state, so that they are asked again",
    )
    options = parser.parse_args(arguments)
    paths = [options.path]
    if options.path.is_dir():
        folder = options.path / "games" if (options.path / "games").is_dir() else options.path
        paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        print(f"{options.path}: no journals there", file=sys.stderr)
        return 1
    sound = True
    for path in paths:
        try:
            if options.command == "compact":
                print(compact(path, reopen=options.reopen))
            found = check(path)
        except ArenaError as error:
            print(error, file=sys.stderr)
            sound = False
            continue
        print("\n".join(found.lines()))
        sound = sound and found.is_sound
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
