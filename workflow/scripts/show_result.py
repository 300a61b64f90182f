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
    add(
        "--pool",
        choices=POOL,
        default=POOL[0],
        help="of several judges: their games count the same, or their votes do, so that a judge "
        "counts more that often says A>>B",
    )
    add("--rounds", type=int, default=ROUNDS, help="resamples behind each interval")
    add(
        "--ci",
        choices=CI,
        default=CI[0],
        help="resample questions, or votes as upstream does (unanchored: as v0.1 did)",
    )
    add("--ranks", choices=RANKS, default=RANKS[0], help="sure of all pairs at once, or of each")
    add("--tokens", action="store_true", help="average tokens of the answers (reads them all)")
    add("--steps", help="pattern of checkpoint names with (?P<run>) and (?P<step>)")
    add(
        "--compare",
        nargs="*",
        metavar="MODEL",
        help="also print the differences among these (none named: all)",
    )
    add(
        "--against",
        type=Path,
        metavar="FILE.csv",
        help="compare with another ranking, such as human votes: columns model, score and, where "
        "known, lower and upper",
    )
    add("--out", type=Path, help="folder for leaderboard.txt, .md, .csv, .json and the rest")
    return make


def for_rule(output: Any, sources: Sources, options: dict[str, Any]) -> str:
    result = make_result(sources, **options)
    write(result, Path(output.txt).parent)
    return as_text(result)


if "snakemake" in globals():
    sys.exit(run_rule(snakemake, lambda *given: for_rule(snakemake.output, *given)))
if __name__ == "__main__":
    sys.exit(main())
