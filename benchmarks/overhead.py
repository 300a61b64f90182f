"""Time of a whole run besides its games: ten models, and a judge that answers at once.

    python benchmarks/overhead.py [--models 10] [--questions 60] [--runs 3] [--project FOLDER ...]

Measures `snakemake`, including all tables and report pages, in a copy of each project (this one, or
several, by turns) with the tests' judge without delay. "play" is from the first request to the last
reply, "CPU" that of the command and all of its children, including the judge.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from orders import spans_of

from tests.workflow.conftest import copy_project, write_lines  # found by way of orders

PROJECT = Path(__file__).resolve().parents[1]
JUDGE = f"{sys.executable} {PROJECT}/tests/judge.py --name {{name}} --host {{host}} --port {{port}}"


def make_campaign(
    project: Path, folder: Path, models: int, questions: int, *, batch_size: int, judge: dict
) -> None:
    """A copy of the project with its own questions and answers."""
    copy_project(project, folder)
    config = {"bench": "bench", "models": "all", "baseline": "base", "batch_size": batch_size}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config | {"judge": judge}))
    asked = [
        {"uid": f"q{n}", "category": "c", "prompt": f"How would you sort {n} things?"}
        for n in range(questions)
    ]
    write_lines(folder / "data/bench/question.jsonl", asked)
    for number, model in enumerate(["base", *(f"m{n}" for n in range(models))]):
        lines = []
        for n, question in enumerate(asked):
            text = f"{model} sorts {n} things with great care. " * (20 + (7 * n + 5 * number) % 40)
            lines.append({"uid": question["uid"], "messages": [{"content": text}]})
        write_lines(folder / f"data/bench/model_answer/{model}.jsonl", lines)


def run(project: Path, models: int, questions: int) -> tuple[float, float, float]:
    """Seconds of the whole command, CPU seconds, and seconds of play."""
    with tempfile.TemporaryDirectory(prefix="overhead_") as name:
        folder = Path(name) / "campaign"
        judge = {"name": "quick", "server": "vllm", "command": f"{JUDGE} --slots 64 --seconds 0"}
        make_campaign(project, folder, models, questions, batch_size=models, judge=judge)
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "snakemake"], cwd=folder, capture_output=True, text=True
        )
        took, after = time.perf_counter() - began, os.times()
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        spans = spans_of(folder.glob("results/bench/quick/games/*.jsonl"))
        assert len(spans) == 2 * models * questions
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        return took, cpu, max(end for _, end in spans) - min(begin for begin, _ in spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--project", type=Path, nargs="+", default=[PROJECT])
    options = parser.parse_args()
    games = 2 * options.models * options.questions
    print(f"{options.models} models, {games} games, {os.cpu_count()} cores")
    print(f"{'whole s':>8}{'CPU s':>8}{'play s':>8}{'load':>6}  project")
    for _ in range(options.runs):
        for project in options.project:
            figures = run(project, options.models, options.questions)
            whole, cpu, play = (f"{figure:8.1f}" for figure in figures)
            print(f"{whole}{cpu}{play}{os.getloadavg()[0]:6.1f}  {project}", flush=True)


if __name__ == "__main__":
    main()
