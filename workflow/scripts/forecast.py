"""Say what a run would ask and cost, or how the last forecast compares with what was used.

    python workflow/scripts/forecast.py            before: games, prompts, hours; starts nothing
    python workflow/scripts/forecast.py --compare  after: the forecast beside the ledger

`snakemake validate` prints the first as well. Both keep it in <root>/forecast.json.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from arena.support.cli import run_tool, wrong_python

try:
    from arena.campaign.validation import check_settings
    from arena.costs.forecast import against_used, forecast, keep
    from arena.costs.forecast_page import page, side_by_side
    from arena.data.layout import Layout
    from arena.setup.load import load_settings
except ModuleNotFoundError as error:
    wrong_python("forecast", error)


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
    layout, now = Layout(settings.root), time.time()
    if options.compare:
        print(side_by_side(against_used(layout, now, settings.gpu_hour_cost)))
        return
    report = check_settings(settings)
    report.raise_blocking()
    found = forecast(settings, report, now=now)
    keep(found, layout, now)
    print(json.dumps(asdict(found)) if options.json else page(found))


if __name__ == "__main__":
    run_tool("forecast", main)
