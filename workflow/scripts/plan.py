"""Show the batches of the next run, their settings and their requests to the scheduler.

Adapter of rule plan: prints a page and writes plan.json; submits nothing, asks nothing.
"""

import json

from arena.campaign.plan_page import plan_text
from arena.data.layout import Layout
from arena.support.cli import print_also_to
from arena.support.jsonl import write_atomic

print_also_to(snakemake.log[0])

plans = snakemake.params.plans
settings = snakemake.params.settings
print(plan_text(plans, settings), flush=True)
content = json.dumps([plan.to_json() for plan in plans], indent=1, default=str)
write_atomic(Layout(settings.root).plan, content + "\n")
