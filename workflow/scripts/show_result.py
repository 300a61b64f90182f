#!/usr/bin/env python
"""Print the leaderboard of a folder of judgments, and write it with --out.

    python workflow/scripts/show_result.py --data-dir data -b arena-hard-v2.0 -j JUDGE

Reads judgments from <data-dir>/<bench>/model_judgment/<judge>/*.jsonl; style control (-f) also
needs the answers in <data-dir>/<bench>/model_answer.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from arena.pages.formats import as_text, comparison, write
from arena.ranking.command import command, run_rule, sources_of
from arena.ranking.options import CI, FEATURES, POOL, RANKS, ROUNDS
from arena.ranking.show_result import Sources, make_result
from arena.support.cli import run_command


def main(argv: list[str] | None = None) -> int:
    args = vars(parser().parse_args(argv))
    out, compared = args.pop("out"), args.pop("compare")

    def work() -> None:
        result = make_result(sources_of(args), **args)
        print(as_text(result), end="")
        if compared is not None:
            print("\n" + comparison(result, compared), end="")
        if out:
            write(result, out)

    return run_command("show_result", work)


def parser() -> argparse.ArgumentParser:
    make = command(__doc__)
    add = make.add_argument
    several: dict[str, Any] = {"nargs": "*", "default": []}
    add("-f", "--control-features", **several, choices=FEATURES, help="style features to control")
    add("-c", "--categories", "--category", **several, metavar="CATEGORY", help="default: all")
    pool = "of several judges: games count the same, or votes do (strong verdicts then count more)"
    add("--pool", choices=POOL, default=POOL[0], help=pool)
    add("--rounds", type=int, default=ROUNDS, help="resamples for each interval")
    ci = "resample questions, or votes as Arena-Hard-Auto does (unanchored: as v0.1 did)"
    add("--ci", choices=CI, default=CI[0], help=ci)
    ranks = "confidence of the ranks: for all pairs at once, or for each pair"
    add("--ranks", choices=RANKS, default=RANKS[0], help=ranks)
    add("--tokens", action="store_true", help="average tokens of the answers (reads all of them)")
    add("--steps", help="regex of checkpoint names with (?P<run>) and (?P<step>)")
    compare = "also print the differences between these models (no name: all)"
    add("--compare", nargs="*", metavar="MODEL", help=compare)
    against = "another ranking, such as human votes: model, score and optionally lower, upper"
    add("--against", type=Path, metavar="FILE.csv", help=against)
    add("--out", type=Path, help="folder for leaderboard.txt, .md, .csv, .json and other files")
    return make


def for_rule(output: Any, sources: Sources, options: dict[str, Any]) -> str:
    result = make_result(sources, **options)
    write(result, Path(output.txt).parent)
    return as_text(result)


if "snakemake" in globals():
    sys.exit(run_rule(snakemake, lambda *given: for_rule(snakemake.output, *given)))
if __name__ == "__main__":
    sys.exit(main())
