#!/usr/bin/env python
"""Draw the report's pages from the files that show_result and judge_health wrote with --out.

    python workflow/scripts/plot_result.py results/arena-hard-v2.0/JUDGE

Each page is one HTML file that opens in any browser, offline; the default is <folder>/report/.
"""

import argparse
import sys
from pathlib import Path

from arena.pages.plot_result import make_pages
from arena.support.cli import run_command
from arena.support.jsonl import write_atomic


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="with leaderboard.json, health.json, ...")
    parser.add_argument("--out", type=Path, help="default: report/ in that folder")
    args = parser.parse_args(argv)
    out = args.out or args.folder / "report"

    def work() -> None:
        for name, page in make_pages(args.folder).items():
            write_atomic(out / f"{name}.html", page.html())
            print(out / f"{name}.html")

    return run_command("plot_result", work)


if __name__ == "__main__":
    sys.exit(main())
