"""Show the batches of the next run, their settings and their requests to the scheduler.

Adapter of rule plan: prints a page and writes plan.json; submits nothing, asks nothing.
"""

import json

from arena.batch.plan import plan_text
from arena.support.cli import print_also_to
from arena.support.jsonl import write_atomic

print_also_to(snakemake.log[0])

batches = snakemake.params.batches
settings = snakemake.params.settings
print(plan_text(batches, settings), flush=True)
write_atomic(settings.root / "plan.json", json.dumps(batches, indent=1, default=str) + "\n")
