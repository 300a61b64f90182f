"""Why a server did not start or died: found in the end of its log, with advice."""

import re
import signal
from dataclasses import dataclass

from arena.data.layout import JUDGMENTS, Stage
from arena.support.humanize import shorten

# Causes that may not occur on another node, so the other batches of the run still try; and
# transient causes, which the same job retries once. All others are due to the settings.
NODE = {"gpu_busy", "gpu_unusable", "old_driver", "port", "disk", "nccl", "limits", "shared_memory"}
PASSING = {"unknown", "engine_died", "stale_file", "compile_cache"}

# fmt: off
# Kind, what it is, pattern, advice. The last line of the log with a match is the cause; there
# the first match counts. {block} is judge or answers, {weights} the key of the weights.
KNOWN = (
    ("context", "--max-model-len exceeds the context of the model",
     r"max_model_len.*(?:greater than the derived|exceeds)|max_position_embeddings.*max_model",
     "lower it, or leave it out"),
    ("gpu_name", "this server cannot parse the GPU names in CUDA_VISIBLE_DEVICES (MIG or UUID)",
     r"invalid literal for int\(\).*'(?:MIG|GPU)-",
     "use numbers ({block}.setup: export CUDA_VISIBLE_DEVICES=0), or update the server"),
    ("dtype", "this GPU does not support bfloat16",
     r"[Bb]float16 is only supported on GPUs|bf16 is not supported|does not support bfloat16",
     "add --dtype half to {block}.command, or request a GPU of compute capability 8.0 or more"),
    ("old_gpu", "the server is not built for this kind of GPU",
     r"no kernel image is available|not supported for (?:the current|this) GPU"
     r"|[Mm]inimum capability|requires? (?:compute|device).{0,20}capability",
     "use another build of the server, another quantization, or another GPU"),
    ("old_driver", "the node's NVIDIA driver is too old for the server's CUDA version",
     r"driver on your system is too old|driver version is insufficient"
     r"|PTX was compiled with an|forward compatibility was attempted",
     "use a build of the server for an older CUDA, or nodes with a newer driver"),
    ("gpu_busy", "another process uses memory of the GPU",
     r"Free memory on device .* is less than desired",
     "check nvidia-smi on the node, or lower --gpu-memory-utilization"),
    ("gpu_memory", "the GPU is out of memory",
     r"CUDA out of memory|torch\.OutOfMemoryError|HIP out of memory|CUDA error: out of memory",
     "use more GPUs, a smaller --max-model-len or --max-num-seqs, or quantized weights"),
    ("cache_memory", "the weights leave too little GPU memory for the KV cache",
     r"No available memory for the cache blocks|larger than the available KV"
     r"|larger than the maximum number of tokens|KV cache is needed, which is larger",
     "lower --max-model-len, raise --gpu-memory-utilization, or use more GPUs"),
    ("tensor_parallel", "the model cannot be split over this number of GPUs",
     r"heads.*divisible by|divisible by (?:the )?(?:tensor|number of|tp|world)"
     r"|is not divisible by \d|too large tensor parallel size",
     "request a number of GPUs that divides its attention heads (--tensor-parallel-size)"),
    ("gated", "the weights can only be downloaded with an account",
     r"gated repo|GatedRepoError|Access to model .* is restricted|401 Client Error"
     r"|must be authenticated to access",
     "accept the license, download them once with your token, and set {weights} to the folder"),
    ("remote_code", "the model contains code of its own",
     r"(?:argument|option|setting) `?trust_remote_code=True|custom code which must"
     r"|execute the \w+ file in that repo|--trust-remote-code flag",
     "read that code, then add --trust-remote-code to {block}.command, or use another model"),
    ("socket_path", "the path of a socket is too long",
     r"longer than 10\d characters|AF_UNIX path too long|sockaddr_un",
     "use a short path for temporary files ({block}.setup: export TMPDIR=/tmp "
     "VLLM_RPC_BASE_PATH=/tmp)"),
    ("compiler", "the server compiles code at its start, but there is no compiler",
     r"[Ff]ailed to find C compiler"
     r"|\b(?:gcc|cc|g\+\+|nvcc|ninja)'?(?: was|: command)? not found"
     r"|No such file or directory: '(?:\S*/)?(?:gcc|cc|g\+\+|nvcc|ninja)'|Could not find nvcc"
     r"|Python\.h: No such file",
     "load one in {block}.setup (module load gcc cuda), or add --enforce-eager to {block}.command"),
    ("stale_file", "a file on the shared file system is temporarily not accessible",
     r"[Ss]tale (?:NFS )?file handle|Errno 116|Transport endpoint is not connected"
     r"|Errno 5\] Input/output error",
     "start again; if it happens again, check the file system"),
    ("compile_cache", "servers with a shared cache of compiled code interfered with each other",
     r"(?:FileNotFound|FileExists|JSONDecode|EOF|Pickl|OS|Unpickling)\w*Error.*"
     r"(?:torch_compile|torchinductor|torch_aot|/\.?triton|\.cache/(?:vllm|flashinfer))"
     r"|hash of the compiled graph|corrupted compilation|InductorError: SubprocException",
     "give each job its own cache ({block}.setup: export VLLM_CACHE_ROOT=$TMPDIR/vllm "
     "TORCHINDUCTOR_CACHE_DIR=$TMPDIR/inductor TRITON_CACHE_DIR=$TMPDIR/triton)"),
    ("port", "the port is already in use", r"[Aa]ddress already in use", "start again"),
    ("options", "the command has an option that this server does not support",
     r"unrecognized arguments|invalid choice|error: (?:argument|the following arguments)"
     r"|unexpected keyword argument '\w+' .*[Aa]rgs|Unknown quantization method",
     "compare {block}.command with the server's --help"),
    ("weights_missing", "the model weights were not found",
     r"is not a local folder|not a valid model identifier|[Rr]epository Not Found"
     r"|Invalid repo|LocalEntryNotFound|does not appear to have a file named"
     r"|outgoing traffic has been dis|Repo id must|[Cc]annot find any model weights"
     r"|couldn't connect to 'https://huggingface|HTTPSConnectionPool|Max retries exceeded"
     r"|Temporary failure in name resolution"
     r"|PermissionError: .*(?:config\.json|safetensors|tokenizer)",
     "check {weights} on the compute node"),
    ("weights_broken", "a file of the model weights is damaged",
     r"SafetensorError|InvalidHeader|MetadataIncomplete|invalid load key, 'v'"
     r"|PytorchStreamReader failed",
     "download it again (it may be a Git LFS pointer or incomplete), and compare sizes"),
    ("shared_memory", "the node's shared memory (/dev/shm) is too small",
     r"\bBus error|out of shared memory|insufficient shared memory|/dev/shm.*No space",
     "increase it (a container's --shm-size), or use fewer GPUs"),
    ("disk", "the disk is full", r"No space left on device|[Dd]isk quota exceeded",
     "free space; the server's caches are in ~/.cache unless VLLM_CACHE_ROOT is set"),
    ("limits", "a limit of the node (open files, processes) is too low",
     r"Too many open files|can't start new thread|Resource temporarily unavailable",
     "raise it in {block}.setup (ulimit -n 65536; ulimit -u unlimited)"),
    ("killed_for_memory", "the job has too little memory",
     r"can't allocate memory|Cannot allocate memory|MemoryError",
     "raise mem_mb in the profile's set-resources"),
    ("gpu_unusable", "the GPU cannot be used",
     r"NoDevFiles|uncorrectable ECC|CUDA error:|libcuda\.so|system not yet initialized"
     r"|NVMLError_(?:Unknown|GpuIsLost|DriverNotLoaded)|CUDA unknown error"
     r"|CUDA driver initialization failed",
     "check nvidia-smi on the node, and that the job requests a GPU (profile, set-resources)"),
)
# Lines that are often harmless, or a consequence of another cause: only the last error counts.
WEAK = (
    ("gpu_unusable", "the GPU cannot be used",
     r"no CUDA-capable device|No CUDA GPUs are available|Failed to infer device type",
     "check nvidia-smi on the node, and that the job requests a GPU (profile, set-resources)"),
    ("nccl", "the GPUs of the node cannot communicate",
     r"NCCL error|ncclUnhandled|ncclSystem|ncclInternal",
     "set NCCL_DEBUG: INFO in {block}.env and read the lines above the error"),
    ("architecture", "the server does not support this model architecture",
     r"architectures? .* (?:not supported|failed to be inspected)"
     r"|does not recognize this architecture", "update the server, or use another model"),
    ("program_missing", "a program, library or Python module is missing",
     r"command not found|No such file or directory|ModuleNotFoundError|No module named"
     r"|cannot open shared object|GLIBC\w*_\S+' not found|could not open image"
     r"|module\(s\) are unknown|PermissionError",
     "check {block}.setup: modules to load, an environment to activate"),
)
# fmt: on
# What vLLM and others put before the text of a line, and lines that are no errors.
_PREFIX = re.compile(
    r"^(?:\([^)]*\) ?|\[rank\d+\]:? ?)*(?:(?:ERROR|CRITICAL) [\d: .-]+\[[^\]]*\] ?)?"
)
_HARMLESS = re.compile(
    r"^.{0,60}?\b(?:DEBUG|INFO|WARNING|WARN)\b|^\[[WI]\d{4} |\w+Warning: (?!CUDA init)"
)
_ERROR = re.compile(
    r"^FATAL|(?:Error|Exception|Interrupt)\b(?::|$)|\b[Ee]rror[:,] |not found$|: (?:\w+ )?denied$"
)
_ECHO = re.compile(
    r"[Ee]ngine core|[Ee]ngine process|root cause|Failed core proc|WorkerProc|EngineDead"
    r"|ChildFailed|SystemExit|KeyboardInterrupt|BrokenPipe|ConnectionReset|CancelledError"
    r"|new futures|ContextTerminated|pydantic.*ValidationError: \d"
)
_QUOTED = 200  # characters of a log line that a cause repeats


@dataclass(eq=False)
class Died(Exception):
    """A server did not start, has ended, hangs, or is not ours. text: why. kind: of the cause;
    "other" if it was not found in the log.
    """

    text: str
    kind: str = "other"


def explain(status: int, lines: list[str], stage: Stage = JUDGMENTS) -> Died:
    """The cause of an exit with `status` (128 + N or -N: by signal N). lines: the log's end."""
    status = 128 - status if status < 0 else status
    by_signal = 128 < status < 128 + signal.NSIG
    how = f"killed by signal {status - 128}" if by_signal else f"exit status {status}"
    texts = [_PREFIX.sub("", line).strip() for line in lines if not _HARMLESS.search(line)]
    texts = [text for text in texts if text]
    errors = [text for text in texts if _ERROR.search(text) and not _ECHO.search(text)]
    for known, among in ((KNOWN, texts), (WEAK, errors[-1:] or texts[-1:])):
        for line in reversed(among):
            for kind, what, pattern, advice in known:
                if re.search(pattern, line):
                    advice = advice.format(block=stage.block, weights=stage.weights)
                    return Died(f"{what} ({how}): {advice}. Log: {shorten(line, _QUOTED)}", kind)
    if status == 137:
        advice = "probably because it used more memory than the job has: raise mem_mb in the"
        return Died(f"{how}, {advice} profile's set-resources", "killed_for_memory")
    if status == 0:
        how += ", but it was not stopped: vLLM does this when its engine has died"
    last = f". The last error in its log: {shorten(errors[-1], _QUOTED)}" if errors else ""
    return Died(how + last, "unknown" if status else "engine_died")
