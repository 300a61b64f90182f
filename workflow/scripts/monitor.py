"""Show the progress of a campaign: python workflow/scripts/monitor.py [--watch]. Read-only.

Reads the files in <results_dir>/<bench>/<judge> and calls squeue if there is Slurm. Works during
and after a run, and on a copy of the folder.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

from arena.campaign.problems import problems
from arena.campaign.status import Campaign, StatusReader
from arena.campaign.status_view import SORTS, chosen, screen
from arena.data.layout import Layout
from arena.setup.config import load_settings
from arena.support.cli import run_tool
from arena.support.jsonl import write_atomic
from arena.support.table import Style, cut

LEAST_REFRESH_S = 10  # of a page: a browser needs a moment to draw its charts


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--configfile", type=Path, default=Path("config/config.yaml"), metavar="FILE")
    add("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as given to snakemake")
    results = "<results_dir>/<bench>/<judge>, instead of a config"
    add("--results", type=Path, metavar="DIR", help=results)
    add("--watch", type=pause, nargs="?", const=5.0, metavar="SECONDS", help="refresh every 5 s")
    add("--html", type=Path, metavar="FILE", help="write a page (with --watch: keep it up to date)")
    add("--json", action="store_true", help="one JSON object (with --watch: one on each line)")
    add("--filter", action="append", default=[], metavar="GLOB", help="models by name or state")
    add("--sort", choices=SORTS, help="default: the order of the config")
    add("--width", type=int, help="columns (default: the terminal's, or as many as needed)")
    add("--color", choices=("auto", "always", "never"), default="auto")
    add("--ascii", action="store_true", help="use ASCII marks and bars only")
    return parser.parse_args(arguments)


def pause(text: str) -> float:
    if not 0 < (seconds := float(text)) < 1e6:
        raise ValueError
    return seconds


def main(arguments: list[str]) -> None:
    options = options_of(arguments)
    if options.results:
        campaign = Campaign.of_results(options.results)
    else:
        settings = load_settings(options.configfile, options.config)
        campaign = Campaign(Layout(settings.root), settings)
    reader = StatusReader(campaign)
    if options.watch is None:
        show(reader, options)
        return
    live = sys.stdout.isatty() and not options.json and not options.html
    if options.html:
        print(f"Writing {options.html} every {options.watch:g} s; Ctrl-C stops", flush=True)
    try:
        print("\x1b[?1049h\x1b[?25l" * live, end="")  # the terminal's alternate screen
        while True:
            show(reader, options, live)
            time.sleep(options.watch)
    except KeyboardInterrupt:
        pass
    finally:
        print("\x1b[?25h\x1b[?1049l" * live, end="", flush=True)  # and back


def show(reader: StatusReader, options: argparse.Namespace, live: bool = False) -> None:
    size = shutil.get_terminal_size()
    text = page(reader, options, size.lines if live else None)
    if options.html:
        write_atomic(options.html, text)
    elif live:
        lines = (cut(line, size.columns) for line in text.split("\n"))
        print("\x1b[H" + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J", end="", flush=True)
    else:
        watched = options.watch is not None and not options.json
        print(text + "\n" * watched, flush=True)


def page(reader: StatusReader, options: argparse.Namespace, height: int | None = None) -> str:
    status = reader.read()
    found = problems(status)
    rows = chosen(status.rows, [] if options.html else options.filter, options.sort)
    style = style_of(options)
    if options.html or options.json:
        from arena.campaign.status_page import as_json, status_page  # here: 0.1 s

        if options.json:
            return json.dumps(as_json(status, rows, found), ensure_ascii=not style.unicode)
        refresh = options.watch and max(LEAST_REFRESH_S, options.watch)
        return status_page(status, rows, found, refresh).html()
    lines = screen(status, found, rows, style, height, ordered=bool(options.sort))
    return style.plain("\n".join(lines))


def style_of(options: argparse.Namespace) -> Style:
    on_terminal = sys.stdout.isatty()
    auto = on_terminal and "NO_COLOR" not in os.environ
    colour = auto if options.color == "auto" else options.color == "always"
    given = options.width or (shutil.get_terminal_size().columns if on_terminal else None)
    unicode = not options.ascii and (sys.stdout.encoding or "").lower().startswith("utf")
    return Style(max(80, given or 80), colour, unicode, whole=given is None)


if __name__ == "__main__":
    run_tool("monitor", main)
