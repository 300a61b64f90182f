"""What show_result and judge_health share, as commands and as rules."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arena.data.verdict import DEFAULT_PATTERNS, RULES
from arena.ranking.show_result import Sources
from arena.support.errors import ArenaError


class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show defaults, and keep the example's line as it is."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        # "(default: None)" says nothing, and patterns are no words.
        plain = isinstance(action.default, int | float | str | Path)
        return super()._get_help_string(action) if plain else action.help


def command(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that say what to read and how votes are counted."""
    lines = (doc or "").splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0], epilog="\n".join(lines[1:]), formatter_class=Help
    )
    add = parser.add_argument
    add("-b", "--bench", "--benchmark", required=True, help="a folder of data-dir")
    add(
        "-j",
        "--judges",
        "--judge",
        "--judge-names",
        nargs="+",
        required=True,
        metavar="JUDGE",
        help="judges; the votes of several are pooled",
    )
    add("--data-dir", type=Path, default=Path("data"), help="folder of the benches")
    add("--judgments-dir", type=Path, help="folder with a folder a judge, where it is elsewhere")
    add("--answers-dir", type=Path, help="folder of the answers, where it is elsewhere")
    add("--models", nargs="*", default=[], help="only these; * and ? stand for any text")
    add("--baselines", "--baseline", nargs="*", default=[], help="only judgments against these")
    add("--rule", choices=RULES, help="default: v0.1 for the bench arena-hard-v0.1, else v2.0")
    add("--weight", type=float, default=3, help="votes of a strong verdict")
    add("--seed", type=int, default=42, help="of the resampling")
    add(
        "--patterns",
        nargs="+",
        default=DEFAULT_PATTERNS,
        metavar="REGEX",
        help="of verdicts without a stored score (default: Arena-Hard-Auto's)",
    )
    add("--note", dest="notes", action="append", default=[], help="a line above everything")
    return parser


def sources_of(args: dict[str, Any]) -> Sources:
    """Take what says where to read out of parsed arguments, and find the files."""
    names = ("bench", "judges", "data_dir", "judgments_dir", "answers_dir", "models")
    return Sources.find(**{name: args.pop(name) for name in names})


def run_rule(rule: Any, work: Callable[[Sources, dict[str, Any]], str]) -> int:
    """Adapter of a rule: the files are the rule's inputs, not all that a folder holds.

    `work` takes them and the rule's options, writes the outputs and returns what the log shall say.
    """
    places = rule.params.places
    judgments = {places["judge"]: [Path(file) for file in rule.input.judgments]}
    made = places.get("made_dir")
    sources = Sources(
        places["bench"], judgments, Path(places["answers_dir"]), Path(made) if made else None
    )
    with Path(rule.log[0]).open("w", encoding="utf-8") as log:
        try:
            notes = rule.params.get("notes")  # of show_result alone
            log.write(work(sources, rule.params.options | ({"notes": notes} if notes else {})))
        except ArenaError as error:
            log.write(f"{rule.rule}: {error}\n")
            print(f"{rule.rule}: {error}", file=sys.stderr)
            return 1
    return 0
