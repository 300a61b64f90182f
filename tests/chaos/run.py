"""One chaos run: Snakemake with the local profile, and somebody who breaks what it started.

Everything that is broken is chosen by the seed and happens at a count of calls, not at a time.
"""

import contextlib
import itertools
import json
import math
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from arena.batch.gen_judgment import LIMITS as LIMITS_ENV
from arena.data.layout import Layout
from arena.journals.lock import Holder, is_alive, read_holder
from arena.support.jsonl import write_atomic

from tests.chaos.bench import LIMITS, MODELS, PARALLEL, Bench
from tests.served import eventually
from tests.slurm.campaign import read_lines

# What a user types, but for the target: it leaves out the pages of the report.
COMMAND = (sys.executable, "-m", "snakemake", "--profile", "profiles/local", "show_result")
# How many calls each kind of fault strikes, each the first call of another prompt, and its value.
FAULTS = {"429": (10, "0.3"), "500": (10, None), "503": (10, None), "reset": (10, None)}
FAULTS |= {"garbage": (10, None), "html": (6, None), "cut": (6, None), "stall": (4, None)}
FAULTS |= {"slow": (6, "0.5"), "late": (6, "0.3")}
FAULTS |= {"kill": (1, None), "die": (1, None), "hang": (1, None), "engine": (1, None)}
STRIKES = FAULTS.keys() - {"slow", "late"}  # of these two the reply arrives all the same
# What our own hand does in every run; "torn" kills the batch and tears a journal of it.
DEEDS = ("batch", "batch", "torn", "judge", "keeper", "snakemake")  # while judging
EARLY = ("torn", "judge", "snakemake")  # while answers are made
NEEDED = {*FAULTS, *(f"kill -9: {deed}" for deed in DEEDS)}
NEEDED |= {f"kill -9: {deed}, answering" for deed in EARLY}


@dataclass
class Told:
    """What happened in a run, from the judge's logs and our own notes. Counters are by prompt."""

    calls: list[str]  # in the order in which they came in
    replies: Counter[str] = field(default_factory=Counter)  # a 400 as well: it ends its game
    struck: Counter[str] = field(default_factory=Counter)  # by a fault that left them without one
    failed: Counter[str] = field(default_factory=Counter)  # by an engine that had died before
    faults: Counter[str] = field(default_factory=Counter)  # kind -> injected, our deeds included
    kills: list[int] = field(default_factory=list)  # of the batch or Snakemake: games in flight
    torn: int = 0  # finished games that tearing a journal has cost
    lives: int = 0  # times that the judge was started
    left: list[str] = field(default_factory=list)  # processes that were still there at the end
    seconds: float = 0.0


class Chaos:
    """Plays a bench to its end. faults: the schedule; deeds: what is killed besides."""

    def __init__(self, bench: Bench, seed: int, *, faults: bool):
        self.bench = bench
        self.chance = random.Random(seed)
        self.prompts = bench.prompts()
        answers = Layout(bench.settings.answers.root)
        self.made = [answers.made(model) for model in MODELS]  # there before games are judged
        self.deeds: list[tuple[int, str]] = []
        self.done: Counter[str] = Counter()
        self.kills: list[int] = []
        self.torn = self.lives_due = 0
        self.snakemake: subprocess.Popen | None = None
        # Undisturbed, it is as patient as for a user: a call that a busy machine delays is not
        # asked again.
        self.limits = LIMITS if faults else {}
        if faults:
            games = sum(map(len, self.prompts.values()))
            answers = bench.questions * len(MODELS)
            for deeds, first, end in ((EARLY, 0, answers), (DEEDS, answers, games)):
                # Well before the end, so that there are some to be struck.
                calls = range(first + (end - first) // 12, first + (end - first) * 3 // 4)
                steps = sorted(self.chance.sample(calls, len(deeds)))
                self.deeds += zip(steps, self.chance.sample(deeds, len(deeds)), strict=True)
        bench.write_project(self._judge(), timeout_s=4.0 if faults else 600.0)  # of a stall
        schedule = self._schedule() if faults else {}
        (bench.run / "faults.json").write_text(json.dumps(schedule))
        self._announce()

    def _schedule(self) -> dict[str, list]:
        """Prompt -> the fault that strikes its first call. A reply that is an odd one by itself
        is left alone: a fault that delivers it would make it an ordinary one.
        """
        prompts = sorted(itertools.chain(*self.bench.prompts(plain=True).values()))
        chosen = [[kind, value] for kind, (number, value) in FAULTS.items() for _ in range(number)]
        return dict(zip(self.chance.sample(prompts, len(chosen)), chosen, strict=True))

    def _judge(self) -> str:
        """The command of the judge and of the writers."""
        run = self.bench.run
        judge = [sys.executable, Path(__file__).with_name("judge.py")]
        judge += ["--fault-log", run / "fault.log", "--request-log", run / "request.log"]
        judge += ["--slots", 6, "--seconds", 0.02]
        judge += ["--cache-tokens", 0]  # so that the tokens of a game are the same in every run
        return shlex.join(map(str, judge))

    def play(self, within: float = 1200.0) -> Told:
        """Until Snakemake says that all is done; TimeoutError where that takes too long."""
        begun = time.monotonic()
        try:
            while not self._is_done():
                if time.monotonic() - begun > within:
                    raise TimeoutError(f"{self.bench.run}: not done after {within:.0f} s")
                self._next_deed()
                time.sleep(0.02)
        finally:
            left = self._end()
        told = self._told()
        told.seconds, told.left = time.monotonic() - begun, left
        return told

    def _is_done(self) -> bool:
        """Whether Snakemake has ended well; where it failed or was killed, the same again."""
        if self.snakemake is not None:
            status = self.snakemake.poll()
            if status is None:
                return False
            if status == 0:
                return True
            if status < 0:
                self._run(*COMMAND, "--unlock").wait()
        self.snakemake = self._run(*COMMAND)
        return False

    def _run(self, *command: str) -> subprocess.Popen:
        with (self.bench.run / "snakemake.log").open("a") as log:
            return subprocess.Popen(
                command,
                cwd=self.bench.run,
                stdout=log,
                stderr=log,
                # The first: see `_processes`, and the judge.
                env=os.environ
                | {"CHAOS_RUN": str(self.bench.run), LIMITS_ENV: json.dumps(self.limits)},
            )

    def _announce(self) -> None:
        """Tell the judge after how many calls our next deed is due, and whether while answers are
        made, which they are until these files are there."""
        step = self.deeds[0][0] if self.deeds else math.inf
        due = [step, len(self.deeds) > len(DEEDS), [str(path) for path in self.made]]
        write_atomic(self.bench.run / "due.json", json.dumps(due))

    def _next_deed(self) -> None:
        if not self.deeds or len(read_pairs(self.bench.run / "calls")) < self.deeds[0][0]:
            return
        if len(self._lives()) < self.lives_due:
            return
        deed = self.deeds[0][1]
        answering = not all(path.exists() for path in self.made)
        if answering and len(self.deeds) <= len(DEEDS):
            return  # with its retries, a call of the answers came this late
        if not self._playing():
            return
        with self._frozen():
            if self._playing() and getattr(self, f"_kill_{deed}")():
                self.deeds.pop(0)
                self.done[f"kill -9: {deed}{', answering' if answering else ''}"] += 1
                self._announce()

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        """Nothing of this run goes on meanwhile, so that it does not matter how long we take."""
        stopped: set[int] = set()
        try:
            while new := self._processes().keys() - stopped:
                stopped |= new
                for pid in new:
                    kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in stopped:
                kill(pid, signal.SIGCONT)

    def _kill_batch(self) -> bool:
        killed = kill(self._holder().pid)
        eventually(lambda: not self._holder(), 120)
        self.kills.append(self._in_flight())
        return killed

    def _kill_torn(self) -> bool:
        """Kill the batch, and cut a journal of it as a crash of the node would."""
        killed = self._kill_batch()
        # What is complete was put on disk before its judgments were made.
        journal = self.chance.choice(sorted(path for path in self._open() if path.exists()))
        data = journal.read_bytes()
        size = max(0, len(data) - self.chance.randint(2, 200))
        os.truncate(journal, size)
        self.torn += data.count(b"\n") - data[:size].count(b"\n")
        return killed

    def _kill_judge(self) -> bool:
        pid = int(self._lives()[-1][1])
        return pid in self._processes() and kill(pid)

    def _kill_keeper(self) -> bool:
        """Kill what stands between the batch's program and the judge."""
        for child in psutil.Process(self._holder().pid).children():
            with contextlib.suppress(psutil.Error):  # a zombie
                if "arena.judge.keeper" in " ".join(child.cmdline()):
                    # Nobody could end a judge whose keeper and batch are killed in one moment.
                    self.lives_due = len(self._lives()) + 1
                    return kill(child.pid)
        return False

    def _kill_snakemake(self) -> bool:
        """Kill Snakemake while a batch plays: it lives on for a moment, and the next one meets it.

        It leaves in order, but its judge may reply to what it asked last.
        """
        if self.snakemake.poll() is not None:
            return False
        self.snakemake.kill()
        self.snakemake.wait()
        self.kills.append(PARALLEL)
        return True

    def _holder(self) -> Holder | None:
        """The batch's program, if it lives: it holds the locks of its models' journals."""
        for journal in self.prompts:
            lock = journal.with_name(f"{journal.name}.lock")
            if (holder := read_holder(lock)) and is_alive(holder, lock):
                return holder
        return None

    def _playing(self) -> Holder | None:
        """The batch's program, if it has games in flight."""
        return self._holder() if self._in_flight() else None

    def _in_flight(self) -> int:
        """Games that this judge has to reply to, or has, and that no journal holds."""
        lives = self._lives()
        told = self._told(since=lives[-1][0] if lives else 0.0)
        asked = Counter(told.calls) - told.struck - told.failed
        return sum(asked[prompt] > 0 for prompts in self._open().values() for prompt in prompts)

    def _open(self) -> dict[Path, list[str]]:
        """Journal -> prompts whose games it does not hold; none that is complete."""
        left = {}
        for journal, prompts in self.prompts.items():
            held = {(line["uid"], line["game"]) for line in read_lines(journal)}
            left[journal] = [prompt for prompt, key in prompts.items() if key not in held]
        return {journal: prompts for journal, prompts in left.items() if prompts}

    def _end(self) -> list[str]:
        """Stop what runs; the commands of processes that are there minutes later."""
        if self.snakemake and self.snakemake.poll() is None:
            self.snakemake.terminate()
            self.snakemake.wait()
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self._processes(), 300)
        left = self._processes()
        for pid in left:
            kill(pid)
        return list(left.values())

    def _processes(self) -> dict[int, str]:
        """Every process of this run, by the mark in its environment: pid -> command."""
        found = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it has ended, or is another user's
                if process.environ().get("CHAOS_RUN") == str(self.bench.run):
                    found[process.pid] = " ".join(process.cmdline())
        return found

    def _lives(self) -> list[tuple[float, str]]:
        """Start and process number of each judge."""
        return read_pairs(self.bench.run / "lives")

    def _told(self, since: float = 0.0) -> Told:
        """What the judges say of the calls that came in after `since`."""
        ours = {prompt for prompts in self.prompts.values() for prompt in prompts}
        calls = read_pairs(self.bench.run / "calls")
        told = Told(
            [prompt for time, prompt in calls if prompt in ours and time >= since],
            faults=Counter(self.done),
            kills=self.kills,
            torn=self.torn,
            lives=len(self._lives()),
        )
        for line in read_lines(self.bench.run / "fault.log"):
            if line["digest"] in ours and line["kind"] in FAULTS and line["time"] >= since:
                told.faults[line["kind"]] += 1
                if line["kind"] in STRIKES:
                    told.struck[line["digest"]] += 1
        for line in read_lines(self.bench.run / "request.log"):
            if line["digest"] not in ours or line["in"] < since:
                continue
            # One without a status was in flight at the judge's end.
            if line["fault"] not in STRIKES and (status := line["status"]):
                (told.replies if status < 500 else told.failed)[line["digest"]] += 1
        return told


def kill(pid: int, sign: signal.Signals = signal.SIGKILL) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return False
    return True


def read_pairs(path: Path) -> list[tuple[float, str]]:
    """Whole lines of a time and a word; the last one may just be written."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [(float(time), word) for time, word in map(str.split, lines)]
