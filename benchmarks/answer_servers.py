"""Simulated GPU hours for the answers of 117 checkpoints: one job per checkpoint, several full
checkpoints per job, or adapters that share a server.

    python benchmarks/answer_servers.py [--start 180] [--tokens-per-second 3000]

A server starts in `start` seconds and generates so many tokens per second when all slots are busy.
A slot keeps its speed when others are idle, so each server has a tail of its longest answers.
Adapters cost a share of the speed (vLLM's documentation: 4 to 34 %). Lengths of answers are random
with a seed. Prints hours and their ratio to one job per checkpoint.
"""

import argparse
import heapq
import random
from itertools import chain

QUESTIONS, CHECKPOINTS, BATCH = 750, 117, 10
MEDIAN, SPREAD, MOST = 600, 0.7, 4096  # tokens of an answer: log-normal, cut at max_tokens
SLOTS = 128  # answers written at a time
LORA = (0.04, 0.34)


def lengths(models: int, chance: random.Random) -> list[int]:
    draw = chance.lognormvariate
    return [min(MOST, max(1, int(MEDIAN * draw(0, SPREAD)))) for _ in range(models * QUESTIONS)]


def serving(tokens: list[int], start: float, rate: float) -> float:
    """Seconds of one server: answers start in order, each in the first free slot, at the slot's
    share of the server's speed."""
    free = [0.0] * SLOTS
    for size in tokens:
        begun = heapq.heappop(free)
        heapq.heappush(free, begun + size / (rate / SLOTS))
    return start + max(free)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--start", type=float, default=180.0, metavar="S")
    parser.add_argument("--tokens-per-second", type=float, default=3000.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance, start, rate = random.Random(given.seed), given.start, given.tokens_per_second
    each = [lengths(1, chance) for _ in range(CHECKPOINTS)]
    groups = [each[n : n + BATCH] for n in range(0, CHECKPOINTS, BATCH)]
    alone = sum(serving(one, start, rate) for one in each)
    print(f"{'':34} jobs starts GPU hours  ratio")

    def row(what: str, jobs: int, starts: int, seconds: float) -> None:
        print(f"{what:34} {jobs:4} {starts:6} {seconds / 3600:9.1f} {seconds / alone:6.2f}")

    row("one job per checkpoint", CHECKPOINTS, CHECKPOINTS, alone)
    row("ten checkpoints per job", len(groups), CHECKPOINTS, alone)
    for cost in LORA:
        together = (list(chain.from_iterable(group)) for group in groups)
        shared = sum(serving(tokens, start, rate * (1 - cost)) for tokens in together)
        row(f"ten adapters per server, {cost:.0%} slower", len(groups), len(groups), shared)


if __name__ == "__main__":
    main()
