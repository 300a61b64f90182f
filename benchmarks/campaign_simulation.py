"""Simulated duration of a campaign by number of GPUs, game by game.

    python benchmarks/campaign_simulation.py [--gpus 1 4 12 40 120] [--batch 1 5 10 20] ...
    python benchmarks/campaign_simulation.py --check     compare with real vLLM runs

A campaign is models x questions x 2 games in batches; each batch is a job of `--gpus-per-job` GPUs.
A job loads the judge, then plays. The games left at its walltime are played by a second job with
twice the time, like Snakemake's retry.

Assumptions, most of them options:
- prompts are system + question + two answers, of random length around the real means (2,220
  tokens on 175,500 games), replies of 400 tokens;
- the server runs `--slots` games at a time. All games together, it computes `--prefill` uncached
  prompt tokens and `--decode` reply tokens per second, and at most `--stream` for one game. The
  defaults are a 70B judge in FP8 on one or two GPUs of 80 GB, computed and not measured: cache and
  slots as in profiles/README.md; prefill at 50 %, decoding at 60 % of an H100's limits;
- the cache is LRU and finds only whole segments from the beginning of prompts;
- jobs start at once when GPUs are free (no queue of other users).

"busy" is the share of the GPU hours in which games were played, "x least" the GPU hours relative to
the minimum for as many GPUs. Batches of one show the cost of one judge start per model, with only
the system prompt shared.
"""

import argparse
import functools
import heapq
import random
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from statistics import geometric_mean


@dataclass(frozen=True)
class Real:
    """A row of docs/traffic.md: ten models, 8 games at a time.

    seconds: of play, the mean of its runs; None if they include server starts.
    """

    order: str
    questions: int
    cache: int
    hits: float
    seconds: float | None


MEASURED = (
    Real("ideal", 10, 16_384, 0.554, 55.1),
    Real("models", 10, 16_384, 0.389, 72.5),
    Real("ideal", 5, 16_384, 0.544, 33.9),
    Real("ideal", 5, 8_192, 0.543, 31.7),
    Real("ideal", 5, 32_768, 0.544, 30.1),
    Real("ones", 2, 16_384, 0.316, None),
)


@dataclass(frozen=True)
class Lengths:
    """Tokens: of the system prompt, and the ranges of questions, answers and replies."""

    system: int
    question: tuple[int, int]
    answer: tuple[int, int]
    reply: tuple[int, int]


REAL = Lengths(system=450, question=(20, 500), answer=(150, 1360), reply=(150, 650))


@dataclass(frozen=True)
class Machine:
    """A judge server. Rates are tokens a second: of all games together, and of one reply."""

    slots: int
    cache: int
    prefill: float
    decode: float
    stream: float
    start: float  # seconds until it is ready


# A 70B in FP8, by GPUs of a job. The cache of the first is in 8 bits too.
JUDGES = {
    1: Machine(slots=17, cache=35_300, prefill=6000, decode=1200, stream=30, start=600),
    2: Machine(slots=128, cache=257_000, prefill=12_000, decode=2400, stream=60, start=600),
}


class SegmentCache:
    """A prefix cache of whole segments (system, question, first answer, second answer)."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.used = capacity, 0
        self.segments: OrderedDict[tuple, int] = OrderedDict()

    def uncached(self, segments: list[tuple[str, int]]) -> int:
        """Tokens of a prompt that must be computed; adds the prompt to the cache."""
        path, missing, found, keys = (), 0, True, []
        for name, size in segments:
            path = (*path, name)
            found = found and path in self.segments
            missing += 0 if found else size
            keys.append((path, size))
        for path, size in reversed(keys):  # ends of prompts are dropped before shared beginnings
            if path not in self.segments:
                self.used += size
            self.segments[path] = size
            self.segments.move_to_end(path)
        while self.used > self.capacity:
            self.used -= self.segments.popitem(last=False)[1]
        return missing


@dataclass(frozen=True, slots=True)
class Game:
    """Prompt as named segments with their tokens, and tokens of the reply."""

    segments: list[tuple[str, int]]
    reply: int


def games_of(models: list[str], questions: int, lengths: Lengths) -> Iterator[tuple[int, Game]]:
    """Games of some models in the order of a batch: question by question."""
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
    """A name and its number of tokens, always the same for a name."""
    return name, random.Random(name).randint(*ends)


@dataclass
class Played:
    """Seconds of play, games, prompt tokens, and those of them found in the cache."""

    seconds: float = 0.0
    games: int = 0
    prompt: int = 0
    cached: int = 0

    @property
    def ratio(self) -> float:
        return self.cached / self.prompt if self.prompt else 0.0


def play(games: Iterable[Game], machine: Machine, until: float = float("inf")) -> Played:
    """Play games in order, at most `slots` at a time, for `until` seconds.

    A game that starts while n - 1 others run has 1/n of the GPU, but its reply may be slower: each
    token waits until the weights have been read.
    """
    cache, done = SegmentCache(machine.cache), Played()
    running: list[float] = []
    now = 0.0
    for game in games:
        if len(running) >= machine.slots:
            now = heapq.heappop(running)
        missing = cache.uncached(game.segments)
        size = sum(tokens for _, tokens in game.segments)
        beside = len(running) + 1
        token = max(beside / machine.decode, 1 / machine.stream)
        end = now + beside * missing / machine.prefill + game.reply * token
        if end > until:
            break
        heapq.heappush(running, end)
        done.seconds = max(done.seconds, end)
        done.games += 1
        done.prompt += size
        done.cached += size - missing
    return done


@dataclass
class Campaign:
    """Hours to the end, GPU hours, and those of them in which games were played."""

    hours: float
    gpu_hours: float
    busy: float
    ratio: float
    jobs: int


@functools.cache  # the same jobs, on however many GPUs
def play_job(
    models: tuple[str, ...], questions: int, skip: int, machine: Machine, seconds: float
) -> tuple[Played, int]:
    """What a job plays in so many seconds after the first `skip` games, and the games left."""
    games = [game for _, game in games_of(list(models), questions, REAL)][skip:]
    done = play(games, machine, seconds)
    return done, len(games) - done.games


def campaign(
    models: int, questions: int, batch: int, gpus: int, per_job: int, machine: Machine, limit: float
) -> Campaign:
    """Simulate a whole campaign; `limit` is a first job's walltime in seconds."""
    names = [f"m{number}" for number in range(models)]
    waiting = [(tuple(names[start : start + batch]), 0, 1) for start in range(0, models, batch)]
    free = [0.0] * (gpus // per_job)  # when the GPUs of each job slot become free
    used = busy = end = 0.0
    total, jobs = Played(), 0
    while waiting:
        who, skip, attempt = waiting.pop(0)
        begin = heapq.heappop(free)
        done, left = play_job(who, questions, skip, machine, limit * attempt - machine.start)
        if not done.games:
            raise SystemExit("the walltime ends before any game is played: raise --walltime")
        took = machine.start + done.seconds
        heapq.heappush(free, begin + took)
        used, busy, end = used + took, busy + done.seconds, max(end, begin + took)
        total.prompt, total.cached = total.prompt + done.prompt, total.cached + done.cached
        jobs += 1
        if left:
            waiting.append((who, skip + done.games, attempt + 1))
    hours = 3600 / per_job
    return Campaign(end / 3600, used / hours, busy / hours, total.ratio, jobs)


def check() -> None:
    """Compare the cases of benchmarks/orders.py with real vLLM runs.

    Seconds are scaled by one factor for all runs: the speed of that machine.
    """
    # a word has 4.3 tokens in that model's tokenizer
    case = Lengths(system=1070, question=(172, 517), answer=(430, 1292), reply=(16, 16))
    models = [f"m{number}" for number in range(10)]
    heads = ("questions", "cache", "hits", "vLLM", "seconds", "vLLM")
    print("{:10}{:>10}{:>8}{:>7}{:>7}{:>9}{:>7}".format("order", *heads))
    found = []
    for real in MEASURED:
        games = list(games_of(models, real.questions, case))
        if real.order == "models":
            games.sort(key=lambda pair: pair[0])
        parts = [games]
        if real.order == "ones":  # one server, and so an empty cache, for each model
            parts = [[game for game in games if game[0] == number] for number in range(10)]
        machine = Machine(8, real.cache, prefill=1000, decode=1000, stream=1000, start=0)
        done = [play((game for _, game in part), machine) for part in parts]
        hits = sum(one.cached for one in done) / sum(one.prompt for one in done)
        found.append((real, hits, sum(one.seconds for one in done)))
    scale = geometric_mean(real.seconds / took for real, _, took in found if real.seconds)
    for real, hits, took in found:
        seconds = f"{took * scale:9.1f}{real.seconds:7.1f}" if real.seconds else ""
        line = f"{real.order:10}{real.questions:10}{real.cache:8}{hits:7.3f}{real.hits:7.3f}"
        print(line + seconds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--models", type=int, default=117)
    add("--questions", type=int, default=750)
    add("--gpus", type=int, nargs="+", default=[1, 2, 12, 24, 120])
    add("--batch", type=int, nargs="+", default=[1, 5, 10, 20])
    add("--gpus-per-job", type=int, default=2, choices=JUDGES)
    add("--cache", type=int, help="tokens in the server's cache")
    add("--slots", type=int, help="games at a time")
    add("--prefill", type=float, help="prompt tokens per second, of all games together")
    add("--decode", type=float, help="reply tokens per second, of all games together")
    add("--stream", type=float, help="reply tokens per second, of one game")
    add("--start", type=float, help="seconds until the judge is ready")
    add("--walltime", type=float, default=20 + 12 * 10, help="minutes of a first job of ten models")
    add("--check", action="store_true", help="compare with real vLLM runs")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.check:
        check()
        return
    given = {name: value for name, value in vars(args).items() if value is not None}
    usual = JUDGES[args.gpus_per_job]
    machine = replace(usual, **{name: given[name] for name in asdict(usual) if name in given})
    size = models, questions = args.models, args.questions
    print(
        f"{models} models x {questions} questions x 2 = {models * questions * 2:,} games; {machine}"
    )
    heads = ("batch", "jobs", "hours", "GPU h", "x least", "busy", "cached")
    print("{:>5}{:>6}{:>6}{:>8}{:>8}{:>8}{:>7}{:>8}".format("GPUs", *heads))
    for gpus in args.gpus:
        if gpus < args.gpus_per_job:
            print(f"{gpus:5} too few for jobs of {args.gpus_per_job}")
            continue
        rows = []
        for batch in args.batch:
            limit = 60 * (args.walltime - 20) * batch / 10 + 60 * 20
            rows.append(campaign(*size, batch, gpus, args.gpus_per_job, machine, limit))
        least = min(row.gpu_hours for row in rows)
        for batch, row in zip(args.batch, rows, strict=True):
            print(
                f"{gpus:5}{batch:6}{row.jobs:6}{row.hours:8.2f}{row.gpu_hours:8.2f}"
                f"{row.gpu_hours / least:8.2f}{row.busy / row.gpu_hours:7.1%}{row.ratio:8.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
