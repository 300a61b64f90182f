"""Write what a campaign used: python workflow/scripts/ledger.py RESULTS_FOLDER [--html FILE]
[--price P].

RESULTS_FOLDER is <results_dir>/<bench>/<judge>. Writes ledger.tsv there and prints it. Also the
adapter of rule ledger.
"""

import argparse
import sys
import time
from pathlib import Path

from arena.campaign.records import read_batches
from arena.costs.ledger import account, ledger, write_tsv
from arena.support.jsonl import write_atomic


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="What a campaign used, a row a batch and a total.")
    parser.add_argument("root", type=Path, help="<results_dir>/<bench>/<judge>")
    parser.add_argument("--tsv", type=Path, help="default: ledger.tsv in the results folder")
    parser.add_argument("--html", type=Path, help="also write a page with the table")
    parser.add_argument("--price", type=float, help="of one GPU hour")
    options = parser.parse_args(arguments)
    accounts, problem = account(options.root)
    if problem:
        print(
            f"Slurm's accounting cannot be had ({problem}): GPU hours are the batches' own record"
        )
    rows = ledger(options.root, time.time(), options.price, accounts)
    lines = list(write_tsv(rows))
    write_atomic(options.tsv or options.root / "ledger.tsv", lines)
    if options.html:
        from arena.pages.ledger_page import ledger_page  # here: the table alone needs no charts

        toy = any(batch.toy for batch in read_batches(options.root))
        notes = ["The demo judge is a toy: its times say nothing about real judges"] * toy
        title = f"Ledger: {options.root.parent.name}, judge {options.root.name}"
        write_atomic(options.html, ledger_page(rows, title, notes).html())
    print("".join(lines), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
