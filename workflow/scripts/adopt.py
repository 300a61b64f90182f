"""Take judgments that others made into the journals, and move their files aside: `snakemake adopt`.

Adapter of rule adopt: prints what became of each file; exit status 1 where one had to stay.
"""

import sys

from arena.journals.adopt import totals
from arena.journals.adoption import adopt_all
from arena.support.errors import ArenaError
from arena.support.terminal import print_also_to

print_also_to(snakemake.log[0])

dry_run = bool(snakemake.params.get("dry_run"))
results, stayed = [], []
try:
    for result in adopt_all(snakemake.params.settings, dry_run=dry_run):
        if isinstance(result, ArenaError):
            stayed.append(result)
            print(f"adopt: {result}", flush=True)
        else:
            results.append(result)
            print("\n".join(result.lines()), flush=True)
except ArenaError as error:
    sys.exit(f"adopt: {error}")
if results or stayed:
    print(f"{'would be: ' if dry_run else ''}{totals(results)}", flush=True)
else:
    print("adopt: no judgment file of others; nothing to do", flush=True)
sys.exit(1 if stayed else 0)
