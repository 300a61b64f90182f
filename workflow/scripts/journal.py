"""Check or compact journals of games: `python workflow/scripts/journal.py check RESULTS_FOLDER`.

RESULTS_FOLDER is <results_dir>/<bench>/<judge>, or one journal file. `check` prints a summary; exit
status 1 if a line cannot be read. `compact` removes unreadable lines and lines that a later line of
the same game replaces. `--reopen too_long` also removes games in this state, so that the next run
asks them again (for example with a longer context). Judgment files with such games are moved to
RESULTS_FOLDER/reopened; the config says where they are.
"""

import argparse
import sys
from pathlib import Path

from arena.data.verdict import STATES
from arena.journals.compact import check, compact
from arena.setup.config import load_settings
from arena.support.cli import run_tool
from arena.support.errors import ArenaError, ConfigError


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("command", choices=("check", "compact"))
    add("path", type=Path, help="<results_dir>/<bench>/<judge>, or one journal")
    reopen = "compact: remove games in this state, so that they are asked again"
    add("--reopen", action="append", default=[], choices=STATES, help=reopen)
    add("--configfile", type=Path, default=Path("config/config.yaml"), metavar="FILE")
    add("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as given to snakemake")
    options = parser.parse_args(arguments)
    paths = [options.path]
    if options.path.is_dir():
        folder = options.path / "games" if (options.path / "games").is_dir() else options.path
        paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise ConfigError(f"{options.path}: no journals (*.jsonl) in this folder")
    judgments = judgments_of(paths[0].parent.parent, options) if options.reopen else None
    is_sound = True
    for path in paths:
        try:
            if options.command == "compact":
                print(compact(path, reopen=options.reopen, judgments=judgments))
            lines, sound = check(path)
            print("\n".join(lines))
            is_sound = is_sound and sound
        except ArenaError as error:
            print(error, file=sys.stderr)
            is_sound = False
    sys.exit(0 if is_sound else 1)


def judgments_of(root: Path, options: argparse.Namespace) -> Path:
    """The folder of the judgments that are made from these journals. Raises ConfigError."""
    settings = load_settings(options.configfile, options.config)
    if settings.root.resolve() != root.resolve():
        raise ConfigError(
            f"{options.configfile}: its results are in {settings.root}, not in {root}. Pass the "
            "config of these journals (--configfile, --config): it says where their judgments are"
        )
    return settings.judgments_dir


if __name__ == "__main__":
    run_tool("journal", main)
