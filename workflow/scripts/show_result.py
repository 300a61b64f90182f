#!/usr/bin/env python
"""Print the leaderboard of a folder of judgments, and write it with --out.

    python workflow/scripts/show_result.py --data-dir data -b arena-hard-v2.0 -j JUDGE

Judgments are read from <data-dir>/<bench>/model_judgment/<judge>/*.jsonl; nothing else is needed,
except answers (<data-dir>/<bench>/model_answer) for style control with -f.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from arena.data.verdict import DEFAULT_PATTERNS, RULES
from arena.ranking.intervals import CI
from arena.ranking.leaderboard import ROUNDS
from arena.ranking.show_result import Sources, make_result
from arena.ranking.source_options import add_source_options
from arena.ranking.style import FEATURES
from arena.support.errors import ArenaError


def main(argv: list[str] | None = None) -> int:
    args = vars(parser().parse_args(argv))
    out, compared = args.pop("out"), args.pop("compare")
    places = ("bench", "judges", "data_dir", "judgments_dir", "answers_dir", "models")
    try:
        sources = Sources.find(**{name: args.pop(name) for name in places})
        result = make_result(sources, **args)
        print(result.text(), end="")
        if compared:
            print("\n" + result.comparison(compared), end="")
        if out:
            result.write(out)
    except ArenaError as error:
        print(f"show_result: {error}", file=sys.stderr)
        return 1
    return 0


def from_rule(rule: Any) -> int:
    """Adapter of rule show_result: the files are the rule's inputs, not all that a folder holds."""
    places = rule.params.places
    judgments = {places["judge"]: [Path(file) for file in rule.input.judgments]}
    sources = Sources(places["bench"], judgments, Path(places["answers_dir"]))
    with Path(rule.log[0]).open("w", encoding="utf-8") as log:
        try:
            result = make_result(sources, **rule.params.options)
            result.write(Path(rule.output.txt).parent)
            log.write(result.text())
        except ArenaError as error:
            log.write(f"show_result: {error}\n")
            print(f"show_result: {error}", file=sys.stderr)
            return 1
    return 0


def parser() -> argparse.ArgumentParser:
    lines = (__doc__ or "").splitlines()
    make = argparse.ArgumentParser(
        description=lines[0], epilog="\n".join(lines[1:]), formatter_class=_Help
    )
    add = make.add_argument
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
    add(
        "-f", "--control-features", nargs="*", default=[], choices=FEATURES, help="style to control"
    )
    add(
        "-c",
        "--categories",
        "--category",
        nargs="*",
        default=[],
        metavar="CATEGORY",
        help="only these (default: all)",
    )
    add_source_options(make)
    add("--rule", choices=RULES, help="default: v0.1 for the bench arena-hard-v0.1, else v2.0")
    add("--weight", type=float, default=3, help="votes of a strong verdict")
    add("--rounds", type=int, default=ROUNDS, help="resamples behind each interval")
    add("--seed", type=int, default=42, help="of the resampling")
    add("--ci", choices=CI, default=CI[0], help="resample questions, or votes as upstream does")
    add(
        "--patterns", nargs="+", default=DEFAULT_PATTERNS, help="of verdicts without a stored score"
    )
    add("--steps", help="pattern of checkpoint names with (?P<run>) and (?P<step>)")
    add("--compare", nargs="+", metavar="MODEL", help="also print the differences among these")
    add("--note", dest="notes", action="append", default=[], help="a line above every table")
    add("--out", type=Path, help="folder for leaderboard.txt, .md, .csv, .json and the rest")
    return make


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show defaults, and keep the example's line as it is."""


if "snakemake" in globals():
    sys.exit(from_rule(snakemake))
if __name__ == "__main__":
    sys.exit(main())
