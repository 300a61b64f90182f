#!/usr/bin/env python
"""Check a judge: position bias, flips, replies without a verdict, length bias.

    python workflow/scripts/judge_health.py --data-dir data -b arena-hard-v2.0 -j JUDGE

Reads judgments as show_result does; length bias needs the answers too.
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


def main() -> int:
    parser = command(__doc__)
    parser.add_argument("--out", type=Path, help="folder for health.txt and health.json")
    args = vars(parser.parse_args())
    out = args.pop("out")
    return run_command("judge_health", lambda: print(check(sources_of(args), args, out), end=""))


def check(sources: Sources, options: dict[str, Any], out: Path | None) -> str:
    """Return the report as text, and write the files if a folder is given."""
    health = make_health(sources, **options)
    text = health_page(health).text()
    if out:
        write_atomic(out / "health.txt", text)
        write_atomic(out / "health.json", as_json(health))
    return text


if "snakemake" in globals():
    folder = Path(snakemake.output.txt).parent
    sys.exit(run_rule(snakemake, lambda sources, options: check(sources, options, folder)))
if __name__ == "__main__":
    sys.exit(main())
