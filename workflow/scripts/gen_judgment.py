"""Run one batch: rules gen_judgment and gen_answer.

    python gen_judgment.py <root>/batches/<batch>.json --tries-left 2

The server is started when the first request is not in a journal. With `--replay` nothing is asked,
and only the files of complete journals are written. For the exit status see
arena/batch/gen_judgment.py.
"""

import argparse
import json
import sys
from pathlib import Path

from arena.batch.gen_judgment import play_batch
from arena.journals.records import BatchPlan, decode
from arena.support.errors import ArenaError


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("batch", type=Path, help="batches/<batch>.json")
    add("--tries-left", type=int, default=0, help="attempts after this one")
    add("--resources", default="{}", help="JSON: resources that the job requested")
    add("--replay", action="store_true", help="ask nothing, write the files of complete journals")
    options = parser.parse_args()
    try:
        plan = decode(BatchPlan, json.loads(options.batch.read_text(encoding="utf-8")))
        asked = json.loads(options.resources)
        return play_batch(plan, asked, tries_left=options.tries_left, replay=options.replay)
    except (ArenaError, OSError, ValueError) as error:
        print(f"{Path(sys.argv[0]).stem}: {options.batch}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
