"""What a batch's job asks of its scheduler, from the resources that Snakemake completes."""

from collections.abc import Mapping
from typing import Any

# Snakemake computes them for every job, and tells memory in three ways; sbatch gets mem_mb alone.
UNASKED = ("tmpdir", "disk", "disk_mb", "disk_mib", "mem", "mem_mib", "tries_left")


def asked_for(resources: Mapping[str, Any]) -> dict[str, Any]:
    """What of a job's resources its scheduler hears: nothing that is zero, or Snakemake's own."""
    asked = {
        key: value
        for key, value in sorted(resources.items())
        if value and not key.startswith("_") and key not in UNASKED
    }
    if asked.keys() & {"cpus_per_task", "cpus_per_gpu"}:
        asked.pop("threads", None)  # which stand for cores only where nothing else does
    return asked


def requested_gpus(resources: Mapping[str, Any]) -> int:
    """GPUs of a job, from `gpu`, `gpus` or `gres` (gpu, gpu:2, gpu:a100:2); 0 without any."""
    for key in ("gpu", "gpus"):
        if str(resources.get(key) or "").strip():
            return int(str(resources[key]).rpartition(":")[2])
    found = 0
    for part in str(resources.get("gres") or "").split(","):
        name, *rest = part.strip().split(":")
        if name.removeprefix("gres/") == "gpu":
            found += int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return found
