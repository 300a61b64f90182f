"""Common parts of show_result, judge_health and show_games, as commands and as rules."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arena.data.verdict import DEFAULT_PATTERNS, RULES
from arena.ranking.show_result import Sources
from arena.support.errors import ArenaError


class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show defaults, and keep the line breaks of the example."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        # Not for None and for lists, such as patterns.
        plain = isinstance(action.default, int | float | str | Path)
        return super()._get_help_string(action) if plain else action.help


def command(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options for what to read and how to count votes."""
    lines = (doc or "").splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0], epilog="\n".join(lines[1:]), formatter_class=Help
    )
    add = parser.add_argument
    add("-b", "--bench", "--benchmark", required=True, help="a folder in --data-dir")
    names, judges = ("--judges", "--judge", "--judge-names"), "the votes of several are pooled"
    add("-j", *names, nargs="+", required=True, metavar="JUDGE", help=judges)
    add("--data-dir", type=Path, default=Path("data"), help="folder with one folder per bench")
    default = "default: <data-dir>/<bench>"
    judgments = f"folder with one folder per judge ({default}/model_judgment)"
    add("--judgments-dir", type=Path, help=judgments)
    add("--answers-dir", type=Path, help=f"folder of the answers ({default}/model_answer)")
    add("--models", nargs="*", default=[], help="only these models; * and ? are wildcards")
    add("--baselines", "--baseline", nargs="*", default=[], help="only judgments against these")
    add("--rule", choices=RULES, help="default: v0.1 for the bench arena-hard-v0.1, else v2.0")
    add("--weight", type=float, default=3, help="number of votes of a strong verdict")
    add("--seed", type=int, default=42, help="seed of the resampling")
    patterns = "patterns of verdicts, for games without a stored score (default: Arena-Hard-Auto's)"
    add("--patterns", nargs="+", default=DEFAULT_PATTERNS, metavar="REGEX", help=patterns)
    add("--note", dest="notes", action="append", default=[], help="note to show above the tables")
    return parser


def sources_of(args: dict[str, Any]) -> Sources:
    """Remove the arguments of Sources.find from `args`, and find the files."""
    names = ("bench", "judges", "data_dir", "judgments_dir", "answers_dir", "models")
    return Sources.find(**{name: args.pop(name) for name in names})


def run_rule(rule: Any, work: Callable[[Sources, dict[str, Any]], str]) -> int:
    """Run a rule on its input files, which need not be all files of a folder.

    `work` gets the files and the rule's options, writes the outputs and returns the log's text.
    """
    places = rule.params.places
    judgments = {places["judge"]: [Path(file) for file in rule.input.judgments]}
    made = places.get("made_dir")
    sources = Sources(
        places["bench"], judgments, Path(places["answers_dir"]), Path(made) if made else None
    )
    with Path(rule.log[0]).open("w", encoding="utf-8") as log:
        try:
            notes = rule.params.get("notes")  # only show_result has them
            log.write(work(sources, rule.params.options | ({"notes": notes} if notes else {})))
        except ArenaError as error:
            log.write(f"{rule.rule}: {error}\n")
            print(f"{rule.rule}: {error}", file=sys.stderr)
            return 1
    return 0
