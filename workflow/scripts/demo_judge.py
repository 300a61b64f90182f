"""The demo judge: `python demo_judge.py --port 8000`. A toy, not a language model.

It serves OpenAI's chat completions API without a GPU. Its verdicts are made from word counts; with
`--writes` it writes answers from stock phrases. If VLLM_API_KEY is set, requests need this key.
"""

import argparse
import os

from aiohttp import web
from arena.demo.server import DemoJudge


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, required=True)
    made.add_argument("--name", default="demo-judge", help="name of the model that it serves")
    writes = "write answers under these names instead of judging"
    made.add_argument("--writes", nargs="+", default=[], metavar="MODEL", help=writes)
    made.add_argument("--seconds", type=float, default=0.0, help="that a request takes")
    made.add_argument(
        "--slots", type=int, default=0, help="requests at the same time (0: no limit)"
    )
    return made


def serve(app: web.Application, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; open requests then get a tenth of a second."""
    web.run_app(
        app,
        host=host,
        port=port,
        print=lambda _: print(f"the demo server listens on {host}:{port}", flush=True),
        access_log=None,
        shutdown_timeout=0.1,
        backlog=1024,  # hundreds of clients may connect at once
    )


if __name__ == "__main__":
    args = parser().parse_args()
    key = os.environ.get("VLLM_API_KEY")
    toy = DemoJudge(args.name, key, args.seconds, args.slots, args.writes)
    serve(toy.app(), args.host, args.port)
