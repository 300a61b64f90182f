"""Say what a run would ask and cost, or how the last forecast compares with what was used.

    python workflow/scripts/doctor.py            before: games, prompts, forecast; starts nothing
    python workflow/scripts/doctor.py --compare  after: the forecast beside the ledger

`snakemake validate` prints the first as well and keeps it in <root>/forecast.json.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from arena.campaign.validation import check_settings
from arena.costs.doctor import FORECAST, examine, keep
from arena.costs.doctor_page import page, side_by_side
from arena.costs.forecast import against
from arena.costs.ledger import account, ledger
from arena.setup.load import load_settings
from arena.support.errors import ArenaError, DataError


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configfile", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="all that was found, for programs")
    parser.add_argument("--compare", action="store_true", help="the forecast beside what was used")
    options = parser.parse_args(arguments)
    settings = load_settings(options.configfile, options.config)
    now = time.time()
    if options.compare:
        told = _read(settings.root / FORECAST)
        accounts, _ = account(settings.root)
        rows = ledger(settings.root, now, settings.gpu_hour_cost, accounts, since=told["time"])
        print(side_by_side(against(told["forecast"], rows[-1])))
        return
    report = check_settings(settings)
    report.raise_blocking()
    found = examine(settings, report, now=now)
    keep(found, settings.root, now)
    print(json.dumps(found.to_dict(), ensure_ascii=False) if options.json else page(found))


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no forecast was made; run `snakemake validate` first") from error


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ArenaError as error:
        sys.exit(f"doctor: {error}")
