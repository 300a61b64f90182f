"""What is run to serve a judge, and why one did not start."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from arena.serving.causes import SCOPES, Cause, explain
from arena.serving.external import check, check_keys, endpoints
from arena.serving.launch import capacity, environment, fill, gpu_count, parallel_of, script_of
from arena.support.errors import ConfigError
from arena.support.processes import parents, shared_memory

from tests.served import adopts_orphans

VALUES = {"path": "/w/my judge", "name": "j$1", "host": "127.0.0.1", "port": 7, "gpus": 2}


def test_values_are_quoted_for_the_shell_once():
    template = "serve {path} -n {name} --at {host}:{port} -g {gpus} '{\"a\": 1}' ${HOME} {{name}}"
    expected = "serve '/w/my judge' -n 'j$1' --at 127.0.0.1:7 -g 2 '{\"a\": 1}' ${HOME} {name}"
    assert fill(template, VALUES) == expected


def test_the_judge_sees_the_gpus_of_its_job():
    seen = environment({}, "key", {"CUDA_VISIBLE_DEVICES": "2,3", "SLURM_JOB_GPUS": "2,3"})
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["SLURM_JOB_GPUS"]) == ("2,3", "2,3")


def test_braces_in_a_value_are_not_looked_at_again():
    assert fill("{name} {port}", VALUES | {"name": "{port}"}) == "'{port}' 7"


def test_a_missing_path_is_named():
    with pytest.raises(ConfigError, match=r"judge\.path is not set"):
        script_of({"server": "vllm", "name": "j"}, 1, 1)


def test_the_command_for_vllm():
    script = script_of(
        {"server": "vllm", "name": "j", "path": "/w", "setup": "module load x"}, 5, 2
    )
    assert script.splitlines() == [
        "set -eo pipefail",
        "module load x",
        "vllm serve /w --served-model-name j --host 127.0.0.1 --port 5 --tensor-parallel-size 2 "
        "--enable-prefix-caching --scheduling-policy priority --enable-prompt-tokens-details",
    ]


@pytest.mark.parametrize("command", ["serve", "vllm serve {path} --port {port}"])
def test_a_server_that_would_listen_to_the_whole_network_is_refused(command):
    judge = {"server": "vllm", "name": "j", "path": "/w", "command": command}
    with pytest.raises(ConfigError, match=r"judge\.command: \{host\} is missing"):
        script_of(judge, 1, 1)
    for address in ("{host}", "127.0.0.1", "localhost"):
        assert script_of(judge | {"command": f"{command} --host {address}"}, 1, 1)


@pytest.mark.parametrize(
    ("env", "resources", "count"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, {"gpus": 4}, 2),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b,GPU-3c"}, {}, 3),
        ({"CUDA_VISIBLE_DEVICES": ""}, {"gpus": 4}, 0),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, {}, 1),
        ({"SLURM_GPUS_ON_NODE": "4"}, {"gpus": 2}, 4),
        ({}, {"gpus": 2}, 2),
        ({}, {}, 0),
    ],
)
def test_gpus_are_those_that_the_job_sees(env, resources, count):
    assert gpu_count(resources, env) == count


@pytest.mark.parametrize(
    ("judge", "parallel", "priority"),
    [
        ({"server": "vllm", "path": "/w"}, None, True),
        ({"server": "vllm", "command": "vllm serve --max-num-seqs 96"}, 144, False),
        (
            {"server": "vllm", "command": "x --max_num_seqs=8 --scheduling-policy=priority"},
            12,
            True,
        ),
        ({"server": "vllm", "command": "x --scheduling-policy fcfs"}, None, False),
        ({"server": "demo"}, None, True),
        ({"server": "external"}, None, False),
    ],
)
def test_capacity_is_read_from_the_command(judge, parallel, priority):
    assert capacity(judge) == {"parallel": parallel, "priority": priority}


@pytest.mark.parametrize(
    ("slots", "cache_tokens", "parallel"),
    [
        (None, None, None),
        (None, 10_000, 8),
        (None, 17_600, 12),  # a 70B in FP8 on one GPU: 8 games fit
        (None, 90_000, 67),
        (None, 3_000_000, 384),
        (16, 3_000_000, 24),
        (16, 30_000, 22),
        (2, None, 8),
    ],
)
def test_requests_to_keep_open(slots, cache_tokens, parallel):
    assert parallel_of(slots, cache_tokens) == parallel


def test_environment_of_the_judge(tmp_path):
    outer = {"PATH": "/bin", "NO_PROXY": "example.org", "HF_HOME": "/hf"}
    env = environment({"path": str(tmp_path), "env": {"A": 1, "PATH": "/opt"}}, "secret", outer)
    assert env["VLLM_API_KEY"] == env["JUDGE_API_KEY"] == "secret"
    assert env["NO_PROXY"] == "example.org,127.0.0.1,localhost,::1"
    assert env["no_proxy"] == "127.0.0.1,localhost,::1"
    assert (env["A"], env["PATH"], env["HF_HOME"]) == ("1", "/opt", "/hf")
    assert env["HF_HUB_OFFLINE"] == "1"  # the weights are a folder
    assert "HF_HUB_OFFLINE" not in environment({"path": "org/model"}, "k", {})
    assert (
        environment({"path": str(tmp_path)}, "k", {"HF_HUB_OFFLINE": "0"})["HF_HUB_OFFLINE"] == "0"
    )


@pytest.mark.parametrize(
    ("status", "line", "said", "local"),
    [
        (1, "torch.OutOfMemoryError: CUDA out of memory.", "the GPU is out of memory", False),
        (
            1,
            "max seq len (131072) ... larger than the available KV cache memory",
            "--max-model-len",
            False,
        ),
        (
            1,
            "ValueError: Free memory on device (3/79 GiB) on startup is less than desired",
            "nvidia-smi",
            True,
        ),
        (1, "RuntimeError: CUDA error: uncorrectable ECC error", "the GPU cannot be used", True),
        (2, "vllm: error: unrecognized arguments: --foo", "--help", False),
        (127, "bash: line 2: vllm: command not found", "judge.setup", False),
        (1, "OSError: [Errno 98] Address already in use", "the port was taken", True),
        (1, "OSError: [Errno 28] No space left on device", "the disk is full", True),
        (137, "", "killed by signal 9: it was killed, as a rule for using more memory", False),
        (-9, "", "killed by signal 9", False),
        (0, "", "unasked", True),
        (7, "what {braces} mean", "exit status 7", True),
    ],
)
def test_causes(status, line, said, local):
    cause = explain(status, ["INFO starting", line, "Traceback"])
    assert said in cause.text
    assert cause.local is local


def test_the_cause_is_not_its_echo():
    lines = [
        "torch.OutOfMemoryError: CUDA out of memory.",
        "RuntimeError: No such file or directory",
    ]
    assert "out of memory" in explain(1, lines).text


ERROR = "(EngineCore_DP0 pid=7) ERROR 11-28 03:14:15 [core.py:708] "
ECHO = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s)"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (
            "context",
            "  Value error, User-specified max_model_len (131072) is greater than the derived "
            "max_model_len (max_position_embeddings=32768). This may lead to incorrect model "
            "outputs or CUDA errors. [type=value_error, input_value=ArgsKwargs((), {}), "
            "input_type=ArgsKwargs]",
        ),
        ("gpu_name", "ValueError: invalid literal for int() with base 10: 'MIG-377e0049-554c'"),
        ("gpu_name", "ValueError: invalid literal for int() with base 10: 'GPU-64b90baa-0cf1'"),
        ("no_gpu", "ValueError: invalid literal for int() with base 10: 'NoDevFiles'"),
        ("gpu_unusable", "RuntimeError: No CUDA GPUs are available"),
        (
            "dtype",
            "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least "
            "8.0. Your Tesla V100-SXM2-32GB GPU has compute capability 7.0.",
        ),
        ("gated", "OSError: You are trying to access a gated repo."),
        ("gated", "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: x)"),
        (
            "remote_code",
            "ValueError: The repository /w contains custom code which must be executed to "
            "correctly load the model. Please pass the argument `trust_remote_code=True`",
        ),
        (
            "tensor_parallel",
            "ValueError: Total number of attention heads (28) must be divisible by tensor "
            "parallel size (8).",
        ),
        (
            "old_driver",
            "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
        ),
        (
            "old_driver",
            "/x/torch/cuda/__init__.py:182: UserWarning: CUDA initialization: The NVIDIA driver "
            "on your system is too old (found version 12040).",
        ),
        (
            "old_driver",
            "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 35: CUDA driver "
            "version is insufficient for CUDA runtime version",
        ),
        (
            "socket_path",
            'zmq.error.ZMQError: ipc path "/p/scratch/x" is longer than 107 characters '
            "(sizeof(sockaddr_un.sun_path)).",
        ),
        ("socket_path", "OSError: AF_UNIX path too long"),
        (
            "compiler",
            "RuntimeError: Failed to find C compiler. Please specify via CC environment variable.",
        ),
        ("compiler", "FileNotFoundError: [Errno 2] No such file or directory: 'ninja'"),
        (
            "old_gpu",
            "torch.AcceleratorError: CUDA error: no kernel image is available for execution on "
            "the device",
        ),
        ("stale_file", "OSError: [Errno 116] Stale file handle: '/home/u/.cache/vllm/x'"),
        (
            "compile_cache",
            "FileNotFoundError: [Errno 2] No such file or directory: "
            "'/home/u/.cache/vllm/torch_compile_cache/1f/rank_0_0/computation_graph.py'",
        ),
        ("compile_cache", "AssertionError: failed to get the hash of the compiled graph"),
        ("weights_missing", "HFValidationError: Repo id must be in the form 'repo_name'"),
        (
            "weights_broken",
            "safetensors_rust.SafetensorError: Error while deserializing header: InvalidHeader",
        ),
        ("nccl", "RuntimeError: NCCL error: unhandled system error"),
        ("architecture", "ValueError: Model architectures ['X'] are not supported for now."),
        ("program_missing", "ModuleNotFoundError: No module named 'vllm'"),
        ("program_missing", "ImportError: libnvrtc.so.12: cannot open shared object file"),
        (
            "shared_memory",
            "RuntimeError: DataLoader worker (pid 1) is killed by signal: Bus error.",
        ),
        ("weights_missing", "PermissionError: [Errno 13] Permission denied: '/j/config.json'"),
        (
            "weights_missing",
            "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', "
            "port=443): Max retries exceeded with url: /api",
        ),
        ("gpu_unusable", "RuntimeError: CUDA unknown error - this may be due to an incorrect"),
        ("options", "ValueError: Unknown quantization method: fp5"),
        (
            "architecture",
            "ValueError: The checkpoint you are trying to load has model type `x` but Transformers "
            "does not recognize this architecture.",
        ),
        ("limits", "OSError: [Errno 24] Too many open files"),
        ("killed_for_memory", "RuntimeError: DefaultCPUAllocator: can't allocate memory"),
        (
            "program_missing",
            "FATAL: While checking container encryption: could not open image /x/vllm.sif",
        ),
        ("unknown", "ValueError: the moon is full"),
    ],
)
@pytest.mark.parametrize("prefix", ["", ERROR])
def test_the_last_error_is_the_cause_whatever_stands_around_it(prefix, kind, line):
    before = [
        "INFO 11-28 03:14:01 [utils.py:233] non-default args: {'trust_remote_code': True}",
        "WARNING 11-28 03:14:02 [x.py:1] Port 8000: Address already in use, trying port 8001",
        "ModuleNotFoundError: No module named 'flashinfer'",
        "    config = get_config(model, trust_remote_code=trust_remote_code)",
    ]
    after = ["Traceback (most recent call last):", f"{ERROR}    raise e", ECHO]
    cause = explain(1, [*before, prefix + line, *after])
    assert cause.kind == kind
    assert line.strip()[:60] in cause.text


def test_what_a_uuid_breaks_is_not_a_kind_of_model():
    lines = [
        "ValueError: invalid literal for int() with base 10: 'MIG-377e'",
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        "  Value error, Model architectures ['LlamaForCausalLM'] failed to be inspected.",
    ]
    assert explain(1, lines).kind == "gpu_name"


def test_the_last_of_two_errors_wins():
    lines = ["torch.OutOfMemoryError: CUDA out of memory.", "OSError: No space left on device"]
    assert [explain(1, lines[::order]).kind for order in (1, -1)] == ["disk", "gpu_memory"]


def test_only_causes_that_pass_are_tried_again_in_the_same_job():
    passing = {kind for kind in SCOPES if Cause("", kind).passes}
    assert passing == {"unknown", "engine_died", "stale_file", "compile_cache"}
    assert all(Cause("", kind).local for kind in passing), "none of them ends the campaign"
    assert "VLLM_CACHE_ROOT" in explain(1, ["corrupted compilation artifact"]).text


@pytest.mark.parametrize(
    ("visible", "count"),
    [("NoDevFiles", 0), ("MIG-377e0049-554c", 1), ("GPU-1,GPU-2", 2), ("0,none,2", 1), ("3", 1)],
)
def test_gpus_by_what_the_job_sees(visible, count):
    assert gpu_count({"gpus": 4}, {"CUDA_VISIBLE_DEVICES": visible}) == count


# External judges


def test_endpoints_with_keys_from_the_environment():
    given = [
        {"api_base": "http://a/v1/", "api_key_env": "K"},
        {"api_base": "http://b/v1", "model": "org/j"},
    ]
    judge = {"name": "j", "endpoints": given}
    assert endpoints(judge, {"K": "secret"}) == [
        {"url": "http://a/v1", "key": "secret", "model": "j"},
        {"url": "http://b/v1", "key": "EMPTY", "model": "org/j"},
    ]
    told = r"endpoints\[0\] \(http://a/v1/\): api_key_env: the environment variable K is not set"
    with pytest.raises(ConfigError, match=told):
        check_keys(judge | {"server": "external"}, {})
    check_keys(judge | {"server": "demo"}, {})


def test_endpoints_of_the_users_api_config(tmp_path):
    file = tmp_path / "api_config.yaml"
    file.write_text(
        "j:\n  model: served-name\n  api_type: openai\n  endpoints:\n"
        "    - {api_base: 'http://a/v1', api_key: secret}\n    - {api_base: 'http://b/v1'}\n"
        "gpt:\n  model: gpt-x\n  api_type: openai\n  endpoints: null\n"
    )
    judge = {"name": "j", "endpoints": None, "api_config": str(file)}
    assert endpoints(judge, {"OPENAI_API_KEY": "sk"}) == [
        {"url": "http://a/v1", "key": "secret", "model": "served-name"},
        {"url": "http://b/v1", "key": "EMPTY", "model": "served-name"},  # not OpenAI: not its key
    ]
    openai = endpoints(judge | {"name": "gpt"}, {"OPENAI_API_KEY": "sk"})
    assert [(one["key"], one["model"]) for one in openai] == [("sk", "gpt-x")]
    with pytest.raises(
        ConfigError, match=r"gpt: no api_key: the environment variable OPENAI_API_K"
    ):
        endpoints(judge | {"name": "gpt"}, {})


def test_the_check_of_an_endpoint_never_says_the_key():
    line = check({"url": "http://127.0.0.1:1/v1", "key": "secret", "model": "j"})
    assert line == "http://127.0.0.1:1/v1: cannot be asked for its models (URLError)"


# Processes

MAKES_SHARED_MEMORY = """
import os, signal, sys, time
from multiprocessing import resource_tracker, shared_memory
made = shared_memory.SharedMemory(create=True, size=4096)
resource_tracker.unregister(made._name, "shared_memory")  # as when its tracker is killed with it
print(made.name, flush=True)
if os.fork():
    time.sleep(3600)
os.setsid()
if os.fork():
    os._exit(0)  # the grandchild is an orphan now
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(3600)
"""
ENDS_IT = """
import subprocess, sys
from arena.support.processes import adopt_orphans, descendants, end_descendants, shared_memory
adopt_orphans()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
name, orphan = child.stdout.readline().strip(), int(child.stdout.readline())
import os
below = descendants(os.getpid())
assert {child.pid, orphan} <= set(below), (child.pid, orphan, below)
print(name, orphan, end_descendants(grace=0.3), descendants(os.getpid()))
"""


@adopts_orphans
def test_orphans_and_shared_memory_are_gone(project):
    done = subprocess.run(
        [sys.executable, "-c", ENDS_IT, MAKES_SHARED_MEMORY],
        env=os.environ | {"PYTHONPATH": str(project / "workflow" / "scripts")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    name, orphan, unkilled, left = done.stdout.split(maxsplit=3)
    assert (unkilled, left.strip()) == ("[]", "[]")
    assert not (Path("/dev/shm") / name).exists()
    assert int(orphan) not in parents()


WITHOUT_PROC = """
import os, subprocess, sys
from pathlib import Path
from arena.support import processes
processes.PROC = Path("/none")
child = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE)
below = {child.pid, int(child.stdout.readline())}
assert set(processes.descendants(os.getpid())) == below
assert processes.end_descendants(grace=5.0) == []
assert processes.descendants(os.getpid()) == []
"""
# As if it hung in a driver: no signal reaches it.
UNDYING = """
import subprocess, sys
from arena.support import processes
processes.UNKILLED_SECONDS = 0.3
child = subprocess.Popen(["sleep", "600"])
really, processes._signal = processes._signal, lambda pids, number: None
assert processes.end_descendants(grace=0.1) == [child.pid]
processes._signal = really
assert processes.end_descendants(grace=0.1) == []
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(WITHOUT_PROC, id="as on macOS: ps says what there is, and not itself"),
        pytest.param(UNDYING, id="what does not end is named"),
    ],
)
def test_all_below_is_ended(project, program):
    if not shutil.which("ps"):
        pytest.skip("no ps on this machine")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(project / "workflow" / "scripts")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def test_shared_memory_of_a_process_that_is_gone_is_none():
    assert shared_memory([2**22 + 1]) == set()
