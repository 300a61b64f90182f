#!/usr/bin/env python
"""Write a page of games to read: question, answers, the judge's replies and verdicts.

    python workflow/scripts/show_games.py --data-dir data -b arena-hard-v2.0 -j JUDGE --out DIR

A seeded sample of each model; for all games of one model: --models MODEL --each all.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from arena.pages.games_page import games_page
from arena.ranking.command import command, run
from arena.ranking.show_result import Sources
from arena.support.jsonl import write_atomic


def work(sources: Sources, options: dict[str, Any], out: Path) -> str:
    options.pop("weight", None)  # the page counts no votes
    write_atomic(out / "games.html", games_page(sources, **options))
    return f"{out / 'games.html'}\n"


def main(argv: list[str] | None = None, rule: Any = None) -> int:
    make = command(__doc__)
    add = make.add_argument
    add("--each", type=_each, help="pairs of every kind for each model, or: all (default: 1)")
    add("--questions", type=Path, help="question file, if it is not beside the answers")
    add("--out", type=Path, default=Path(), help="folder for games.html (default: .)")
    return run("show_games", make, work, argv, rule)


def _each(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer or: all")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(rule=globals().get("snakemake")))
