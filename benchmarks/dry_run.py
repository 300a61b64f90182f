"""How long a dry run of many models takes, against a bare Snakefile of the same jobs.

    python benchmarks/dry_run.py [--models 1000] [--runs 3]

Prints the seconds of both (the best of several runs, by turns) and their ratio: cold, when every
answer file is read, and warm, when what was found is remembered.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BARE = """
models = [f"m{number}" for number in range(MODELS)]
batch_of = {model: f"b{number // 10}" for number, model in enumerate(models)}
rule all:
    input: expand("out/{model}.jsonl", model=models)
rule describe:
    output: "batches/{batch}.json"
    shell: "touch {output}"
rule play:
    input: "batches/{batch}.json"
    output: temp("played/{batch}")
    shell: "touch {output}"
rule judge:
    input:
        "data/bench/model_answer/{model}.jsonl",
        lambda wildcards: f"played/{batch_of[wildcards.model]}",
    output: "out/{model}.jsonl"
    shell: "cp {input[0]} {output}"
"""
CONFIG = """
bench: bench
models: all
baseline: base
judge: {name: demo-judge, server: demo}
"""


def make_campaign(folder: Path, models: int, questions: int = 20) -> None:
    """A project with so many answer files, and the bare Snakefile beside it."""
    for part in ("workflow", "profiles", "config"):
        shutil.copytree(PROJECT / part, folder / part)
    shutil.copy(PROJECT / "Snakefile", folder)
    (folder / "config/config.yaml").write_text(CONFIG)
    (folder / "bare.smk").write_text(f"MODELS = {models}\n{BARE}")
    answers = folder / "data/bench/model_answer"
    answers.mkdir(parents=True)
    uids = [f"q{number}" for number in range(questions)]
    asked = [{"uid": uid, "category": "c", "prompt": uid} for uid in uids]
    lines = [{"uid": uid, "messages": [{"role": "assistant", "content": uid}]} for uid in uids]
    (folder / "data/bench/question.jsonl").write_text("\n".join(map(json.dumps, asked)))
    text = "\n".join(map(json.dumps, lines))
    for model in ["base", *(f"m{number}" for number in range(models))]:
        (answers / f"{model}.jsonl").write_text(text)


def seconds(folder: Path, *arguments: str) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "-n", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_campaign(folder, options.models)
        cold = seconds(folder)
        pairs = [(seconds(folder), seconds(folder, "-s", "bare.smk")) for _ in range(options.runs)]
    warm, bare = (min(column) for column in zip(*pairs, strict=True))
    print(f"{options.models} models: bare {bare:.1f} s")
    print(f"  warm {warm:.1f} s, {warm / bare:.2f} times as long")
    print(f"  cold {cold:.1f} s, {cold / bare:.2f} times as long")


if __name__ == "__main__":
    main()
