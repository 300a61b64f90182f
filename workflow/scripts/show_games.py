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
from arena.ranking.command import command, run_rule, sources_of
from arena.ranking.show_result import TOY_NOTE, Sources
from arena.support.cli import run_command
from arena.support.jsonl import write_atomic


def main(argv: list[str] | None = None) -> int:
    parser = command(__doc__)
    add = parser.add_argument
    add("--each", type=_each, default=1, help="pairs of every kind for each model, or: all")
    add("--questions", type=Path, help="question file, if it is not beside the answers")
    add("--out", type=Path, default=Path(), help="folder for games.html")
    args = vars(parser.parse_args(argv))
    out, _ = args.pop("out") / "games.html", args.pop("weight")

    def work() -> None:
        write_atomic(out, games_page(sources_of(args), **args))
        print(out)

    return run_command("show_games", work)


def _each(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer or: all")
    return int(text)


def for_rule(rule: Any, sources: Sources, options: dict[str, Any]) -> str:
    notes = [TOY_NOTE] if options.pop("toy") else []
    write_atomic(
        rule.output[0], games_page(sources, Path(rule.params.questions), notes=notes, **options)
    )
    return f"{rule.output[0]}\n"


if "snakemake" in globals():
    sys.exit(run_rule(snakemake, lambda *given: for_rule(snakemake, *given)))
if __name__ == "__main__":
    sys.exit(main())
