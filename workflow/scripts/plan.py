"""Show the batches of the next run, their settings and their requests to the scheduler.

Adapter of rule plan: prints a page and writes plan.json; submits no jobs.
"""

import json
from dataclasses import replace
from pathlib import Path

from arena.batch.answer_plan import describe_answers
from arena.batch.plan import describe
from arena.campaign.plan_page import plan_text
from arena.data.layout import Layout
from arena.support.cli import print_also_to
from arena.support.jsonl import write_atomic
from arena.support.slurm import refusal

print_also_to(snakemake.log[0])

settings, games = snakemake.params.settings, snakemake.params.games
asked = {Path(path).stem: json.loads(Path(path).read_text()) for path in snakemake.input.asked}
batches = [
    replace(describe(batch, models, games, settings, time=0.0), resources=asked[batch])
    for batch, models in snakemake.params.batches.items()
]
made = snakemake.params.answers
answers = [
    replace(describe_answers(batch, models, made, settings, time=0.0), resources=asked[batch])
    for batch, models in made.batches.items()
]
print(plan_text(answers, batches, settings), flush=True)
for problem in sorted({problem for one in asked.values() if (problem := refusal(one))}):
    print(f"Slurm would refuse these jobs: {problem}", flush=True)
plain = [batch.to_json() for batch in [*answers, *batches]]
write_atomic(Layout(settings.root).plan, json.dumps(plain, indent=1) + "\n")
