"""What the order of games is worth: prefix-cache hits and time on a real vLLM.

    tests/vllm/install.sh && .venv/bin/python benchmarks/orders.py [--repeat 2] [--questions 8] ...

Ten models of seeded text, both games, judged by a small random Llama on the CPU with a cache
smaller than the work. A fresh judge_server.py for each line; hits are vLLM's own count. In turn:

direct, question-major   one loop, all models' games of a question before the next: the ideal
direct, model-major      one loop, model after model: how a script without us does it
clients                  ten gen_judgment clients (arena.playing.judging, as the rule runs it)
clients, no priority     the same on a server that knows no priorities
clients, half late       five of them start when the first five have played half of their games
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

import openai
from arena.data.answers import read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.prompts import own_prompts
from arena.data.questions import read_questions
from arena.playing.judging import Job, judge_model
from arena.serving.health_check import figure
from arena.serving.launch import DEFAULT_COMMANDS, SCRIPTS

PROJECT = Path(__file__).resolve().parents[1]
BLOCK = 32  # tokens in a block of the cache; vLLM's default on the CPU is 128, on a GPU 16
ORDERS = {
    "direct, question-major": "ideal",
    "direct, model-major": "models",
    "clients": "clients",
    "clients, no priority": "fcfs",
    "clients, half late": "late",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--models", type=int, default=10)
    add("--questions", type=int, default=10)
    add("--weights", default="small", help="a folder in .venv-vllm/models")
    add("--slots", type=int, default=8, help="games that vLLM runs at a time")
    add("--parallel", type=int, nargs="+", default=[20], help="requests open in all")
    add("--cache", type=int, nargs="+", default=[16_384], help="tokens in the cache")
    add("--orders", nargs="+", choices=ORDERS.values(), default=list(ORDERS.values()))
    add("--repeat", type=int, default=1)
    add("--client", nargs=2, help=argparse.SUPPRESS)  # a client process: model, folder
    return parser.parse_args()


VOWELS = ("ka", "de", "rin", "sol", "tum", "pa", "ve")


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(VOCABULARY) for _ in range(count))


VOCABULARY = [f"{first}{last}" for first in ("mo", "ti", "wa", "li", "gra") for last in VOWELS]


def write_case(folder: Path, models: int, questions: int) -> None:
    """Questions of 40 to 120 words, answers of 100 to 300: the proportions of real ones."""
    rng = random.Random(7)
    (folder / "model_answer").mkdir(parents=True)
    asked = [
        {"uid": f"q{n:03d}", "category": "hard_prompt", "prompt": words(rng, rng.randint(40, 120))}
        for n in range(questions)
    ]
    (folder / "question.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    for name in ["base", *(f"m{n}" for n in range(models))]:
        lines = []
        for question in asked:
            text = {"role": "assistant", "content": {"answer": words(rng, rng.randint(100, 300))}}
            lines.append({"uid": question["uid"], "model": name, "messages": [{}, text]})
        path = folder / "model_answer" / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def settings() -> dict[str, Any]:
    prompts = own_prompts(PROJECT / "config" / "prompts")
    return {
        "judge": "judge",
        "temperature": 0.0,
        "max_tokens": 16,
        "baseline": {"*": "base"},
        "system_prompt": prompts.system,
        "prompt_template": prompts.template,
    }


def job(model: str, root: Path) -> Job:
    answers = root / "data" / "model_answer"
    return Job(
        model=model,
        answer=answers / f"{model}.jsonl",
        baselines=[answers / "base.jsonl"],
        questions=root / "data" / "question.jsonl",
        server=root / "server" / "r-01.json",
        output=root / "judgments" / f"{model}.jsonl",
    )


class Server:
    """judge_server.py with a real vLLM, ready."""

    def __init__(self, root: Path, args: argparse.Namespace, cache: int, parallel: int, fcfs: bool):
        env = PROJECT / ".venv-vllm"
        command = DEFAULT_COMMANDS["vllm"].replace("priority", "fcfs" if fcfs else "priority")
        command += f" --enforce-eager --dtype bfloat16 --max-num-seqs {args.slots}"
        command += f" --block-size {BLOCK} --num-gpu-blocks-override {cache // BLOCK}"
        command += " --max-model-len 4096"
        judge = {"name": "judge", "server": "vllm", "path": str(env / "models" / args.weights)}
        judge |= {"setup": f"source {env}/bin/activate", "command": command, "parallel": parallel}
        judge |= {"env": {"VLLM_CPU_KVCACHE_SPACE": "1"}, "ready_minutes": 10}
        models = [f"m{n}" for n in range(args.models)]
        batch = {"batch": "r-01", "run": "r", "models": models, "judge": judge, "root": str(root)}
        (root / "batches").mkdir(parents=True)
        (root / "batches" / "r-01.json").write_text(json.dumps(batch | {"resources": {}}))
        logs = root / "logs" / "r-01"
        logs.mkdir(parents=True)
        self.file = root / "server" / "r-01.json"
        self.log = logs / "server.log"
        words = ["--batch", root / "batches" / "r-01.json", "--logs", logs, self.file]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, SCRIPTS / "judge_server.py", *words], stdout=log, stderr=log
            )

    def get(self, path: str) -> str:
        entry = json.loads(self.file.read_text())
        request = urllib.request.Request(entry["url"].removesuffix("/v1") + path)
        request.add_header("Authorization", f"Bearer {entry['key']}")
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read().decode()

    def __enter__(self) -> "Server":
        deadline = time.monotonic() + 600
        while True:
            try:
                self.get("/v1/models")
                return self
            except OSError as error:
                if "judge_failed" in getattr(error, "read", bytes)().decode():
                    deadline = 0
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the judge did not start: {self.log.read_text()[-3000:]}")
                time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


async def ask_directly(root: Path, models: list[str], by_model: bool, parallel: int) -> float:
    """One loop with `parallel` requests open, in the order of a sorted list; the seconds."""
    questions = read_questions(root / "data" / "question.jsonl")
    plain = GameSettings.from_dict(settings())
    read = {name: read_answers(job(name, root).answer).answers for name in ["base", *models]}
    games = [
        (
            (number, game.position, game.index)
            if by_model
            else (game.position, game.index, number),
            game,
        )
        for number, name in enumerate(models)
        for game in plan_games(plain, questions, read[name], {"base": read["base"]})
    ]
    games.sort(key=lambda pair: pair[0])
    entry = json.loads((root / "server" / "r-01.json").read_text())
    client = openai.AsyncOpenAI(base_url=entry["url"], api_key=entry["key"], timeout=3600)
    queue = iter(games)

    async def worker() -> None:
        for _, game in queue:
            await client.chat.completions.create(
                model="judge", messages=game.messages, max_tokens=16, temperature=0.0
            )

    begun = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(parallel)))
    return time.monotonic() - begun


def ask_by_clients(root: Path, models: list[str], late: bool) -> float:
    """Ten client processes; seconds from the first request to the last reply."""

    def start(names: list[str]) -> list[subprocess.Popen]:
        command = [sys.executable, __file__, "--client"]
        with (root / "clients.log").open("a") as log:
            return [
                subprocess.Popen([*command, name, str(root)], stdout=log, stderr=log)
                for name in names
            ]

    first = models[: len(models) // 2] if late else models
    running = start(first)
    if late:
        half = len(read_questions(root / "data" / "question.jsonl")) * len(first)
        while sum(len(games_of(root, name)) for name in first) < half:
            time.sleep(0.1)
        running += start(models[len(first) :])
    if any(process.wait() for process in running):
        sys.exit(f"a client failed: {(root / 'clients.log').read_text()[-3000:]}")
    played = [game for name in models for game in games_of(root, name)]
    ends = [(datetime.fromisoformat(game["time"]).timestamp(), game["seconds"]) for game in played]
    return max(end for end, _ in ends) - min(end - seconds for end, seconds in ends)


def games_of(root: Path, model: str) -> list[dict[str, Any]]:
    path = root / "games" / f"{model}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measure(args: argparse.Namespace, way: str, cache: int, parallel: int) -> dict[str, float]:
    models = [f"m{n}" for n in range(args.models)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_case(root / "data", args.models, args.questions)
        with Server(root, args, cache, parallel, fcfs=way != "clients" and way != "late") as server:
            if way in ("ideal", "models"):
                seconds = asyncio.run(ask_directly(root, models, way == "models", parallel))
            else:
                seconds = ask_by_clients(root, models, way == "late")
            told = server.get("/metrics")
        hits, asked = (figure(told, f"prefix_cache_{name}_total") for name in ("hits", "queries"))
        return {"seconds": seconds, "ratio": hits / asked, "tokens": asked}


def main() -> None:
    args = arguments()
    if args.client:
        model, folder = args.client
        judge_model(job(model, Path(folder)), settings(), None)
        return
    names = {way: name for name, way in ORDERS.items()}
    print(f"{args.models} models x {args.questions} questions x 2 games, {args.weights}, "
          f"{args.slots} at a time, {os.cpu_count()} cores")  # fmt: skip
    print(
        f"{'order':24}{'cache':>8}{'open':>6}{'hits':>7}{'seconds':>9}{'tokens':>9}{'to first':>10}"
    )
    for cache in args.cache:
        for parallel in args.parallel:
            for _ in range(args.repeat):
                ideal = None
                for way in args.orders:
                    found = measure(args, way, cache, parallel)
                    ideal = ideal or found["seconds"]
                    print(
                        f"{names[way]:24}{cache:8}{parallel:6}{found['ratio']:7.3f}"
                        f"{found['seconds']:9.1f}{found['tokens']:9.0f}"
                        f"{found['seconds'] / ideal:10.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
