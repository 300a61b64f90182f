"""Cost of a big campaign besides the GPUs: `python benchmarks/slurm_scale.py MODELS JOBS`.

Runs a campaign of three questions on the tests' Slurm (tests/slurm/cluster.py start) with the demo
judge, and prints its figures as JSON. All jobs share this machine's cores, so a batch takes longer
than on its own node; the cost of the main process is the same.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from tests.slurm.campaign import Campaign, lives

QUESTIONS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=int)
    parser.add_argument("jobs", type=int)
    parser.add_argument("--at-once", type=int, default=4, help="Slurm jobs at the same time")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="slurm_scale_"))
    size = -(-args.models // args.jobs)
    campaign = Campaign(
        folder / "campaign", models=args.models, questions=QUESTIONS, config={"batch_size": size}
    )
    print(json.dumps(measure(campaign, args.at_once), indent=1))
    shutil.rmtree(folder)


def measure(campaign: Campaign, at_once: int) -> dict:
    """Run the campaign; returns seconds, MB and numbers of files."""
    begun = time.monotonic()
    campaign.start("--jobs", str(at_once))
    pid, first, peak, cpu = campaign.process.pid, None, 0.0, 0.0
    while campaign.process.poll() is None:
        if first is None and campaign.jobs():
            first = time.monotonic() - begun
        with suppress(psutil.NoSuchProcess, OSError, IndexError):  # it has just ended
            status = Path(f"/proc/{pid}/status").read_text()
            peak = int(status.partition("VmHWM:")[2].split()[0]) / 1000
            cpu = sum(psutil.Process(pid).cpu_times()[:4])  # with its children that have ended
        time.sleep(0.1 if first is None else 1)
    elapsed = time.monotonic() - begun
    if campaign.process.returncode:
        sys.exit(campaign.text())
    jobs = lives(campaign.jobs())
    overhead = [life.elapsed - playing(campaign, life.id) for life in jobs]
    games = campaign.judged()
    journals = sum(path.stat().st_size for path in (campaign.root / "games").iterdir())
    files = [path for path in campaign.folder.rglob("*") if path.is_file()]
    made = [path for path in files if "results" in path.parts or ".snakemake" in path.parts]
    return {
        "models": campaign.models,
        "jobs": len(jobs),
        "states": sorted({life.state for life in jobs}),
        "first_job_queued_s": round(first, 1),
        "elapsed_s": round(elapsed),
        "head_peak_mb": round(peak),
        "head_cpu_s": round(cpu, 1),
        "job_s": [min(life.elapsed for life in jobs), max(life.elapsed for life in jobs)],
        "overhead_a_batch_s": [round(min(overhead), 1), round(max(overhead), 1)],
        "games": games,
        "journal_bytes_a_game": round(journals / games),
        "files": len(made),
        "files_a_model": round(len(made) / campaign.models, 1),
        "load": os.getloadavg()[0],
    }


def playing(campaign: Campaign, job: str) -> float:
    """Seconds from the start of the first game to the end of the last in a Slurm job."""
    (record,) = [entry for entry in campaign.batch_logs() if entry["slurm_job_id"] == job]
    (batch,) = [entry for entry in campaign.batches() if entry["batch"] == record["batch"]]
    games = [game for model in batch["models"] for game in campaign.games(model)]
    ends = [datetime.fromisoformat(game["time"]).timestamp() for game in games]
    begins = [end - game["seconds"] for end, game in zip(ends, games, strict=True)]
    return max(ends) - min(begins)


if __name__ == "__main__":
    main()
