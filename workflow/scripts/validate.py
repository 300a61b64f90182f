"""Check the inputs of a run (questions, answers, baseline, judgments) and forecast its costs.

Adapter of rule validate: prints a table, writes validation.tsv, validation.json and forecast.json
in the results folder, and fails if a run would not start. The files are not outputs of the rule, so
they stay.
"""

import sys
import time

from arena.batch.answer_plan import first_prompt
from arena.campaign.validation import Report, check_settings
from arena.costs.forecast import forecast, keep, page
from arena.data.layout import Layout
from arena.setup.upstream import check_keys
from arena.support.cli import print_also_to
from arena.support.errors import ArenaError
from arena.support.humanize import listing

print_also_to(snakemake.log[0])

settings, now = snakemake.params.settings, time.time()
layout = Layout(settings.root)
report = Report(settings.bench, 0, [], [])
found = None
try:
    report = check_settings(settings)
    check_keys(settings.judge, upstream=settings.upstream)
    for model in report.answers.models:
        check_keys(settings.answers.writers[model].server, upstream=settings.upstream)
    found = forecast(settings, report, now) if report.ok else None
except ArenaError as error:  # an error outside the table, or one that ended the checks early
    report.problems.append(str(error))
report.write(layout)
print(report.table(), flush=True)
if settings.answers and report.answers.checkpoints:
    for models, text in first_prompt(report.answers, settings.answers, settings.asked()[0]):
        print(f"\n{listing(models)}: the first question, as the model sees it:\n{text}", flush=True)
if report.ok and found:
    keep(found, layout, now)
    print(f"\n{page(found)}")
print(f"\nDetails: {layout.validation_table}, {layout.validation}")
print(report.conclusion(found["played"] if found else 0))  # last: the screen shows it on errors
sys.exit(0 if report.ok else 1)
