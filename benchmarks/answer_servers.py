"""GPU hours of the answers of 117 checkpoints: adapters that share a server, whole ones in a row,
or a job each. Simulated.

    python benchmarks/answer_servers.py [--start 180] [--tokens-per-second 3000]

A server starts in `start` seconds and writes so many tokens a second where all slots are busy; a
slot keeps its speed when others are idle, so that each serving has the tail of its longest answers.
Adapters cost a share of the speed (vLLM's documentation: 4 to 34 %). Lengths of answers are drawn,
seeded. Prints hours and their ratio to a job a checkpoint.
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
    """Seconds of one server: answers begin in order as slots come free; a slot's speed is its share
    of the server's where all are busy."""
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

    row("a job a checkpoint", CHECKPOINTS, CHECKPOINTS, alone)
    row("ten checkpoints a job", len(groups), CHECKPOINTS, alone)
    for cost in LORA:
        together = (list(chain.from_iterable(group)) for group in groups)
        shared = sum(serving(tokens, start, rate * (1 - cost)) for tokens in together)
        row(f"ten adapters a server, {cost:.0%} slower", len(groups), len(groups), shared)


if __name__ == "__main__":
    main()
