"""Effect of the order of games on a real vLLM: cache hits and time.

    tests/vllm/install.sh && .venv/bin/python benchmarks/orders.py [--orders ideal workflow] ...

Answers are random text with a seed. The judge is a small random Llama on the CPU, whose cache is
smaller than all prompts. By turns:

ideal      one loop over all games, question by question: the optimum
models     one loop, model by model: like a simple script
longest    one loop, the longest prompts first: the shortest tail, and its cost
workflow   `snakemake`: a batch starts vLLM and plays
ones       `snakemake` with one batch per model: one server after the other

"hits" are vLLM's own count (loops) or the ledger's (workflow). "play" is from the first request to
the last reply, "whole" the whole command. "tail" is the time after the last request, "idle" the
share of play before it with fewer games in flight than the server runs at a time. "x first" is play
relative to the first row with the same cache and number of open requests. "gap" is the longest time
in play without a game in flight. "ran" is the average number of running games by vLLM's metrics.
"""

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

import aiohttp
from arena.data.answers import read_answers
from arena.data.games import Game, GameSettings, plan_games
from arena.data.prompts import own_prompts
from arena.data.questions import read_questions
from arena.judge.health import figure
from arena.setup.judge_command import DEFAULT_COMMANDS

from tests.served import Served
from tests.workflow.conftest import copy_project, read_lines, read_tsv, write_lines

PROJECT = Path(__file__).resolve().parents[1]
ENV = PROJECT / ".venv-vllm"
BLOCK = 32  # tokens in a block of the cache; vLLM's default on the CPU is 128, on a GPU 16
LOOPS, RUNS = ("ideal", "models", "longest"), ("workflow", "ones")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--models", type=int, default=10)
    add("--questions", type=int, default=6)
    add("--weights", default="small", help="a folder in .venv-vllm/models")
    add("--slots", type=int, default=8, help="games that vLLM runs at a time")
    add("--parallel", type=int, nargs="+", default=[0], help="requests open in all; 0: unset")
    add("--cache", type=int, nargs="+", default=[16_384], help="tokens in the cache")
    add("--reply", type=int, default=16, help="tokens that a reply may have")
    add("--orders", nargs="+", choices=LOOPS + RUNS, default=["ideal", "workflow"])
    add("--repeat", type=int, default=1)
    return parser.parse_args()


@dataclass
class Found:
    """A row of the table. spans: start and end of every game, s. looks: vLLM's metrics by time."""

    hits: float
    tokens: int
    whole: float
    open: int
    spans: list[tuple[float, float]]
    looks: list[tuple[float, str]] = field(default_factory=list)

    @property
    def play(self) -> float:
        return max(end for _, end in self.spans) - min(begin for begin, _ in self.spans)

    def idle(self, slots: int) -> tuple[float, float, float]:
        """Share of play before its tail with fewer than `slots` games; longest gap, s; tail, s."""
        counts = open_over_time(self.spans)
        last_begin = max(begin for begin, _ in self.spans)
        steps = [(count, then - now, now) for (now, count), (then, _) in pairwise(counts)]
        below = sum(took for count, took, now in steps if count < slots and now < last_begin)
        gap = max((took for count, took, _ in steps if not count), default=0.0)
        return below / self.play, gap, counts[-1][0] - last_begin

    @property
    def ran(self) -> float:
        begin, end = min(b for b, _ in self.spans), max(e for _, e in self.spans)
        inside = [text for moment, text in self.looks if begin <= moment <= end]
        running = [figure(text, "num_requests_running") or 0.0 for text in inside]
        return sum(running) / len(running) if running else float("nan")


def open_over_time(spans: list[tuple[float, float]]) -> list[tuple[float, int]]:
    """Times at which the number of games in flight changed, and the new number."""
    changes = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    return list(zip((t for t, _ in changes), accumulate(c for _, c in changes), strict=True))


def spans_of(journals: Iterable[Path]) -> list[tuple[float, float]]:
    """Start and end of each game in some journals, in seconds since 1970."""
    spans = []
    for path in journals:
        for game in read_lines(path):
            end = datetime.fromisoformat(game["time"]).timestamp()
            spans.append((end - game["seconds"], end))
    return spans


def words(rng: random.Random, least: int, most: int) -> str:
    heads, tails = ("mo", "ti", "wa", "li", "gra"), ("ka", "de", "rin", "sol", "tum", "pa", "ve")
    vocabulary = [first + last for first in heads for last in tails]
    return " ".join(rng.choice(vocabulary) for _ in range(rng.randint(least, most)))


def write_case(folder: Path, models: list[str], questions: int) -> None:
    """Questions of 40 to 120 words, answers of 100 to 300, as in real proportions."""
    rng = random.Random(7)
    asked = [
        {"uid": f"q{n:03d}", "category": "hard_prompt", "prompt": words(rng, 40, 120)}
        for n in range(questions)
    ]
    write_lines(folder / "question.jsonl", asked)
    for name in ["base", *models]:
        lines = []
        for question in asked:
            user = {"role": "user", "content": question["prompt"]}
            answer = {"role": "assistant", "content": {"answer": words(rng, 100, 300)}}
            lines.append({"uid": question["uid"], "model": name, "messages": [user, answer]})
        write_lines(folder / "model_answer" / f"{name}.jsonl", lines)


def judge_of(args: argparse.Namespace, cache: int, parallel: int) -> dict[str, Any]:
    """`judge` of a config: vLLM's default command, with options for a CPU and a small cache."""
    command = DEFAULT_COMMANDS["vllm"]
    command += f" --enforce-eager --dtype bfloat16 --max-num-seqs {args.slots}"
    command += f" --block-size {BLOCK} --num-gpu-blocks-override {cache // BLOCK}"
    command += " --max-model-len 4096"
    judge = {"name": "judge", "server": "vllm", "path": str(ENV / "models" / args.weights)}
    judge |= {"setup": f"source {ENV}/bin/activate", "command": command, "ready_minutes": 10}
    # the dev mode can reset the cache, so that loops can share a server
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_SERVER_DEV_MODE": "1"}
    judge |= {"env": env, "max_tokens": args.reply, "temperature": 0, "no_verdict_limit": 0}
    judge["timeout_s"] = 1800  # no game must be asked twice, even on a busy machine
    return judge | ({"parallel": parallel} if parallel else {})


def metrics(root: Path) -> str:
    """Metrics of the newest vLLM below a results folder; "" if none answers."""
    logs = sorted(root.glob("logs/*/server.log"), key=lambda log: log.stat().st_mtime)
    with suppress(OSError, IndexError):
        url = re.findall(r"http://127\.0\.0\.1:\d+", logs[-1].read_text())[-1]
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as page:
            return page.read().decode()
    return ""


@contextmanager
def looking(root: Path, every: float = 0.5) -> Iterator[list[tuple[float, str]]]:
    """Collect the metrics of the vLLM that runs below a results folder, with their times."""
    looks: list[tuple[float, str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            if text := metrics(root):
                looks.append((time.time(), text))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


# --- through the workflow


def run_workflow(args: argparse.Namespace, way: str, cache: int, parallel: int) -> Found:
    models = [f"m{n}" for n in range(args.models)]
    with tempfile.TemporaryDirectory(prefix="orders_") as folder:
        campaign = copy_project(PROJECT, Path(folder) / "campaign")
        write_case(campaign.dir / "data" / "orders", models, args.questions)
        campaign.configure(
            bench="orders",
            data_dir="data",
            baseline="base",
            batch_size=1 if way == "ones" else args.models,
            judge=judge_of(args, cache, parallel),
            leaderboard=None,
        )
        with looking(campaign.root) as looks:
            begun = time.monotonic()
            campaign.run()
            whole = time.monotonic() - begun
        spans, opened = spans_of(campaign.root.glob("games/*.jsonl")), 0
        for file in campaign.root.glob("logs/*/server.log"):
            for line in file.read_text().splitlines():
                if line.endswith("requests open"):
                    opened = int(line.split()[-3])
        total = read_tsv(campaign.root / "ledger.tsv")[-1]
        prompt, cached = int(total["prompt_tokens"]), int(total["cached_tokens"])
        states = Counter(game["state"] for name in models for game in campaign.journal(name))
        print(f"  {dict(states)}; ledger: {total}", file=sys.stderr)
        return Found(cached / prompt, prompt, whole, parallel or opened, spans, looks)


# --- one loop


class Server(Served):
    """A real vLLM, started like a batch's, ready, in its own folder."""

    def __init__(self, args: argparse.Namespace, cache: int):
        self.folder = tempfile.TemporaryDirectory(prefix="orders_")
        super().__init__(Path(self.folder.name), judge_of(args, cache, 0), hang=600.0, engine=600.0)

    def __enter__(self) -> "Server":
        try:
            self.start().ready(600)
        except AssertionError:
            sys.exit(f"the judge did not start: {self.log[-3000:]}")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(60)
        self.folder.cleanup()

    def counted(self) -> tuple[float, ...]:
        """Prompt tokens found in the cache, and all prompt tokens, since vLLM's start."""
        text = metrics(self.root)
        return tuple(figure(text, f"prefix_cache_{name}_total") for name in ("hits", "queries"))


def games_in_order(
    data: Path, models: list[str], way: str, reply: int
) -> tuple[GameSettings, list[Game]]:
    settings = GameSettings.from_dict(
        {
            "judge": "judge",
            "temperature": 0,
            "max_tokens": reply,
            "baseline": {"*": "base"},
        }
        | own_prompts(PROJECT / "config" / "prompts")
    )
    questions = read_questions(data / "question.jsonl")
    read = {
        name: read_answers(data / "model_answer" / f"{name}.jsonl").answers
        for name in ["base", *models]
    }
    keyed = []
    for number, name in enumerate(models):
        for game in plan_games(settings, questions, read[name], {"base": read["base"]}):
            key = (game.position, game.index, number)
            if way == "models":
                key = (number, game.position, game.index)
            elif way == "longest":
                key = (-sum(len(message["content"]) for message in game.messages), *key)
            keyed.append((key, game))
    return settings, [game for _, game in sorted(keyed, key=lambda pair: pair[0])]


async def ask_in_a_loop(
    server: Server, settings: GameSettings, games: list[Game], parallel: int
) -> list[tuple[float, float]]:
    queue, spans = iter(games), []
    headers = {"Authorization": f"Bearer {server.told['key']}"}
    limits = aiohttp.ClientTimeout(total=3600)
    async with aiohttp.ClientSession(headers=headers, timeout=limits) as session:

        async def worker() -> None:
            for game in queue:
                begin = time.time()
                url = f"{server.told['url']}/chat/completions"
                async with session.post(url, json=settings.request(game)) as reply:
                    assert reply.status == 200, await reply.text()
                    await reply.read()
                spans.append((begin, time.time()))

        await asyncio.gather(*(worker() for _ in range(parallel)))
    return spans


def run_loop(args: argparse.Namespace, server: Server, way: str, parallel: int) -> Found:
    models = [f"m{n}" for n in range(args.models)]
    parallel = parallel or server.told["parallel"]
    with tempfile.TemporaryDirectory(prefix="orders_") as folder:
        write_case(Path(folder), models, args.questions)
        settings, games = games_in_order(Path(folder), models, way, args.reply)
    assert server.get("/reset_prefix_cache", body={})[0] == 200
    before = server.counted()
    with looking(server.root) as looks:
        begun = time.monotonic()
        spans = asyncio.run(ask_in_a_loop(server, settings, games, parallel))
        whole = time.monotonic() - begun
    hits, tokens = (now - then for now, then in zip(server.counted(), before, strict=True))
    return Found(hits / tokens, int(tokens), whole, parallel, spans, looks)


# --- the table

HEAD = ("cache", "open", "hits", "play s", "x first", "whole s", "idle", "gap s", "tail s", "ran")


def main() -> None:
    args = arguments()
    size = f"{args.models} models x {args.questions} questions x 2 games"
    print(f"{size}, {args.weights}, {args.slots} at a time, {os.cpu_count()} cores")
    widths = "{:10}{:>7}{:>6}{:>7}{:>8}{:>9}{:>9}{:>7}{:>7}{:>8}{:>6}{:>9}"
    print(widths.format("order", *HEAD, "tokens"))
    first: dict[tuple[int, int], float] = {}  # play by cache and requests open

    def show(way: str, cache: int, found: Found) -> None:
        below, gap, tail = found.idle(args.slots)
        ratio = found.play / first.setdefault((cache, found.open), found.play)
        print(
            f"{way:10}{cache:7}{found.open:6}{found.hits:7.3f}{found.play:8.1f}{ratio:9.2f}"
            f"{found.whole:9.1f}{below:7.1%}{gap:7.2f}{tail:8.1f}{found.ran:6.1f}{found.tokens:9}",
            flush=True,
        )

    loops = [way for way in args.orders if way in LOOPS]
    runs = [way for way in args.orders if way in RUNS]
    for cache in args.cache:
        turns = [parallel for parallel in args.parallel for _ in range(args.repeat)]
        if loops:
            with Server(args, cache) as server:
                for parallel, way in [(p, way) for p in turns for way in loops]:
                    show(way, cache, run_loop(args, server, way, parallel))
        for parallel, way in [(p, way) for p in turns for way in runs]:
            show(way, cache, run_workflow(args, way, cache, parallel))


if __name__ == "__main__":
    main()
