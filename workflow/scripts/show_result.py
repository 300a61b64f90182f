#!/usr/bin/env python
"""Print the leaderboard of a folder of judgments, and write it with --out.

    python workflow/scripts/show_result.py --data-dir data -b arena-hard-v2.0 -j JUDGE

Reads judgments from <data-dir>/<bench>/model_judgment/<judge>/*.jsonl; style control (-f) also
needs the answers in <data-dir>/<bench>/model_answer.
"""

import sys
from pathlib import Path
from typing import Any

from arena.pages.formats import as_text, comparison, write
from arena.ranking.command import command, run
from arena.ranking.show_result import Sources, make_result
from arena.ranking.votes import CI, FEATURES, POOL, RANKS, ROUNDS


def work(sources: Sources, options: dict[str, Any], out: Path | None) -> str:
    compared = options.pop("compare", None)
    result = make_result(sources, **options)
    if out:
        write(result, out)
    text = as_text(result)
    return text if compared is None else f"{text}\n{comparison(result, compared)}"


def main(argv: list[str] | None = None, rule: Any = None) -> int:
    make = command(__doc__)
    add = make.add_argument
    add("-f", "--control-features", nargs="*", choices=FEATURES, help="style features to control")
    add("-c", "--categories", "--category", nargs="*", metavar="CATEGORY", help="default: all")
    pool = "of several judges: games count the same (default), or votes do, strong ones then more"
    add("--pool", choices=POOL, help=pool)
    add("--rounds", type=int, help=f"resamples for each interval (default: {ROUNDS})")
    ci = "resample questions (default), or votes as Arena-Hard-Auto does (unanchored: as v0.1 did)"
    add("--ci", choices=CI, help=ci)
    ranks = "confidence of the ranks: for all pairs at once (default), or for each pair"
    add("--ranks", choices=RANKS, help=ranks)
    add("--tokens", action="store_true", help="average tokens of the answers (reads all of them)")
    add("--steps", help="regex of checkpoint names with (?P<run>) and (?P<step>)")
    compare = "also print the differences between these models (no name: all)"
    add("--compare", nargs="*", metavar="MODEL", help=compare)
    against = "another ranking, such as human votes: model, score and optionally lower, upper"
    add("--against", type=Path, metavar="FILE.csv", help=against)
    add("--out", type=Path, help="folder for leaderboard.txt, .md, .csv, .json and other files")
    return run("show_result", make, work, argv, rule)


if __name__ == "__main__":
    sys.exit(main(rule=globals().get("snakemake")))
