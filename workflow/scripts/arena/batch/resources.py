"""The resources that a batch's job requests, from those that Snakemake computes."""

from collections.abc import Mapping
from typing import Any

# Snakemake computes these for every job. It gives memory in three units; sbatch gets only mem_mb.
INTERNAL = ("tmpdir", "disk", "disk_mb", "disk_mib", "mem", "mem_mib", "tries_left")


def asked_for(resources: Mapping[str, Any]) -> dict[str, Any]:
    """The resources that the scheduler receives: none that is zero, or internal to Snakemake."""
    asked = {
        key: value
        for key, value in sorted(resources.items())
        if value and not key.startswith("_") and key not in INTERNAL
    }
    if asked.keys() & {"cpus_per_task", "cpus_per_gpu"}:
        asked.pop("threads", None)  # counts as cores only if neither is set
    return asked


def requested_gpus(resources: Mapping[str, Any]) -> int:
    """GPUs of a job, from `gpu`, `gpus` or `gres` (gpu, gpu:2, gpu:a100:2); 0 without any."""
    for key in ("gpu", "gpus"):
        if str(resources.get(key) or "").strip():
            return int(str(resources[key]).rpartition(":")[2])
    gpus = 0
    for part in str(resources.get("gres") or "").split(","):
        name, *rest = part.strip().split(":")
        if name.removeprefix("gres/") == "gpu":
            gpus += int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return gpus
