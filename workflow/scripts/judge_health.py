#!/usr/bin/env python
"""Ask whether a judge is sound: position bias, flips, replies without a verdict, length bias.

    python workflow/scripts/judge_health.py --data-dir data -b arena-hard-v2.0 -j JUDGE

Reads judgments as show_result does; with answers at hand also how their length was judged.
"""

import sys
from pathlib import Path
from typing import Any

from arena.pages.health_page import health_page
from arena.ranking.command import command, run_rule, sources_of
from arena.ranking.documents import as_json
from arena.ranking.show_result import Sources, make_health
from arena.support.cli import run_command
from arena.support.jsonl import write_atomic


def main(argv: list[str] | None = None) -> int:
    parser = command(__doc__)
    parser.add_argument("--out", type=Path, help="folder for health.txt and health.json")
    args = vars(parser.parse_args(argv))
    out = args.pop("out")
    return run_command("judge_health", lambda: print(look(sources_of(args), args, out), end=""))


def look(sources: Sources, options: dict[str, Any], out: Path | None) -> str:
    """Write the files where a folder is given, and return the text."""
    health = make_health(sources, **options)
    text = health_page(health).text()
    if out:
        write_atomic(out / "health.txt", text)
        write_atomic(out / "health.json", as_json(health))
    return text


def for_rule(output: Any, sources: Sources, options: dict[str, Any]) -> str:
    return look(sources, options, Path(output.txt).parent)


if "snakemake" in globals():
    sys.exit(run_rule(snakemake, lambda *given: for_rule(snakemake.output, *given)))
if __name__ == "__main__":
    sys.exit(main())
