"""Duration of a dry run of many models, compared with a bare Snakefile of the same jobs.

    python benchmarks/dry_run.py [--models 1000] [--runs 3]

Prints the seconds of both (the best of several runs, by turns) and their ratio: cold, when every
answer file is read, and warm, with the results cached.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from overhead import PROJECT, make_campaign

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
        judge = {"name": "demo-judge", "server": "demo"}
        make_campaign(PROJECT, folder, options.models, questions=20, batch_size=10, judge=judge)
        (folder / "bare.smk").write_text(f"MODELS = {options.models}\n{BARE}")
        cold = seconds(folder)
        pairs = [(seconds(folder), seconds(folder, "-s", "bare.smk")) for _ in range(options.runs)]
    warm, bare = (min(column) for column in zip(*pairs, strict=True))
    print(f"{options.models} models: bare {bare:.1f} s")
    print(f"  warm {warm:.1f} s, {warm / bare:.2f} times as long")
    print(f"  cold {cold:.1f} s, {cold / bare:.2f} times as long")


if __name__ == "__main__":
    main()
