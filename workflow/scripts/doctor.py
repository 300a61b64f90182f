"""Say what a run would ask and cost, or how the last forecast compares with what was used.

    python workflow/scripts/doctor.py            before: games, prompts, forecast; starts nothing
    python workflow/scripts/doctor.py --compare  after: the forecast beside the ledger

`snakemake validate` prints the first as well. Both keep it in <root>/forecast.json, and that of the
last run beside it.
"""

import argparse
import json
import time
from pathlib import Path

from arena.support.cli import run_tool, wrong_python

try:
    from arena.campaign.validation import check_settings
    from arena.costs.examination import examine, keep, kept
    from arena.costs.examination_page import page, side_by_side
    from arena.costs.forecast import against
    from arena.costs.ledger import account, ledger
    from arena.setup.load import load_settings
except ModuleNotFoundError as error:
    wrong_python("doctor", error)


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
        told = kept(settings.root)
        accounts, _ = account(settings.root)
        rows = ledger(settings.root, now, settings.gpu_hour_cost, accounts, since=told["time"])
        print(side_by_side(against(told["forecast"], rows[-1])))
        return
    report = check_settings(settings)
    report.raise_blocking()
    found = examine(settings, report, now=now)
    keep(found, settings.root, now)
    print(json.dumps(found.to_dict()) if options.json else page(found))


if __name__ == "__main__":
    run_tool("doctor", main)
