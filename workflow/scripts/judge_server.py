"""Serve the judge of one batch: rule judge_server.

`python judge_server.py --batch root/batches/B.json --logs root/logs/B root/server/B.json` runs
until SIGTERM. Exit status 1 if the judge could not be served.
"""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

from arena.judge.server import serve_batch
from arena.judge.supervisor import Limits
from arena.support.errors import ArenaError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--batch", type=Path, required=True, help="batches/<batch>.json")
    add("--logs", type=Path, required=True, help="folder of the batch's logs")
    add("server_file", type=Path, help="gets the address and the key, at once")
    for limit in fields(Limits):
        kind = type(limit.default)
        add(f"--{limit.name}", type=kind, help=f"{limit.default:g} unless given: see Limits")
    args = vars(parser.parse_args())
    limits = {limit.name: args[limit.name] for limit in fields(Limits)}
    given = {name: value for name, value in limits.items() if value is not None}
    try:
        batch = json.loads(args["batch"].read_text())
        return serve_batch(batch, args["server_file"], args["logs"], given)
    except ArenaError as error:
        print(f"judge_server: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
