"""Show the batches of the next run, their settings and their requests to the scheduler.

Adapter of rule plan: prints a page and writes plan.json; submits nothing, asks nothing.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

from arena.batch.plan import describe
from arena.batch.resources import requested_gpus
from arena.campaign.plan_page import plan_text
from arena.data.layout import Layout
from arena.support.cli import print_also_to
from arena.support.jsonl import write_atomic

print_also_to(snakemake.log[0])

settings = snakemake.params.settings
asked = {Path(path).stem: json.loads(Path(path).read_text()) for path in snakemake.input.asked}
plans = [
    replace(
        describe(batch, models, snakemake.params.games, settings, run="", now=time.time()),
        resources={**asked[batch], "gpus": requested_gpus(asked[batch])},
    )
    for batch, models in snakemake.params.batches.items()
]
print(plan_text(plans, settings), flush=True)
content = json.dumps([plan.to_json() for plan in plans], indent=1, ensure_ascii=False)
write_atomic(Layout(settings.root).plan, content + "\n")
