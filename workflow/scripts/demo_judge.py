"""The demo judge: `python demo_judge.py --port 8000`. A toy, not a language model.

It serves OpenAI's chat completions with deterministic verdicts made from word counts;
VLLM_API_KEY, if set, is asked for. The options below let it stand in for a real judge's speed,
faults and bad habits.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from arena.demo.faults import Faults
from arena.demo.judge import PrefixCache
from arena.demo.server import Speed, Toy, open_log
from arena.support.web import serve

LAST_WORDS = {  # what vLLM prints before it ends with status 1
    "oom": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB.",
    "cache": "ValueError: No available memory for the cache blocks.",
    "path": "OSError: /no/such/weights is not a local folder and is not a valid model identifier.",
    "option": "demo_judge.py: error: unrecognized arguments: --no-such-option",
    "crash": "RuntimeError: Engine core initialization failed. See root cause above.",
    "quiet": "",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, required=True)
    add("--name", default="demo-judge", help="the name it lists and answers to")
    add("--seconds", type=float, default=0.0, help="a game takes this long")
    add("--prefill", type=float, default=0.0, help="and this long per 1,000 uncached prompt tokens")
    add("--slots", type=int, default=0, help="games that run at the same time (0: all)")
    add("--cache-tokens", type=int, default=200_000, help="size of the simulated prefix cache")
    add("--context", type=int, default=0, help="tokens of prompt and reply (0: no limit)")
    add("--request-log", type=Path, help="JSONL, a line a call")
    add("--faults", default="{}", help="schedule of faults: JSON, or a file with it")
    add("--fault-log", type=Path, help="JSONL, a line a fault; read back at start")
    add("--load-seconds", type=float, default=0.0, help="refuses connections for so long")
    add("--fail", choices=LAST_WORDS, help="ends while it loads")
    add("--exit-status", type=int, default=1, help="of --fail")
    add("--deaf", action="store_true", help="ignores SIGTERM while it loads")
    add("--clingy", action="store_true", help="ignores SIGTERM while a call is open")
    add(
        "--litter",
        action="store_true",
        help="starts a process in a session of its own, and leaves it",
    )
    return parser.parse_args()


async def run(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    schedule = Path(args.faults).read_text() if Path(args.faults).is_file() else args.faults
    toy = Toy(
        name=args.name,
        key=os.environ.get("VLLM_API_KEY"),
        cache=PrefixCache(args.cache_tokens),
        faults=Faults(json.loads(schedule), args.fault_log),
        speed=Speed(args.slots, args.seconds, args.prefill),
        context=args.context,
        log=open_log(args.request_log),
    )
    server = await serve(toy, args.host, args.port)
    print(f"toy judge {args.name} listens on {args.host}:{args.port}", flush=True)
    stop = asyncio.Event()

    def asked_to_stop() -> None:
        if not (args.clingy and toy.open):
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop)
    await stop.wait()
    server.close()


def main() -> None:
    args = arguments()
    if args.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if args.litter:
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(3600)"
        child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True)
        print(f"started worker {child.pid}", flush=True)
    time.sleep(args.load_seconds)  # as weights take time: nothing listens meanwhile
    if args.fail:
        print(LAST_WORDS[args.fail], file=sys.stderr)
        sys.exit(args.exit_status)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(args))


if __name__ == "__main__":
    main()
