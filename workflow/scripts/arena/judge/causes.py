"""Why a judge did not start or died: recognised in the end of its log, with advice."""

import re
from dataclasses import dataclass

# Looked for in this order; the first that matches is the cause, since what follows it are its
# echoes. here: whether another node could do better, so that the other batches of the run shall
# try.
KNOWN = (
    (
        r"CUDA out of memory|torch\.OutOfMemoryError|HIP out of memory",
        "the GPU is out of memory",
        "use more GPUs, a smaller --max-model-len or --max-num-seqs, or quantised weights",
        False,
    ),
    (
        r"No available memory for the cache blocks|larger than the available KV"
        r"|larger than the maximum number of tokens|KV cache is needed, which is larger",
        "the weights leave too little GPU memory for the cache",
        "lower --max-model-len, raise --gpu-memory-utilization, or use more GPUs",
        False,
    ),
    (
        r"Free memory on device .* is less than desired",
        "another process holds memory of the GPU",
        "see nvidia-smi on the node; or lower --gpu-memory-utilization",
        True,
    ),
    (
        r"uncorrectable ECC|CUDA error|NCCL error|no CUDA-capable device|No CUDA GPUs are available"
        r"|Failed to infer device type|libcuda\.so",
        "the GPU cannot be used",
        "see nvidia-smi on the node, and whether the job asked for a GPU (profile, set-resources)",
        True,
    ),
    (
        r"Address already in use|address already in use",
        "the port was taken",
        "run again",
        True,
    ),
    (
        r"unrecognized arguments|invalid choice|error: (?:argument|the following arguments)",
        "the command has an option that this server does not know",
        "compare judge.command with the server's --help",
        False,
    ),
    (
        r"is not a local folder|not a valid model identifier|[Rr]epository Not Found|Invalid repo"
        r"|LocalEntryNotFound|does not appear to have a file named|outgoing traffic has been dis",
        "the judge's weights are not there",
        "check judge.path on the compute node",
        False,
    ),
    (
        r"command not found|No such file or directory|ModuleNotFoundError|No module named",
        "a program or a module of Python is missing",
        "check judge.setup: modules to load, an environment to activate",
        False,
    ),
    (
        r"architectures? .* (?:not supported|failed to be inspected)",
        "the server does not know this kind of model",
        "update the server, or use another judge",
        False,
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full",
        "free space; the server's caches are in ~/.cache unless VLLM_CACHE_ROOT says otherwise",
        True,
    ),
)


@dataclass(frozen=True)
class Cause:
    """Why a judge is not there. `local`: a matter of this node, not of the settings."""

    text: str
    local: bool = False


def explain(status: int, lines: list[str]) -> Cause:
    """The cause of an end with `status` (128 + N or -N: by signal N), from the log's end."""
    log = "\n".join(lines)
    status = 128 - status if status < 0 else status
    how = f"it was killed by signal {status - 128}" if status > 128 else f"exit status {status}"
    for pattern, what, advice, local in KNOWN:
        if re.search(pattern, log):
            return Cause(f"{what} ({how}): {advice}", local)
    if status == 137:
        advice = "it was killed, as a rule for using more memory than the job has: raise mem_mb"
        return Cause(f"{how}: {advice} in the profile's set-resources")
    if status == 0:
        return Cause(f"{how}, unasked: so vLLM ends when its engine has died")
    return Cause(how)
