"""Why a judge did not start or died: recognised in the end of its log, with advice."""

import re
from dataclasses import dataclass

# Kinds of cause that another node could do better, so that the other batches of the run try; and
# those that may pass, so that the same job tries once more as well. All others are the settings'.
NODE = {
    *("gpu_busy", "gpu_unusable", "no_gpu", "old_driver", "port", "disk", "nccl", "limits"),
    "shared_memory",
}
PASSING = {"unknown", "engine_died", "stale_file", "compile_cache"}

# fmt: off
# Kind, what it is, pattern, advice. The last line that one of these fits is the cause; on one line
# the first that fits, the most specific.
KNOWN = (
    ("context", "--max-model-len is over what the model was made for",
     r"max_model_len.*(?:greater than the derived|exceeds)|max_position_embeddings.*max_model",
     "lower it, or leave it out"),
    ("no_gpu", "the job has no GPU", r"NoDevFiles",
     "ask for one (profile, set-resources: gres or gpus)"),
    ("gpu_name", "this server cannot read the names of GPUs in CUDA_VISIBLE_DEVICES (MIG or UUID)",
     r"invalid literal for int\(\).*'(?:MIG|GPU)-",
     "give it numbers (judge.setup: export CUDA_VISIBLE_DEVICES=0), or update the server"),
    ("dtype", "this GPU cannot compute in bfloat16",
     r"[Bb]float16 is only supported on GPUs|bf16 is not supported|does not support bfloat16",
     "add --dtype half to judge.command, or ask for a GPU of compute capability 8.0 or more"),
    ("old_gpu", "the server has no code for this kind of GPU",
     r"no kernel image is available|not supported for (?:the current|this) GPU"
     r"|[Mm]inimum capability|requires? (?:compute|device).{0,20}capability",
     "use a build of the server that is made for it, another quantisation, or another GPU"),
    ("old_driver", "the node's NVIDIA driver is older than the server's CUDA",
     r"driver on your system is too old|driver version is insufficient"
     r"|PTX was compiled with an|forward compatibility was attempted",
     "use a build of the server for an older CUDA, or nodes with a newer driver"),
    ("gpu_busy", "another process holds memory of the GPU",
     r"Free memory on device .* is less than desired",
     "see nvidia-smi on the node; or lower --gpu-memory-utilization"),
    ("gpu_memory", "the GPU is out of memory",
     r"CUDA out of memory|torch\.OutOfMemoryError|HIP out of memory|CUDA error: out of memory",
     "use more GPUs, a smaller --max-model-len or --max-num-seqs, or quantised weights"),
    ("cache_memory", "the weights leave too little GPU memory for the cache",
     r"No available memory for the cache blocks|larger than the available KV"
     r"|larger than the maximum number of tokens|KV cache is needed, which is larger",
     "lower --max-model-len, raise --gpu-memory-utilization, or use more GPUs"),
    ("tensor_parallel", "the model cannot be split among so many GPUs",
     r"heads.*divisible by|divisible by (?:the )?(?:tensor|number of|tp|world)"
     r"|is not divisible by \d|too large tensor parallel size",
     "ask for a number of GPUs that divides its attention heads (--tensor-parallel-size)"),
    ("gated", "the weights may only be fetched with an account",
     r"gated repo|GatedRepoError|Access to model .* is restricted|401 Client Error"
     r"|must be authenticated to access",
     "accept the licence and fetch them once with your token, then set judge.path to the "
     "folder"),
    ("remote_code", "the model brings code of its own",
     r"(?:argument|option|setting) `?trust_remote_code=True|custom code which must"
     r"|execute the \w+ file in that repo|--trust-remote-code flag",
     "read it, then add --trust-remote-code to judge.command, or use another judge"),
    ("socket_path", "the path of a socket is too long",
     r"longer than 10\d characters|AF_UNIX path too long|sockaddr_un",
     "use a short folder for temporary files (judge.setup: export TMPDIR=/tmp "
     "VLLM_RPC_BASE_PATH=/tmp)"),
    ("compiler", "the server compiles at its start and finds no compiler",
     r"[Ff]ailed to find C compiler"
     r"|\b(?:gcc|cc|g\+\+|nvcc|ninja)'?(?: was|: command)? not found"
     r"|No such file or directory: '(?:\S*/)?(?:gcc|cc|g\+\+|nvcc|ninja)'|Could not find nvcc"
     r"|Python\.h: No such file",
     "load one in judge.setup (module load gcc cuda), or add --enforce-eager to judge.command"),
    ("stale_file", "the shared file system lost a file",
     r"[Ss]tale (?:NFS )?file handle|Errno 116|Transport endpoint is not connected"
     r"|Errno 5\] Input/output error",
     "it passes as a rule; see the file system's state if it does not"),
    ("compile_cache", "servers that share a cache of compiled code were in each other's way",
     r"(?:FileNotFound|FileExists|JSONDecode|EOF|Pickl|OS|Unpickling)\w*Error.*"
     r"(?:torch_compile|torchinductor|torch_aot|/\.?triton|\.cache/(?:vllm|flashinfer))"
     r"|hash of the compiled graph|corrupted compilation|InductorError: SubprocException",
     "give each job its own (judge.setup: export VLLM_CACHE_ROOT=$TMPDIR/vllm "
     "TORCHINDUCTOR_CACHE_DIR=$TMPDIR/inductor TRITON_CACHE_DIR=$TMPDIR/triton)"),
    ("port", "the port was taken", r"[Aa]ddress already in use", "run again"),
    ("options", "the command has an option that this server does not know",
     r"unrecognized arguments|invalid choice|error: (?:argument|the following arguments)"
     r"|unexpected keyword argument '\w+' .*[Aa]rgs|Unknown quantization method",
     "compare judge.command with the server's --help"),
    ("weights_missing", "the judge's weights are not there",
     r"is not a local folder|not a valid model identifier|[Rr]epository Not Found"
     r"|Invalid repo|LocalEntryNotFound|does not appear to have a file named"
     r"|outgoing traffic has been dis|Repo id must|[Cc]annot find any model weights"
     r"|couldn't connect to 'https://huggingface|HTTPSConnectionPool|Max retries exceeded"
     r"|Temporary failure in name resolution"
     r"|PermissionError: .*(?:config\.json|safetensors|tokenizer)",
     "check judge.path on the compute node"),
    ("weights_broken", "a file of the judge's weights is broken",
     r"SafetensorError|InvalidHeader|MetadataIncomplete|invalid load key, 'v'"
     r"|PytorchStreamReader failed",
     "fetch it again (a Git LFS pointer, or a copy that was cut off); compare sizes"),
    ("shared_memory", "the node's shared memory (/dev/shm) is too small",
     r"\bBus error|out of shared memory|insufficient shared memory|/dev/shm.*No space",
     "give it more (a container's --shm-size), or use fewer GPUs"),
    ("disk", "the disk is full", r"No space left on device|[Dd]isk quota exceeded",
     "free space; the server's caches are in ~/.cache unless VLLM_CACHE_ROOT says otherwise"),
    ("limits", "a limit of the node (open files, processes) is too low",
     r"Too many open files|can't start new thread|Resource temporarily unavailable",
     "raise it in judge.setup (ulimit -n 65536; ulimit -u unlimited)"),
    ("killed_for_memory", "the job has too little memory",
     r"can't allocate memory|Cannot allocate memory|MemoryError",
     "raise mem_mb in the profile's set-resources"),
    ("gpu_unusable", "the GPU cannot be used",
     r"uncorrectable ECC|CUDA error:|libcuda\.so|system not yet initialized"
     r"|NVMLError_(?:Unknown|GpuIsLost|DriverNotLoaded)|CUDA unknown error"
     r"|CUDA driver initialization failed",
     "see nvidia-smi on the node, and whether the job asked for a GPU (profile, set-resources)"),
)
# Lines that are harmless as often as not, or the echo of another cause: only the last error counts.
WEAK = (
    ("gpu_unusable", "the GPU cannot be used",
     r"no CUDA-capable device|No CUDA GPUs are available|Failed to infer device type",
     "see nvidia-smi on the node, and whether the job asked for a GPU (profile, set-resources)"),
    ("nccl", "the GPUs of the node cannot talk to each other",
     r"NCCL error|ncclUnhandled|ncclSystem|ncclInternal",
     "see the lines above it, with NCCL_DEBUG=INFO in judge.env"),
    ("architecture", "the server does not know this kind of model",
     r"architectures? .* (?:not supported|failed to be inspected)"
     r"|does not recognize this architecture", "update the server, or use another judge"),
    ("program_missing", "a program, a library or a module of Python is missing",
     r"command not found|No such file or directory|ModuleNotFoundError|No module named"
     r"|cannot open shared object|GLIBC\w*_\S+' not found|could not open image"
     r"|module\(s\) are unknown|PermissionError",
     "check judge.setup: modules to load, an environment to activate"),
)
# fmt: on
# Of vLLM and others: what stands before the text of a line, and lines that are no errors.
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
_QUOTED = 200  # characters of a line that stand in a cause


@dataclass(frozen=True)
class Cause:
    """Why a judge is not there."""

    text: str
    kind: str = "other"  # told by the caller, who saw it

    @property
    def local(self) -> bool:
        """Whether it is a matter of this node or this moment, not of the settings."""
        return self.kind in NODE | PASSING

    @property
    def passes(self) -> bool:
        """Whether the same start may well succeed when it is tried once more."""
        return self.kind in PASSING


def explain(status: int, lines: list[str]) -> Cause:
    """The cause of an end with `status` (128 + N or -N: by signal N), from the log's end."""
    status = 128 - status if status < 0 else status
    how = f"it was killed by signal {status - 128}" if status > 128 else f"exit status {status}"
    told = [_PREFIX.sub("", line).strip() for line in lines if not _HARMLESS.search(line)]
    told = [line for line in told if line]
    errors = [line for line in told if _ERROR.search(line) and not _ECHO.search(line)]
    for known, among in ((KNOWN, told), (WEAK, errors[-1:] or told[-1:])):
        for line in reversed(among):
            for kind, what, pattern, advice in known:
                if re.search(pattern, line):
                    return Cause(f"{what} ({how}): {advice}. Its log says: {_cut(line)}", kind)
    if status == 137:
        advice = "it was killed, as a rule for using more memory than the job has: raise mem_mb"
        return Cause(f"{how}: {advice} in the profile's set-resources", "killed_for_memory")
    how += ", unasked: so vLLM ends when its engine has died" if status == 0 else ""
    ends = f". The last error of its log: {_cut(errors[-1])}" if errors else ""
    return Cause(how + ends, "unknown" if status else "engine_died")


def _cut(line: str) -> str:
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]}…"
