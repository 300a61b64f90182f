"""Check what a run stands on: questions, answers, baseline, judgments.

Adapter of rule validate: prints a table, writes validation.tsv and validation.json in the results
folder, and fails when something blocks. Its files stay: they are no outputs of the rule.
"""

import sys

from arena.errors import ArenaError
from arena.validation import check_settings

settings = snakemake.params.settings
try:
    report = check_settings(settings)
except ArenaError as error:
    sys.exit(f"validate: {error}")
report.write(settings.root)
print(report.table(), flush=True)
print(f"Details: {settings.root}/validation.tsv, validation.json")
sys.exit(0 if report.ok else 1)
