"""Stop a campaign: python workflow/scripts/stop.py. Finished games and judgments are kept.

Interrupts the campaign's Snakemake as Ctrl-C does, and cancels the Slurm jobs of its batches, also
those left by a Snakemake that died. Does nothing if nothing is running. Exit status 1: something
still runs, or only another campaign's Snakemake was found in this folder.
"""

import argparse
import sys
from pathlib import Path

from arena.campaign.stop import stop
from arena.data.layout import Layout
from arena.setup.config import load_settings
from arena.support.cli import run_tool
from arena.support.errors import DataError


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--configfile", type=Path, default=Path("config/config.yaml"), metavar="FILE")
    add("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as given to snakemake")
    add("--results", type=Path, metavar="DIR", help="<results_dir>/<bench>/<judge>")
    jobs_only = "cancel Slurm jobs only; use this if Snakemake has already exited"
    add("--jobs-only", action="store_true", help=jobs_only)
    options = parser.parse_args(arguments)
    if options.results and not options.results.is_dir():
        raise DataError(f"--results {options.results}: no such folder")
    root = options.results or load_settings(options.configfile, options.config).root
    if not stop(Layout(root), jobs_only=options.jobs_only):
        sys.exit(1)


if __name__ == "__main__":
    run_tool("stop", main)
