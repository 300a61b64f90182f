#!/usr/bin/env python
"""Draw the report's pages from the files that show_result and judge_health wrote with --out.

    python workflow/scripts/plot_result.py results/arena-hard-v2.0/JUDGE

Each page is one HTML file that opens in any browser, offline; the default is <folder>/report/.
"""

import argparse
from pathlib import Path

from arena.pages.plot_result import make_pages
from arena.support.cli import run_tool
from arena.support.jsonl import write_atomic


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="with leaderboard.json, health.json, ...")
    parser.add_argument("--out", type=Path, help="default: report/ in that folder")
    options = parser.parse_args(arguments)
    out = options.out or options.folder / "report"
    for name, page in make_pages(options.folder).items():
        write_atomic(out / f"{name}.html", page.html())
        print(out / f"{name}.html")


if __name__ == "__main__":
    run_tool("plot_result", main)
