"""What a big campaign costs besides the GPUs: `python benchmarks/slurm_scale.py MODELS JOBS`.

Plays a campaign of three questions through the tests' Slurm (tests/slurm/cluster.py start) with
the demo judge, and prints its figures as JSON. All jobs share this machine's cores, so a batch
takes longer here than on nodes of its own; what the main process takes is the same.
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
    """Run the campaign; seconds, MB and files."""
    begun = time.monotonic()
    campaign.start("--jobs", str(at_once))
    pid, first, peak, cpu = campaign.process.pid, None, 0.0, 0.0
    while campaign.process.poll() is None:
        if first is None and campaign.jobs():
            first = time.monotonic() - begun
        peak, cpu = max(peak, memory(pid)), max(cpu, cpu_seconds(pid))
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
    """Seconds from the first game's begin to the last one's end in a Slurm job."""
    (record,) = [entry for entry in campaign.batch_logs() if entry["slurm_job_id"] == job]
    (batch,) = [entry for entry in campaign.batches() if entry["batch"] == record["batch"]]
    games = [game for model in batch["models"] for game in campaign.games(model)]
    ends = [datetime.fromisoformat(game["time"]).timestamp() for game in games]
    begins = [end - game["seconds"] for end, game in zip(ends, games, strict=True)]
    return max(ends) - min(begins)


def memory(pid: int) -> float:
    """Peak resident MB of a process so far; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    peak = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak[0].split()[1]) / 1000 if peak else 0.0


def cpu_seconds(pid: int) -> float:
    """Of a process and the children that it has waited for."""
    with suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system + times.children_user + times.children_system
    return 0.0


if __name__ == "__main__":
    main()
