"""Write what a campaign used: python workflow/scripts/ledger.py RESULTS_FOLDER [--price P].

RESULTS_FOLDER is <results_dir>/<bench>/<judge>. Writes ledger.tsv and ledger.html there and prints
the first. Also the script of rule ledger.
"""

import argparse
import time
from pathlib import Path

from arena.costs.ledger import ledger, ledger_page
from arena.data.layout import Layout
from arena.journals.batches import read_batches
from arena.support.cli import run_tool
from arena.support.errors import DataError
from arena.support.jsonl import write_atomic


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="What each batch of a campaign used, and a total.")
    parser.add_argument("root", type=Path, help="<results_dir>/<bench>/<judge>")
    parser.add_argument("--tsv", type=Path, help="default: ledger.tsv in the results folder")
    parser.add_argument("--html", type=Path, help="default: ledger.html in the results folder")
    parser.add_argument("--price", type=float, help="of one GPU hour; default: the newest run's")
    options = parser.parse_args(arguments)
    root, layout, price = options.root, Layout(options.root), options.price
    if not any((root / folder).is_dir() for folder in ("batches", "games")):
        raise DataError(f"{root}: not a results folder: it has neither batches/ nor games/")
    batches = read_batches(root)
    if price is None and batches:
        price = batches[-1].plan.gpu_hour_cost
    rows = ledger(root, time.time(), price)
    text = rows.round(4).to_csv(sep="\t", index=False, lineterminator="\n")  # unknown: empty
    write_atomic(options.tsv or layout.ledger, text)
    notes = ["The demo judge is a toy: its times say nothing about real judges"]
    title = f"Ledger: {root.parent.name}, judge {root.name}"
    page = ledger_page(rows, title, notes * any(batch.plan.toy for batch in batches))
    write_atomic(options.html or layout.ledger.with_suffix(".html"), page.html())
    print(text, end="")


if __name__ == "__main__":
    run_tool("ledger", main)
