"""How long a campaign takes on how many GPUs, simulated game by game.

    python benchmarks/campaign_simulation.py [--gpus 1 4 12 40 120] [--batch 1 5 10 20] ...
    python benchmarks/campaign_simulation.py --check     the cache's model against real vLLM runs

A campaign is models x questions x 2 games, in batches of some models; each batch is a job of
`--gpus-per-job` GPUs. A job loads the judge, then plays; what is left at its walltime is played by
a second job with twice the time, as Snakemake's retry does it.

Assumptions, each an option:
- prompts are system + question + two answers, of random length around the real means (2,220
  tokens in all on 175,500 games), replies of 350 tokens;
- the server runs as many games as its cache has room for, at most `--slots`; it computes prompt
  tokens that are not in its cache at `--prefill` a second and reply tokens at `--decode` a second,
  all games together (70B in FP8 on one H100: computed from its arithmetic, not measured);
- the cache drops what was used longest ago, and finds only whole beginnings of prompts;
- jobs start at once when GPUs are free (no queue of other users).

"busy" is the share of the GPU hours in which games were played. "batches of one" show what
starting the judge for each model costs, and what its order costs: nothing but the system prompt is
shared.
"""

import argparse
import functools
import heapq
import random
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Real:
    """A line of benchmarks/orders.py: ten models, 8 games at a time. seconds: of play."""

    order: str
    questions: int
    cache: int
    hits: float
    seconds: float


MEASURED = (
    Real("ideal", 10, 16_384, 0.554, 55.1),
    Real("models", 10, 16_384, 0.389, 73.4),
    Real("ideal", 5, 16_384, 0.544, 29.1),
    Real("ideal", 5, 8_192, 0.544, 30.6),
    Real("ideal", 5, 32_768, 0.544, 30.8),
)


@dataclass(frozen=True)
class Lengths:
    """Tokens: of the system prompt, and lower and upper ends of questions, answers, replies."""

    system: int
    question: tuple[int, int]
    answer: tuple[int, int]
    reply: tuple[int, int]


REAL = Lengths(system=450, question=(20, 500), answer=(150, 1360), reply=(150, 550))


@dataclass(frozen=True)
class Machine:
    """A judge server. Rates are tokens a second, all games together."""

    slots: int
    cache: int
    prefill: float
    decode: float
    start: float  # seconds until it is ready


class SegmentCache:
    """A prefix cache of whole segments (system, question, first answer, second answer)."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.used = capacity, 0
        self.held: OrderedDict[tuple, int] = OrderedDict()

    def uncached(self, segments: list[tuple[str, int]]) -> int:
        """Tokens of a prompt that must be computed; it is in the cache from now on."""
        path, missing, found, keys = (), 0, True, []
        for name, size in segments:
            path = (*path, name)
            found = found and path in self.held
            missing += 0 if found else size
            keys.append((path, size))
        for path, size in reversed(keys):  # the ends of prompts go before what others share
            if path not in self.held:
                self.used += size
            self.held[path] = size
            self.held.move_to_end(path)
        while self.used > self.capacity:
            self.used -= self.held.popitem(last=False)[1]
        return missing


@dataclass(frozen=True, slots=True)
class Game:
    """Prompt as named segments with their tokens, and tokens of the reply."""

    segments: list[tuple[str, int]]
    reply: int


def games_of(models: list[str], questions: int, lengths: Lengths) -> Iterator[tuple[int, Game]]:
    """Games of some models, question by question, as the clients' priorities order them."""
    for question in range(questions):
        about = sized(f"q{question}", lengths.question)
        base = sized(f"base {question}", lengths.answer)
        answers = [sized(f"{model} {question}", lengths.answer) for model in models]
        for swapped in (False, True):
            for number, answer in enumerate(answers):
                pair = [answer, base] if swapped else [base, answer]
                reply = sized(f"{answer[0]} {swapped}", lengths.reply)[1]
                yield number, Game([("system", lengths.system), about, *pair], reply)


def sized(name: str, ends: tuple[int, int]) -> tuple[str, int]:
    """A name and the number of tokens that it always has."""
    return name, random.Random(name).randint(*ends)


@dataclass
class Played:
    """What a server has done: seconds of play, games, prompt tokens, those from the cache."""

    seconds: float = 0.0
    games: int = 0
    prompt: int = 0
    cached: int = 0

    @property
    def ratio(self) -> float:
        return self.cached / self.prompt if self.prompt else 0.0


def play(games: Iterable[Game], machine: Machine, until: float = float("inf")) -> Played:
    """Play games in their order, at most `slots` at a time, for `until` seconds.

    A game that starts beside n - 1 others takes n times what it takes alone: they share the GPU.
    """
    cache, done = SegmentCache(machine.cache), Played()
    running: list[float] = []
    now = 0.0
    for game in games:
        if len(running) >= machine.slots:
            now = heapq.heappop(running)
        missing = cache.uncached(game.segments)
        size = sum(tokens for _, tokens in game.segments)
        alone = missing / machine.prefill + game.reply / machine.decode
        end = now + alone * (len(running) + 1)
        if end > until:
            break
        heapq.heappush(running, end)
        done.games += 1
        done.prompt += size
        done.cached += size - missing
    done.seconds = max(running, default=0.0)
    return done


@dataclass
class Campaign:
    """Hours to the end, GPU hours, and of these the hours in which games were played."""

    hours: float
    gpu_hours: float
    busy: float
    ratio: float
    jobs: int


@functools.cache  # the same jobs, on however many GPUs
def play_job(
    models: tuple[str, ...], questions: int, skip: int, machine: Machine, seconds: float
) -> tuple[Played, int]:
    """What a job plays in so many seconds after the first `skip` games, and how many are left."""
    games = [game for _, game in games_of(list(models), questions, REAL)][skip:]
    done = play(games, machine, seconds)
    return done, len(games) - done.games


def campaign(
    models: int, questions: int, batch: int, gpus: int, per_job: int, machine: Machine, limit: float
) -> Campaign:
    """Simulate a whole campaign; `limit` is a first job's walltime in seconds."""
    names = [f"m{number}" for number in range(models)]
    waiting = [(tuple(names[start : start + batch]), 0, 1) for start in range(0, models, batch)]
    free = [0.0] * (gpus // per_job)  # when each share of the GPUs is free
    held = busy = end = 0.0
    total, jobs = Played(), 0
    while waiting:
        who, skip, attempt = waiting.pop(0)
        begin = heapq.heappop(free)
        done, left = play_job(who, questions, skip, machine, limit * attempt - machine.start)
        if not done.games:
            raise SystemExit("the walltime is over before a game is played: raise --walltime")
        took = machine.start + done.seconds
        heapq.heappush(free, begin + took)
        held, busy, end = held + took, busy + done.seconds, max(end, begin + took)
        total.prompt, total.cached = total.prompt + done.prompt, total.cached + done.cached
        jobs += 1
        if left:
            waiting.append((who, skip + done.games, attempt + 1))
    hours = 3600 / per_job
    return Campaign(end / 3600, held / hours, busy / hours, total.ratio, jobs)


def check() -> None:
    """The cases of benchmarks/orders.py, in the tokens of its model, against real vLLM runs.

    The first run sets the speed of the machine; the others' seconds follow from it.
    """
    # its words have 4.3 tokens in that model's tokenizer
    case = Lengths(system=1070, question=(172, 517), answer=(430, 1292), reply=(16, 16))
    models = [f"m{number}" for number in range(10)]
    print(
        f"{'order':10}{'questions':>10}{'cache':>8}{'hits':>7}{'vLLM':>7}{'seconds':>9}{'vLLM':>7}"
    )
    scale = None
    for real in MEASURED:
        games = list(games_of(models, real.questions, case))
        if real.order == "models":
            games.sort(key=lambda pair: pair[0])
        if real.order == "ones":  # each on a server of its own: an empty cache
            parts = [[game for game in games if game[0] == number] for number in range(10)]
        else:
            parts = [games]
        machine = Machine(slots=8, cache=real.cache, prefill=1000, decode=1000, start=0)
        done = [play((game for _, game in part), machine) for part in parts]
        hits = sum(one.cached for one in done) / sum(one.prompt for one in done)
        seconds = sum(one.seconds for one in done)
        scale = scale or real.seconds / seconds
        print(
            f"{real.order:10}{real.questions:10}{real.cache:8}{hits:7.3f}{real.hits:7.3f}"
            f"{seconds * scale:9.0f}{real.seconds:7.0f}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--models", type=int, default=117)
    add("--questions", type=int, default=750)
    add("--gpus", type=int, nargs="+", default=[1, 4, 12, 40, 120])
    add("--batch", type=int, nargs="+", default=[1, 5, 10, 20])
    add("--gpus-per-job", type=int, default=1)
    add("--cache", type=int, default=100_000, help="tokens in the server's cache")
    add("--slots", type=int, default=64)
    add("--prefill", type=float, default=6000.0)
    add("--decode", type=float, default=1200.0)
    add("--start", type=float, default=600.0, help="seconds until the judge is ready")
    add("--walltime", type=float, default=20 + 12 * 10, help="minutes of a first job of ten")
    add("--check", action="store_true", help="compare the cache's model with real runs")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.check:
        check()
        return
    machine = Machine(args.slots, args.cache, args.prefill, args.decode, args.start)
    print(
        f"{args.models} models x {args.questions} questions x 2 = "
        f"{args.models * args.questions * 2:,} games; {args}"
    )
    print(f"{'GPUs':>5}{'batch':>6}{'jobs':>6}{'hours':>8}{'GPU h':>8}{'busy':>7}{'cached':>8}")
    for gpus in args.gpus:
        for batch in args.batch:
            limit = 60 * (args.walltime - 20) * batch / 10 + 60 * 20
            found = campaign(
                args.models, args.questions, batch, gpus, args.gpus_per_job, machine, limit
            )
            print(
                f"{gpus:5}{batch:6}{found.jobs:6}{found.hours:8.2f}{found.gpu_hours:8.2f}"
                f"{found.busy / found.gpu_hours:7.1%}{found.ratio:8.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
