"""A campaign of its own in a folder of its own, run as a person runs it: `snakemake --profile`.

A copy of the project, tiny questions and answers, and the demo judge started by a `command`, so
that it takes the place of vLLM in every respect: it is given GPUs, a free port and a key.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
import yaml
from arena.journals.records import read_json
from arena.support.jsonl import iter_lines

from tests.conftest import PROJECT
from tests.faults import message_digest
from tests.synthetic import write_lines
from tests.workflow.conftest import copy_project

SUBMITTED = re.compile(r"submitted with SLURM jobid (\d+)")
VOLATILE = ("seconds", "time", "attempts", "usage")  # of a game: how it was asked, not what came
ENOUGH = 12  # games in the journals when a fault strikes: it has to be in the middle
LATER = "'--begin=now+1hour'"  # slurm_extra of a job that waits until it is told to start
# For machines that are slow and busy: many times what is seen. Costs nothing where all is well.
PATIENCE_S = 600
WHOLE_S = 1800  # of a whole campaign


def await_that(condition: Callable, what: str, seconds: float = PATIENCE_S):
    """Look until `condition()` is true, and return it; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.2)
    return found


def slurm(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
    return done.stdout


def sbatch(*arguments: str) -> str:
    """Submit a job that is no campaign's; its id."""
    return slurm("sbatch", "--parsable", "--output=/dev/null", *arguments).strip()


def start_now(job: str) -> None:
    slurm("scontrol", "update", f"jobid={job}", "StartTime=now")


@dataclass(frozen=True)
class Life:
    """One line of `sacct -X --duplicates`: a requeued job has several lives."""

    id: str
    state: str
    elapsed: int  # seconds
    gpus: int
    cores: int
    memory: str
    node: str
    minutes: int  # asked for
    partition: str


def lives(ids: Iterable[str]) -> list[Life]:
    keys = "JobIDRaw,State,ElapsedRaw,AllocTRES,ReqTRES,NodeList,TimelimitRaw,Partition"
    ids = ",".join(ids)
    if not ids:
        return []
    table = slurm("sacct", "-X", "--duplicates", "-n", "-P", "-j", ids, "-o", keys)
    found = []
    for line in table.splitlines():
        job, state, elapsed, held, asked, node, minutes, partition = line.split("|")
        tres = dict(entry.split("=") for entry in (held or asked).split(",") if "=" in entry)
        sizes = int(tres.get("gres/gpu", 0)), int(tres.get("cpu", 0)), tres.get("mem", "")
        state = state.split()[0]  # "CANCELLED by 0"
        life = Life(job, state, int(elapsed or 0), *sizes, node, int(minutes or 0), partition)
        found.append(life)
    return found


def state(job: str) -> str:
    """Of its last life; PENDING before sacct knows of it."""
    known = lives([job])
    return known[-1].state if known else "PENDING"


def ends_as(job: str, wanted: str) -> None:
    """Wait until the accounting, which may be late, says so."""
    await_that(lambda: state(job) == wanted, f"job {job}: {wanted}")


def has_ended(job: str) -> bool:
    return state(job) not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED")


@dataclass
class Campaign:
    """One folder, one config; may be run several times."""

    folder: Path
    models: int = 3
    questions: int = 6
    config: dict = field(default_factory=dict)
    judge: dict = field(default_factory=dict)
    options: str = ""  # of the demo judge
    hold: int | None = None  # games that a judge plays before it waits for `go`
    wrap: list[str] = field(default_factory=list)  # what Snakemake is started by
    stage: str = "demo-judge"  # whose files to look at: the judge's, or "answers"
    process: subprocess.Popen | None = None
    runs: int = 0
    figures: dict = field(default_factory=dict)  # what the report says besides Slurm's accounting

    def __post_init__(self) -> None:
        width = max(2, len(str(self.models)))
        self.names = [f"m{number:0{width}d}" for number in range(1, self.models + 1)]
        if (self.folder / "Snakefile").exists():
            return  # another process made it
        copy_project(PROJECT, self.folder)
        self._write_data()
        self._write_config()

    @property
    def root(self) -> Path:
        return self.folder / "results/tiny" / self.stage

    def _write_data(self) -> None:
        bench = self.folder / "data/tiny"
        questions = [
            {"uid": f"q{number}", "category": "hard_prompt", "prompt": f"What is {number} apples?"}
            for number in range(self.questions)
        ]
        write_lines(bench / "question.jsonl", questions)
        for model in ["base", *self.names]:
            weight = sum(map(ord, model)) % 7
            answers = []
            for number, question in enumerate(questions):
                text = f"{model} says: " + "an apple " * (weight + number)
                answers.append({"uid": question["uid"], "messages": [{"content": text}]})
            write_lines(bench / "model_answer" / f"{model}.jsonl", answers)

    def _write_config(self) -> None:
        folder = shlex.quote(str(self.folder))
        command = (
            f"{sys.executable} {shlex.quote(str(PROJECT / 'tests/judge.py'))} --host {{host}} "
            "--port {port} --name {name} "
            f"--request-log {folder}/requests/{{port}}.jsonl {self.options}"
        )
        if self.hold is not None:
            command += f" --hold {self.hold} {folder}/go"
        config = {
            "bench": "tiny",
            "models": self.names,
            "baseline": "base",
            "batch_size": 10,
            "walltime": {"start_minutes": 20, "minutes_per_model": 1},
            "judge": {"name": "demo-judge", "server": "vllm", "path": "none", "command": command}
            | self.judge,
        }
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(config | self.config))

    def configure(self, changes: dict) -> None:
        """Change config.yaml; None takes a key out."""
        edit(self.folder / "config/config.yaml", changes)

    def edit_profile(self, changes: dict) -> None:
        edit(self.folder / "profiles/slurm/config.yaml", changes)

    def ask_for(self, **resources) -> None:
        """Change what a batch's job asks of Slurm."""
        self.edit_profile({"set-resources": {"gen_judgment": resources}})

    def write_answer(self, model: str, old: str, new: str) -> None:
        """Change words of a model's answers."""
        answers = self.folder / f"data/tiny/model_answer/{model}.jsonl"
        answers.write_text(answers.read_text().replace(old, new))

    # ---- running -------------------------------------------------------------------------------

    def command(self, *arguments: str, profile: str = "profiles/slurm") -> list[str]:
        return [*self.wrap, sys.executable, "-m", "snakemake", "--profile", profile, *arguments]

    def start(self, *arguments: str, profile: str = "profiles/slurm", **env: str) -> None:
        """Start Snakemake in a session of its own."""
        self.runs += 1
        with (self.folder / f"snakemake.{self.runs}.out").open("w") as out:
            self.process = subprocess.Popen(
                self.command(*arguments, profile=profile),
                cwd=self.folder,
                env=os.environ | env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, seconds: float = WHOLE_S) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"Snakemake did not end in {seconds} s:\n{self.text()}") from None

    def run(self, *arguments: str, seconds: float = WHOLE_S, **options: str) -> int:
        self.start(*arguments, **options)
        return self.wait(seconds)

    def text(self) -> str:
        """What the newest run has printed."""
        return (self.folder / f"snakemake.{self.runs}.out").read_text()

    def jobs(self) -> list[str]:
        """Slurm ids of the jobs that the newest run has submitted, in order."""
        return SUBMITTED.findall(self.text())

    def all_jobs(self) -> list[str]:
        outputs = [self.folder / f"snakemake.{run}.out" for run in range(1, self.runs + 1)]
        return [job for path in outputs for job in SUBMITTED.findall(path.read_text())]

    def job(self, number: int = 0) -> str:
        """Wait for the next job to be submitted."""

        def submitted() -> list[str]:
            ended = self.process.poll() is not None
            found = self.jobs()[number:]
            assert found or not ended, self.text()
            return found

        return await_that(submitted, "a job submitted")[0]

    def in_the_middle(self) -> str:
        """Wait until the first job holds its judge's other games back; its id. It stays so until
        `go`, so that whatever a test does meanwhile comes neither too early nor too late."""
        job = self.job()
        await_that(lambda: self.judged() >= self.hold, "games in the journals")
        return job

    def go(self) -> None:
        """Let the judges play all games."""
        (self.folder / "go").touch()

    def kill(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """End Snakemake as a rebooted login node does it: no time to cancel anything."""
        self.process.send_signal(sign)
        assert self.wait() == -sign

    # ---- looking on ----------------------------------------------------------------------------

    def states(self) -> list[str]:
        """Of all lives of all jobs."""
        return [life.state for life in lives(self.all_jobs())]

    def games(self, model: str) -> list[dict]:
        """The journal's lines."""
        return read_lines(self.root / "games" / f"{model}.jsonl")

    def judged(self) -> int:
        return sum(len(self.games(model)) for model in self.names)

    def requests(self) -> list[dict]:
        """What clients asked the demo judges, in the order of the calls' ends."""
        logs = (self.folder / "requests").glob("*.jsonl")
        calls = [line for log in logs for line in read_lines(log)]
        # On an idle judge, as on a slow machine, the batch asks whether its engine lives.
        games = [call for call in calls if call["user"] != "supervisor"]
        return sorted(games, key=lambda call: call["out"])

    def asked_again(self) -> int:
        """Games of a campaign that has ended that were asked more than once.

        None after it was answered, that is after it was in a journal: a reply that a fault kept
        from getting there is lost.
        """
        calls, answered = self.requests(), self.answered()
        late = [call for call in calls if call["in"] > answered[call["digest"]]]
        assert not late, f"{len(late)} calls for games that were answered"
        asked = Counter(call["digest"] for call in calls)
        return sum(times > 1 for times in asked.values())

    def answered(self) -> dict[str, float]:
        """When each game came into its journal, by the digest that the judge's log gives a call."""
        moments = {}
        for model in self.names:
            times = {(line["uid"], line["game"]): line["time"] for line in self.games(model)}
            for line in read_lines(self.judgment_file(model)):
                for number, game in enumerate(line["games"]):
                    moment = datetime.fromisoformat(times[line["uid"], number])
                    # Journals give whole milliseconds.
                    moments[message_digest(game["prompt"])] = moment.timestamp() + 0.001
        return moments

    def judgments(self) -> dict[str, list]:
        """model -> lines of its judgment file, without what varies from run to run."""
        found = {model: read_lines(self.judgment_file(model)) for model in self.names}
        for game in (game for lines in found.values() for line in lines for game in line["games"]):
            for key in VOLATILE:
                game.pop(key, None)
        return found

    def judgment_file(self, model: str) -> Path:
        return self.folder / f"data/tiny/model_judgment/demo-judge/{model}.jsonl"

    def batches(self) -> list[dict]:
        """batches/<batch>.json of batches that are jobs, in order of their models' names."""
        folder = self.root / "batches"
        names = [path for path in folder.glob("*.json") if len(path.stem) == len("01234567")]
        found = list(filter(None, map(read_json, names)))  # less one that is being written
        return sorted(found, key=lambda batch: batch["models"])

    def batch_logs(self) -> list[dict]:
        """logs/<batch>/batch.json in the same order."""
        logs = [self.root / "logs" / batch["batch"] / "batch.json" for batch in self.batches()]
        return [json.loads(path.read_text()) for path in logs if path.exists()]

    def attempts(self) -> list[dict]:
        """All of them, oldest first."""
        found = [one for log in self.batch_logs() for one in (*log["earlier"], log)]
        return sorted(found, key=lambda one: one["start"])

    def log(self, batch: str, name: str = "gen_judgment.log") -> str:
        path = self.root / "logs" / batch / name
        return path.read_text() if path.exists() else ""

    def processes(self) -> dict[int, list[str]]:
        """Commands still running on this machine that name this campaign's folder, by pid."""
        return processes_that_name(str(self.folder))

    def process_of(self, script: str) -> int:
        """Process id of the one that runs a script; the shell that started it names it too."""
        found = self.processes()
        for pid, (program, *rest) in found.items():
            if "python" in program and rest[0].endswith(script):
                return pid
        raise AssertionError(f"no {script} among {found}")

    def monitor(self) -> dict:
        command = [sys.executable, "workflow/scripts/monitor.py", "--json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def queued(self) -> list[str]:
        """Ids of this campaign's jobs that wait or run."""
        lines = slurm("squeue", "-h", "-o", "%i %Z").splitlines()
        return [line.split()[0] for line in lines if line.endswith(f" {self.folder}")]

    def clear(self) -> None:
        """End what a failed test has left."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if jobs := self.queued():
            slurm("scancel", *jobs, check=False)

    def nothing_left(self) -> None:
        """Assert that neither a process nor a queued job of this campaign is there any more."""
        await_that(lambda: not self.processes(), f"the end of {self.processes()}")
        await_that(lambda: not self.queued(), "an empty queue")


def edit(path: Path, changes: dict) -> None:
    """Merge changes into a YAML file; None takes a key out."""
    found = yaml.safe_load(path.read_text())
    merge(found, changes)
    path.write_text(yaml.safe_dump(found))


def merge(into: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            into[key] = into.get(key) or {}
            merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value


def processes_that_name(text: str) -> dict[int, list[str]]:
    """pid -> command of every process in whose command line a text stands."""
    found = {process.pid: process.info["cmdline"] for process in psutil.process_iter(["cmdline"])}
    return {pid: words for pid, words in found.items() if text in " ".join(words or ())}


def holders_of_locks() -> set[int]:
    """Processes that hold a lock of the kernel's, by flock or fcntl."""
    return {int(line.split()[-4]) for line in Path("/proc/locks").read_text().splitlines()}


def read_lines(path: Path) -> list[dict]:
    """Whole lines of a JSONL file that may be written at this moment."""
    return [line.obj for line in iter_lines(path) if line.obj] if path.exists() else []
