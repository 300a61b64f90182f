"""Import judgments of other tools into the journals and move their files aside.

Adapter of rule adopt: prints what was done with each file; exit status 1 if one was not imported.
"""

import sys

from arena.batch.made import check_owner
from arena.journals.adopt import report_adoption
from arena.support.cli import print_also_to
from arena.support.errors import ArenaError

print_also_to(snakemake.log[0])
settings = snakemake.params.settings
try:
    check_owner(settings.judgments_dir, settings.root)
    sys.exit(0 if report_adoption(settings, print) else 1)
except ArenaError as error:
    sys.exit(f"adopt: {error}")
