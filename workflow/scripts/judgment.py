"""Publish one model's judgments: rule judgment. Runs once for each model, so it imports little.

python judgment.py --root ROOT --model MODEL --settings DIGEST --played ROOT/played/BATCH TARGET
"""

import argparse
import sys
from pathlib import Path

from arena.batch.made import publish
from arena.data.layout import Layout
from arena.support.cli import run_command


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for option in ("--root", "--model", "--settings"):
        parser.add_argument(option, required=True)
    parser.add_argument("--played", type=Path, default="", help="end marker of its batch")
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    layout = Layout(Path(args.root))
    batch = args.played.name
    return run_command(
        "judgment", lambda: publish(layout, args.model, args.settings, batch, args.target)
    )


if __name__ == "__main__":
    sys.exit(main())
