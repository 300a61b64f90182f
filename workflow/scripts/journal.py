"""Check journals, or make them smaller: `python workflow/scripts/journal.py check RESULTS_FOLDER`.

RESULTS_FOLDER is <results_dir>/<bench>/<judge>, or one journal file. `check` reads and says what is
there, exit status 1 where a line cannot be read. `compact` drops lines that a later line of the
same game replaces, and unreadable ones; `--reopen too_long` drops games in these states too, so
that the next run asks them again (after the judge was given more context, say). The judgment files
with such games, which config.yaml tells the place of, are moved to RESULTS_FOLDER/reopened.
"""

import argparse
import sys
from pathlib import Path

from arena.data.game_state import STATES
from arena.journals.compact import check, compact
from arena.setup.load import load_settings
from arena.support.errors import ArenaError, ConfigError


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
    parser.add_argument("--configfile", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    paths = [options.path]
    if options.path.is_dir():
        folder = options.path / "games" if (options.path / "games").is_dir() else options.path
        paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        print(f"{options.path}: no journals there", file=sys.stderr)
        return 1
    judgments = judgments_of(paths[0].parent.parent, options) if options.reopen else None
    sound = True
    for path in paths:
        try:
            if options.command == "compact":
                print(compact(path, reopen=options.reopen, judgments=judgments))
            found = check(path)
        except ArenaError as error:
            print(error, file=sys.stderr)
            sound = False
            continue
        print("\n".join(found.lines()))
        sound = sound and found.is_sound
    return 0 if sound else 1


def judgments_of(root: Path, options: argparse.Namespace) -> Path:
    """The folder of the judgments that are made of these journals; ConfigError if unknown."""
    settings = load_settings(options.configfile, options.config)
    if settings.root.resolve() != root.resolve():
        raise ConfigError(
            f"{options.configfile}: its results are in {settings.root}, not in {root}: name the "
            "config of these journals (--configfile, --config), which says where their judgments "
            "are"
        )
    return settings.judgments_dir


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ArenaError as error:
        sys.exit(f"journal: {error}")
