#!/usr/bin/env python
"""Ask whether a judge is sound: position bias, flips, replies without a verdict, length bias.

    python workflow/scripts/judge_health.py --data-dir data -b arena-hard-v2.0 -j JUDGE

Reads judgments as show_result does; with answers at hand also how their length was judged.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from arena.ranking.show_result import Sources, make_health
from arena.ranking.source_options import add_source_options
from arena.support.errors import ArenaError
from arena.support.jsonl import write_atomic


def main(argv: list[str] | None = None) -> int:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0],
        epilog="\n".join(lines[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-b", "--bench", required=True, help="a folder of data-dir")
    add("-j", "--judges", "--judge", nargs="+", required=True, help="judges to look at")
    add_source_options(parser)
    add("--rule", help="v0.1 or v2.0, as for show_result")
    add("--note", dest="notes", action="append", default=[], help="a line above everything")
    add("--out", type=Path, help="folder for health.txt and health.json")
    args = vars(parser.parse_args(argv))
    out = args.pop("out")
    options = {name: args.pop(name) for name in ("rule", "baselines", "notes")}
    try:
        health = make_health(Sources.find(**args), **options)
        print(health.text(), end="")
        if out:
            write_atomic(out / "health.txt", health.text())
            write_atomic(out / "health.json", health.json())
    except ArenaError as error:
        print(f"judge_health: {error}", file=sys.stderr)
        return 1
    return 0


def from_rule(rule: Any) -> int:
    """Adapter of rule judge_health."""
    places = rule.params.places
    judgments = {places["judge"]: [Path(file) for file in rule.input.judgments]}
    sources = Sources(places["bench"], judgments, Path(places["answers_dir"]))
    with Path(rule.log[0]).open("w", encoding="utf-8") as log:
        try:
            health = make_health(sources, **rule.params.options)
            write_atomic(rule.output.txt, health.text())
            write_atomic(rule.output.json, health.json())
            log.write(health.text())
        except ArenaError as error:
            log.write(f"judge_health: {error}\n")
            print(f"judge_health: {error}", file=sys.stderr)
            return 1
    return 0


if "snakemake" in globals():
    sys.exit(from_rule(snakemake))
if __name__ == "__main__":
    sys.exit(main())
