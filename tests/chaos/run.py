"""One chaos run: the real supervisor, a real judge and real clients, and somebody who breaks them.

Everything that is broken is chosen by the seed and happens at a count of calls, not at a time.
"""

import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from arena.support.jsonl import iter_lines

from tests.chaos.bench import MODELS, Bench, write_lines

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "workflow" / "scripts"
PARALLEL = 12  # requests in all: four a client
# How many calls each kind of fault strikes, each the first call of another prompt, and its value.
FAULTS = {"429": (10, "0.3"), "500": (10, None), "503": (10, None), "reset": (10, None)}
FAULTS |= {"garbage": (10, None), "html": (6, None), "cut": (6, None), "stall": (4, None)}
FAULTS |= {"slow": (6, "0.5"), "late": (6, "0.3")}
FAULTS |= {"kill": (1, None), "die": (1, None), "hang": (1, None), "engine": (1, None)}
DELIVERED = ("slow", "late")  # of these the reply arrives all the same
# What our own hand does in every run; "torn" kills a client and tears its journal.
DEEDS = ("client", "client", "torn", "judge", "supervisor")
NEEDED = {*FAULTS, *(f"kill -9: {deed}" for deed in DEEDS)}
LIMITS = (
    "--restarts 1000 --start 60 --grace 1 --look 0.3 --hang 2 --engine 1 --backoff 0 --parent 1"
)


@dataclass
class Told:
    """What happened in a run, from the judge's logs and our own notes. Counters are by prompt."""

    calls: list[str]  # in the order in which they came in
    replies: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)  # by a fault that left them without one
    failed: Counter[str] = field(default_factory=Counter)  # by an engine that had died before
    faults: Counter[str] = field(default_factory=Counter)  # kind -> injected, our deeds included
    kills: list[tuple[str, int]] = field(default_factory=list)  # of clients: games in flight
    torn: int = 0  # finished games that tearing a journal has cost
    seconds: float = 0.0


class Chaos:
    """Plays a bench to its end. faults: the schedule; deeds: what is killed besides."""

    def __init__(self, bench: Bench, seed: int, *, faults: bool, slots: int = 6):
        self.bench = bench
        self.seed = seed
        self.chance = random.Random(seed)
        self.prompts = bench.prompts()
        self.games = sum(map(len, self.prompts.values()))
        self.deeds: list[tuple[int, str]] = []
        self.done: Counter[str] = Counter()
        self.kills: list[tuple[str, int]] = []
        self.torn = 0
        self.clients: dict[str, subprocess.Popen] = {}
        self.supervisor: subprocess.Popen | None = None
        self.runs = 0
        if faults:
            deeds = self.chance.sample(DEEDS, len(DEEDS))
            steps = sorted(self.chance.sample(range(self.games // 12, self.games), len(deeds)))
            self.deeds = list(zip(steps, deeds, strict=True))
        self.template = self._batch(self._schedule() if faults else {}, slots)

    def _schedule(self) -> dict[str, list]:
        """Prompt -> the fault that strikes its first call. A reply that is an odd one by itself
        is left alone: a fault that delivers it would make it an ordinary one.
        """
        prompts = self.bench.plain_prompts()
        chosen = [[kind, value] for kind, (number, value) in FAULTS.items() for _ in range(number)]
        return dict(zip(self.chance.sample(prompts, len(chosen)), chosen, strict=True))

    def _batch(self, schedule: dict, slots: int) -> dict:
        """A batch file but for its names."""
        run = self.bench.run
        run.mkdir(parents=True, exist_ok=True)
        (run / "faults.json").write_text(json.dumps(schedule))
        judge = [sys.executable, HERE / "judge.py", "--calls", run / "calls", "--pid", run / "pid"]
        judge += ["--plan", run / "faults.json", "--fault-log", run / "fault.log"]
        judge += ["--request-log", run / "request.log", "--slots", slots, "--seconds", 0.01]
        judge += ["--cache-tokens", 0]  # so that the tokens of a game are the same in every run
        options = " --name {name} --host {host} --port {port}"
        return {
            "root": str(self.bench.root),
            "models": list(MODELS),
            "resources": {},
            "judge": {
                "name": "chaos-judge",
                "server": "vllm",
                "path": "none",
                "setup": None,
                "command": " ".join(shlex.quote(str(part)) for part in judge) + options,
                "endpoints": None,
                "env": {},
                "parallel": PARALLEL,
                "priority": True,
                "timeout_s": 4.0,  # a stall costs so long
                "max_restarts": 1000,
                "ready_minutes": 1,
            },
        }

    def play(self, within: float = 300.0) -> Told:
        """Until every model has its judgment file; TimeoutError where that takes too long."""
        begun = time.monotonic()
        try:
            while not self._finished():
                if time.monotonic() - begun > within:
                    raise TimeoutError(f"{self.bench.run}: not done after {within:.0f} s")
                self._start_what_is_missing()
                self._next_deed()
                time.sleep(0.02)
        finally:
            self._end()
        told = self._told()
        told.seconds = time.monotonic() - begun
        return told

    def _finished(self) -> bool:
        return all(self.bench.job(model).output.exists() for model in MODELS)

    def _start_what_is_missing(self) -> None:
        """As Snakemake, its retries and its user would, for what has failed or was killed."""
        if not self._serves():
            self._end()  # a job whose service has gone ends with all its consumers
            self._start_supervisor()
        for model in MODELS:
            client = self.clients.get(model)
            if self.bench.job(model).output.exists() or (client and client.poll() is None):
                continue
            with (self.bench.run / "clients.log").open("a") as log:
                described = self.bench.described(model, self.batch)
                command = [sys.executable, HERE / "player.py", described]
                self.clients[model] = subprocess.Popen(command, stderr=log)

    def _serves(self) -> bool:
        """Whether the supervisor lives and has not given up on its judge."""
        if self.supervisor is None or self.supervisor.poll() is not None:
            return False
        return not (self.bench.root / "batches" / f"run{self.runs}.judge_failed").exists()

    def _start_supervisor(self) -> None:
        """A new run, with a batch of its own, as every start of Snakemake has."""
        self.runs += 1
        root = self.bench.root
        described = self.template | {"batch": self.batch, "run": f"run{self.runs}"}
        batch = root / "batches" / f"{self.batch}.json"
        write_lines(batch, [described])
        server = self.bench.server(self.batch)
        command = [sys.executable, SCRIPTS / "judge_server.py", *LIMITS.split()]
        command += ["--batch", batch, "--logs", root / "logs" / self.batch, server]
        with (self.bench.run / "supervisor.log").open("a") as log:
            self.supervisor = subprocess.Popen(command, stdout=log, stderr=log)
        self._until(server.exists)

    @property
    def batch(self) -> str:
        return f"run{self.runs}-01"

    def _next_deed(self) -> None:
        if not self.deeds or len(read_calls(self.bench)) < self.deeds[0][0]:
            return
        deed = self.deeds[0][1]
        if getattr(self, f"_kill_{deed}")():
            self.deeds.pop(0)
            self.done[f"kill -9: {deed}"] += 1

    def _kill_client(self) -> str | None:
        """Kill a client that has games in flight; its model, None where there is none."""
        playing = [model for model in MODELS if self._in_flight(model)]
        playing = [model for model in playing if self.clients[model].poll() is None]
        if not playing:
            return None
        model = self.chance.choice(playing)
        self.clients[model].kill()
        self.clients[model].wait()
        self.kills.append((model, self._in_flight(model)))
        return model

    def _kill_torn(self) -> str | None:
        """Kill a client, and cut its journal as a crash of the node would."""
        model = self._kill_client()
        if model is None:
            return None
        journal = self.bench.job(model).journal
        data = journal.read_bytes() if journal.exists() else b""
        if data:
            cut = self.chance.randint(2, 200)
            journal.write_bytes(data[: -min(cut, len(data))])
            self.torn += data.count(b"\n") - journal.read_bytes().count(b"\n")
        return model

    def _kill_judge(self) -> bool:
        """Kill a judge that has games in flight."""
        if not any(map(self._in_flight, MODELS)):
            return False
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self.bench.run / "pid").read_text()), signal.SIGKILL)
            return True
        return False

    def _kill_supervisor(self) -> bool:
        self.supervisor.kill()
        self.supervisor.wait()
        return True

    def _in_flight(self, model: str) -> int:
        """Games of a model that the judge has to reply to, or has, and that no journal holds."""
        told = self._told()
        journal = self.bench.job(model).journal
        lines = iter_lines(journal) if journal.exists() else ()
        known = {line.obj["digest"] for line in lines if line.obj}
        asked = Counter(told.calls) - told.struck - told.failed
        return sum(
            asked[prompt] > 0 and digest not in known
            for prompt, digest in self.prompts[model].items()
        )

    def _stop_clients(self) -> None:
        playing = [model for model, client in self.clients.items() if client.poll() is None]
        for model in playing:
            self.clients[model].terminate()
        for model in playing:
            self.clients[model].wait()
            self.kills.append((model, self._in_flight(model)))

    def _end(self) -> None:
        self._stop_clients()
        if self.supervisor:
            self.supervisor.terminate()
            self.supervisor.wait()

    def _until(self, condition, within: float = 60.0) -> None:
        end = time.monotonic() + within
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{self.bench.run}: the supervisor wrote no server file")
            time.sleep(0.02)

    def _told(self) -> Told:
        ours = {prompt for prompts in self.prompts.values() for prompt in prompts}
        told = Told([prompt for prompt in read_calls(self.bench) if prompt in ours])
        told.kills, told.torn, told.faults = self.kills, self.torn, Counter(self.done)
        for line in read_log(self.bench.run / "fault.log"):
            if line["digest"] in ours and line["kind"] in FAULTS:
                told.faults[line["kind"]] += 1
                if line["kind"] not in DELIVERED:
                    told.struck[line["digest"]] += 1
        for line in read_log(self.bench.run / "request.log"):
            if line["digest"] not in ours:
                continue
            if line["fault"] in DELIVERED:
                told.replies[line["digest"]] += 1
            elif line["fault"] not in FAULTS:
                # A 400 is a reply: it ends its game.
                answered = line["status"] is not None and line["status"] < 500
                (told.replies if answered else told.failed)[line["digest"]] += 1
        return told


def read_calls(bench: Bench) -> list[str]:
    path = bench.run / "calls"
    return path.read_text().split() if path.exists() else []


def read_log(path: Path) -> list[dict]:
    """A log of a judge that may have been killed while it wrote a line."""
    return [line.obj for line in iter_lines(path) if line.obj] if path.exists() else []
