"""Speed of the client: games per second and core, with a judge that answers at once.

    python benchmarks/client.py [--games 4000] [--rounds 3]

The judge is a separate process that sends a prepared reply of 2 kB; prompts have 9 kB, like real
ones. Clients, each with the same games, by turns; the best of all rounds is shown:

ours      the whole client: games in order, back-off, verdicts, journal
bare      the same number of aiohttp tasks, which read the verdict and store nothing
serial    one request after the other, like a simple script
"""

import argparse
import asyncio
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import aiohttp
from arena.client.asker import Asker
from arena.client.client import Client
from arena.client.deadline import Deadline
from arena.data.answers import Answer
from arena.data.games import GameSettings, plan_games
from arena.data.questions import Question
from arena.journals.batch_games import BatchGames
from arena.journals.journal import Journal

PARALLEL = 32
SETTINGS = GameSettings.from_dict(
    {
        "judge": "judge",
        "temperature": 0,
        "max_tokens": 4096,
        "baseline": {"*": "base"},
        "system_prompt": {"*": "You judge two answers. " * 60},
        "prompt_template": "{QUESTION}\n<A>{ANSWER_A}</A>\n<B>{ANSWER_B}</B>",
    }
)

INSTANT = r"""
import asyncio, json, sys
text = "A is better. " * 150 + "[[A>B]]"
choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
usage = {"prompt_tokens": 2000, "completion_tokens": 300, "total_tokens": 2300}
done = {"id": "x", "object": "chat.completion", "created": 1, "model": "judge",
        "choices": [choice], "usage": usage}
def reply(plain):
    body = json.dumps(plain).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body
GAME, MODELS = reply(done), reply({"object": "list", "data": [{"id": "judge"}]})
class Instant(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15:].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.data) < end + 4 + size:
                return
            self.data = self.data[end + 4 + size:]
            self.transport.write(MODELS if head.startswith(b"get") else GAME)
async def main():
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def games(number: int) -> tuple[GameSettings, list]:
    questions = [Question(f"q{n}", "hard", f"Question {n}? " * 40, n) for n in range(number // 2)]

    def answers(name: str) -> dict[str, Answer]:
        return {q.uid: Answer(q.uid, f"{name} {q.uid} " * 280, None) for q in questions}

    return plan_games(SETTINGS, questions, answers("mine"), {"base": answers("base")})


async def ours(port: int, todo: list) -> int:
    here = {"url": f"http://127.0.0.1:{port}/v1", "key": "k"}
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "m.jsonl") as journal:
        asker = Asker([here], SETTINGS, timeout=60, log=print)
        client = Client(
            BatchGames(SETTINGS, {"m": todo}, {"m": journal}),
            asker,
            deadline=Deadline(10_000),
            parallel=PARALLEL,
        )
        await client.run()
        await asker.close()
        return sum(record.state == "ok" for record in journal.records.values())


async def bare(port: int, todo: list, tasks: int = PARALLEL) -> int:
    waiting = iter(todo)
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as session:

        async def worker() -> int:
            played = 0
            for game in waiting:
                async with session.post(url, json=SETTINGS.request(game)) as reply:
                    message = (await reply.json())["choices"][0]["message"]
                played += SETTINGS.verdict(message["content"]) is not None
            return played

        return sum(await asyncio.gather(*(worker() for _ in range(tasks))))


async def serial(port: int, todo: list) -> int:
    return await bare(port, todo[: len(todo) // 4], tasks=1)


WAYS = {"ours": ours, "bare": bare, "serial": serial}


def once(way: str, port: int, number: int) -> dict:
    """Measure one client in this process. Games are planned before the clock starts."""
    todo = games(number)
    wall, core = time.perf_counter(), time.process_time()
    played = asyncio.run(WAYS[way](port, todo))
    wall, core = time.perf_counter() - wall, time.process_time() - core
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"played": played, "wall": wall, "core": core, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    judge = subprocess.Popen([sys.executable, "-c", INSTANT], stdout=subprocess.PIPE, text=True)
    best: dict[str, dict] = {}
    try:
        port, spawn = int(judge.stdout.readline()), multiprocessing.get_context("spawn")
        for _ in range(options.rounds):
            for way in WAYS:
                with ProcessPoolExecutor(1, spawn) as fresh:  # a new process, with fresh memory
                    seen = fresh.submit(once, way, port, options.games).result()
                if way not in best or seen["core"] < best[way]["core"]:
                    best[way] = seen
    finally:
        judge.kill()
        judge.communicate()
    print(
        f"{os.cpu_count()} cores, {options.games} games, {PARALLEL} open, best of {options.rounds}"
    )
    print("way     games/s  games/s and core    of bare   memory MB")
    rate = {way: seen["played"] / seen["core"] for way, seen in best.items()}
    for way, seen in best.items():
        wall = seen["played"] / seen["wall"]
        ratio = rate[way] / rate["bare"]
        print(f"{way:7} {wall:7.0f}  {rate[way]:16.0f}   {ratio:8.2f}   {seen['memory']:9.0f}")


if __name__ == "__main__":
    main()
