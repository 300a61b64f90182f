"""Show the batches of the next run, their settings and their requests to the scheduler.

Adapter of rule plan: prints a page and writes plan.json; submits no jobs.
"""

import json
from dataclasses import replace
from pathlib import Path

from arena.data.layout import Layout
from arena.journals.records import encode
from arena.support.cli import print_also_to
from arena.support.humanize import counted
from arena.support.jsonl import write_atomic
from arena.support.slurm import refusal
from arena.support.table import Style

print_also_to(snakemake.log[0])

settings, answers, made = (snakemake.params[key] for key in ("settings", "answers", "made"))
asked = {Path(path).stem: json.loads(Path(path).read_text()) for path in snakemake.input.asked}
plans = [
    replace(plan.describe(batch, settings), time=0.0, resources=asked[batch])
    for plan in (answers, made)
    for batch in plan.batches
]
judge = settings.judge
sampling = {key: judge[key] for key in ("temperature", "max_tokens")} | judge["sampling"]
toy = " - a toy: its verdicts mean nothing" * settings.toy
lines = [
    f"bench      {settings.bench}",
    *(f"questions  {note}" for note in settings.pilot_note()),
    f"baseline   {', '.join(settings.baseline_models)}",
    f"judge      {judge['name']} (server: {judge['server']}){toy}",
    f"sampling   {', '.join(f'{key} {value}' for key, value in sampling.items())}",
    f"settings   {settings.digest}",
    f"judgments  {settings.judgments_dir}",
]
for plan in plans:
    lines += ["", f"{plan.stage.title} {plan.batch}: {counted(len(plan.models), 'model')}, one job"]
    lines += Style(80).wrap(", ".join(plan.models), "  ", "  ")
    lines.append("  asks for " + ", ".join(f"{k}={v}" for k, v in plan.resources.items()))
if plans:
    total = counted(sum(map(len, made.batches.values())), "model")
    lines += ["", f"{total} to judge, {counted(len(plans), 'job')}."]
else:
    lines.append("Nothing to do: all judgments exist and are up to date.")
print("\n".join(lines), flush=True)
for problem in sorted({problem for one in asked.values() if (problem := refusal(one))}):
    print(f"Slurm would refuse these jobs: {problem}", flush=True)
plain = [encode(plan) for plan in plans]
write_atomic(Layout(settings.root).plan, json.dumps(plain, indent=1) + "\n")
