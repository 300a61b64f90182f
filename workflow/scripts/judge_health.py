#!/usr/bin/env python
"""Check a judge: position bias, flips, replies without a verdict, length bias.

    python workflow/scripts/judge_health.py --data-dir data -b arena-hard-v2.0 -j JUDGE

Reads judgments as show_result does; length bias needs the answers too.
"""

import sys
from pathlib import Path
from typing import Any

from arena.pages.health_page import health_page
from arena.ranking.command import command, run
from arena.ranking.show_result import Sources, as_json, make_health
from arena.support.jsonl import write_atomic


def work(sources: Sources, options: dict[str, Any], out: Path | None) -> str:
    health = make_health(sources, **options)
    text = health_page(health).text()
    if out:
        write_atomic(out / "health.txt", text)
        write_atomic(out / "health.json", as_json(health))
    return text


if __name__ == "__main__":
    parser = command(__doc__)
    parser.add_argument("--out", type=Path, help="folder for health.txt and health.json")
    sys.exit(run("judge_health", parser, work, rule=globals().get("snakemake")))
