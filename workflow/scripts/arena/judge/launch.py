"""The environment of a server, and the number of GPUs of its job."""

import os
import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1,localhost,::1"
# Snakemake sets these to the rule's threads. A server chooses better values itself: on a busy CPU
# vLLM took 139 s with OMP_NUM_THREADS=2, and 12 s without.
_LIBRARIES = ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")
OF_SNAKEMAKE = {f"{name}_NUM_THREADS" for name in _LIBRARIES} | {"VECLIB_MAXIMUM_THREADS"}
_DEVICE = re.compile(r"\d|(?:GPU|MIG)-")


def environment(
    judge: Mapping[str, Any], key: str, outer: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Environment of the server: the job's, the config's `env`, and the key.

    The key is not on the command line, because every user of a node can read command lines.
    """
    own = {name: str(value) for name, value in (judge.get("env") or {}).items()}
    inherited = {name: value for name, value in outer.items() if name not in OF_SNAKEMAKE}
    env = {**inherited, **own, "VLLM_API_KEY": key, "JUDGE_API_KEY": key}
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), LOOPBACK]))
    env.setdefault("VLLM_NO_USAGE_STATS", "1")  # no data about a campaign is sent
    env.setdefault("PYTHONUNBUFFERED", "1")  # else the last lines of a crash are lost
    if judge.get("path") and Path(judge["path"]).is_dir():
        env.setdefault("HF_HUB_OFFLINE", "1")  # else nodes without internet wait for time-outs
    return env


def gpu_count(asked: int, env: Mapping[str, str] = os.environ) -> int:
    """GPUs of this job, from CUDA_VISIBLE_DEVICES, else from Slurm, else as requested."""
    visible = env.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # For CUDA, the list ends at the first entry that is no device (Slurm's NoDevFiles).
        return len(list(takewhile(_DEVICE.match, map(str.strip, visible.split(",")))))
    if env.get("SLURM_GPUS_ON_NODE", "").isdigit():
        return int(env["SLURM_GPUS_ON_NODE"])
    return asked
