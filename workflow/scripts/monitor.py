"""Show the progress of a campaign: python workflow/scripts/monitor.py [--watch]. Read-only.

Reads the files in <results_dir>/<bench>/<judge> and calls squeue if there is Slurm. Works during
and after a run, and on a copy of the folder.
"""

import argparse
import gc
import json
import os
import shutil
import sys
import time
from pathlib import Path

from arena.support.cli import run_tool, wrong_python

try:
    from arena.campaign.campaign import Campaign, is_results
    from arena.campaign.problems import problems
    from arena.campaign.status import StatusReader, history
    from arena.campaign.status_json import as_json
    from arena.campaign.status_view import SORTS, chosen, screen
    from arena.data.layout import Layout
    from arena.setup.load import load_settings
    from arena.support.errors import DataError
    from arena.support.humanize import listing
    from arena.support.jsonl import write_atomic
    from arena.support.table import Style, cut
except ModuleNotFoundError as error:
    wrong_python("monitor", error)

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
    gc.disable()  # 100,000 lines of journals are as many objects, and none of them is garbage
    if options.results:
        check_results(options.results)
        campaign = Campaign(Layout(options.results))
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
            if live:
                size = shutil.get_terminal_size()
                lines = page(reader, options, size.lines).split("\n")
                text = "\x1b[K\n".join(cut(line, size.columns) for line in lines)
                print("\x1b[H" + text + "\x1b[K\x1b[J", end="", flush=True)
            else:
                show(reader, options)
            time.sleep(options.watch)
    except KeyboardInterrupt:
        pass
    finally:
        print("\x1b[?25h\x1b[?1049l" * live, end="", flush=True)  # and back


def show(reader: StatusReader, options: argparse.Namespace) -> None:
    """Print the status, or write it to a file."""
    if not options.html:
        watched = options.watch is not None and not options.json
        print(page(reader, options) + "\n" * watched, flush=True)
        return
    from arena.pages.status_page import status_page  # here: its charts take half a second

    status = reader.read()
    content = as_json(status, chosen(status.rows, [], options.sort), problems(status))
    content["history"] = history(status)
    if status.stage:
        content["answers"]["history"] = history(status.stage)
    refresh = options.watch and max(LEAST_REFRESH_S, options.watch)
    write_atomic(options.html, status_page(content, refresh).html())


def check_results(folder: Path) -> None:
    """Raise DataError if this is not a results folder; the message suggests one nearby."""
    if not folder.is_dir():
        raise DataError(f"--results {folder}: no such folder")
    if is_results(folder):
        return
    depths = ("*", "*/*", "*/*/*")
    near = [path.parent for depth in depths for path in folder.glob(f"{depth}/batches")]
    near += [parent for parent in folder.absolute().parents[:2] if is_results(parent)]
    hint = f"; did you mean {listing(list(map(str, near)))}?" if near else ""
    text = "not a results folder <results_dir>/<bench>/<judge>"
    raise DataError(f"--results {folder}: {text}{hint}")


def page(reader: StatusReader, options: argparse.Namespace, height: int | None = None) -> str:
    status = reader.read()
    found = problems(status)
    rows = chosen(status.rows, options.filter, options.sort)
    style = style_of(options)
    if options.json:
        return json.dumps(as_json(status, rows, found), ensure_ascii=not style.unicode)
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
