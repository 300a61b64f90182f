"""Show what a run would ask and cost, or compare the last forecast with the actual use.

    python workflow/scripts/forecast.py            before a run: games, prompts, hours
    python workflow/scripts/forecast.py --compare  after it: the forecast beside the ledger

`snakemake validate` prints the forecast too. Both save it in <root>/forecast.json.
"""

import argparse
import json
import time
from pathlib import Path

from arena.campaign.validation import check_settings
from arena.costs.forecast import against_used, forecast, keep, page, side_by_side
from arena.data.layout import Layout
from arena.setup.config import load_settings
from arena.support.cli import run_tool


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--configfile", type=Path, default=Path("config/config.yaml"), metavar="FILE")
    add("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as given to snakemake")
    add("--json", action="store_true", help="print all numbers as JSON")
    add("--compare", action="store_true", help="compare the last forecast with the actual use")
    options = parser.parse_args(arguments)
    settings = load_settings(options.configfile, options.config)
    layout, now = Layout(settings.root), time.time()
    if options.compare:
        print(side_by_side(against_used(layout, now, settings.gpu_hour_cost)))
        return
    report = check_settings(settings)
    report.raise_blocking()
    found = forecast(settings, report, now)
    keep(found, layout, now)
    print(json.dumps(found) if options.json else page(found))


if __name__ == "__main__":
    run_tool("forecast", main)
