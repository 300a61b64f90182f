"""What a judge sees of its job, why one did not start, and judges that run elsewhere."""

import pytest
from arena.judge.causes import NODE, PASSING, explain
from arena.judge.process import environment, gpu_count
from arena.setup.upstream import check_keys, endpoints
from arena.support.errors import ConfigError


@pytest.mark.parametrize(
    ("env", "asked", "count"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, 4, 2),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b,GPU-3c"}, 0, 3),
        ({"CUDA_VISIBLE_DEVICES": ""}, 4, 0),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, 0, 1),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 4, 0),
        ({"CUDA_VISIBLE_DEVICES": "MIG-377e0049-554c"}, 4, 1),
        ({"SLURM_GPUS_ON_NODE": "4"}, 2, 4),
        ({}, 2, 2),
    ],
)
def test_gpus_are_those_that_the_job_sees(env, asked, count):
    assert gpu_count(asked, env) == count


def test_environment_of_the_judge(tmp_path):
    outer = {"PATH": "/bin", "NO_PROXY": "example.org", "CUDA_VISIBLE_DEVICES": "2,3"}
    env = environment({"path": str(tmp_path), "env": {"A": 1, "PATH": "/opt"}}, "secret", outer)
    assert env["VLLM_API_KEY"] == env["JUDGE_API_KEY"] == "secret"
    assert env["NO_PROXY"] == "example.org,127.0.0.1,localhost,::1"
    assert env["no_proxy"] == "127.0.0.1,localhost,::1"
    assert (env["A"], env["PATH"], env["CUDA_VISIBLE_DEVICES"]) == ("1", "/opt", "2,3")
    assert env["HF_HUB_OFFLINE"] == "1"  # the weights are a folder
    outer = {"OMP_NUM_THREADS": "8", "MKL_NUM_THREADS": "8"}  # by Snakemake, of the rule's threads
    seen = environment({"env": {"MKL_NUM_THREADS": 4}}, "k", outer)
    assert ("OMP_NUM_THREADS" in seen, seen["MKL_NUM_THREADS"]) == (False, "4")
    assert "HF_HUB_OFFLINE" not in environment({"path": "org/model"}, "k", {})
    asked = environment({"path": str(tmp_path)}, "k", {"HF_HUB_OFFLINE": "0"})
    assert asked["HF_HUB_OFFLINE"] == "0"


@pytest.mark.parametrize(
    ("status", "line", "said", "local"),
    [
        (1, "ValueError: Free memory on device (3/79) is less than desired", "nvidia-smi", True),
        (1, "RuntimeError: CUDA error: uncorrectable ECC error", "the GPU cannot be used", True),
        (1, "OSError: [Errno 28] No space left on device", "the disk is full", True),
        (-9, "", "killed by signal 9", False),
        (255, "what {braces} mean", "exit status 255", True),
    ],
)
def test_causes(status, line, said, local):
    cause = explain(status, ["INFO starting", line, "Traceback"])
    assert said in cause.text
    assert (cause.kind in NODE | PASSING) is local


OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory."
ERROR = "(EngineCore_DP0 pid=7) ERROR 11-28 03:14:15 [core.py:708] "
ECHO = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s)"


LAST_ERRORS = """
context           Value error, User-specified max_model_len (131072) is greater than the derived x
gpu_name          ValueError: invalid literal for int() with base 10: 'MIG-377e0049-554c'
gpu_unusable      ValueError: invalid literal for int() with base 10: 'NoDevFiles'
dtype             ValueError: Bfloat16 is only supported on GPUs with compute capability of at
gated             huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: x)
remote_code       ValueError: The repository contains custom code which must be executed to
tensor_parallel   ValueError: Total number of heads (28) must be divisible by tensor
old_driver        RuntimeError: The NVIDIA driver on your system is too old (found version
old_driver        x: UserWarning: CUDA initialization: NVIDIA driver on your system is too old
old_driver        RuntimeError: Error 35: CUDA driver version is insufficient for CUDA
socket_path       zmq.error.ZMQError: ipc path "/p/x" is longer than 107 characters
socket_path       OSError: AF_UNIX path too long
compiler          RuntimeError: Failed to find C compiler. Please specify via CC environment
compiler          FileNotFoundError: [Errno 2] No such file or directory: 'ninja'
old_gpu           torch.AcceleratorError: CUDA error: no kernel image is available for
stale_file        OSError: [Errno 116] Stale file handle: '/home/u/.cache/vllm/x'
compile_cache     FileNotFoundError: No such file or directory: '/.cache/vllm/torch_compile_cache/x'
compile_cache     AssertionError: failed to get the hash of the compiled graph
weights_missing   HFValidationError: Repo id must be in the form 'repo_name'
weights_broken    safetensors_rust.SafetensorError: Error while deserializing header:
nccl              RuntimeError: NCCL error: unhandled system error
architecture      ValueError: Model architectures ['X'] are not supported for now.
program_missing   ModuleNotFoundError: No module named 'vllm'
program_missing   ImportError: libnvrtc.so.12: cannot open shared object file
shared_memory     RuntimeError: DataLoader worker is killed by signal: Bus error.
weights_missing   PermissionError: [Errno 13] Permission denied: '/j/config.json'
weights_missing   ConnectionError: HTTPSConnectionPool(host='hf.co', port=443): Max
gpu_unusable      RuntimeError: CUDA unknown error - this may be due to an incorrect
options           ValueError: Unknown quantization method: fp5
architecture      ValueError: Transformers does not recognize this architecture.
limits            OSError: [Errno 24] Too many open files
killed_for_memory RuntimeError: DefaultCPUAllocator: can't allocate memory
program_missing   FATAL: While checking container encryption: could not open image
unknown           ValueError: the moon is full
"""


@pytest.mark.parametrize("known", LAST_ERRORS.strip().splitlines())
@pytest.mark.parametrize("prefix", ["", ERROR])
def test_the_last_error_is_the_cause_whatever_stands_around_it(prefix, known):
    kind, line = known.split(maxsplit=1)
    before = [
        "INFO 11-28 03:14:01 [utils.py:233] non-default args: {'trust_remote_code': True}",
        "WARNING 11-28 03:14:02 [x.py:1] Port 8000: Address already in use, trying port 8001",
        "ModuleNotFoundError: No module named 'flashinfer'",
        "    config = get_config(model, trust_remote_code=trust_remote_code)",
    ]
    after = ["Traceback (most recent call last):", f"{ERROR}    raise e", ECHO]
    cause = explain(1, [*before, prefix + line, *after])
    assert cause.kind == kind
    assert line[:60] in cause.text


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("disk", [OUT_OF_MEMORY, "OSError: No space left on device"]),
        ("gpu_memory", ["OSError: No space left on device", OUT_OF_MEMORY]),
        ("gpu_memory", [OUT_OF_MEMORY, "OSError: No such file or directory"]),  # a weak one
        (
            "gpu_name",  # what a UUID breaks is not a kind of model
            [
                "ValueError: invalid literal for int() with base 10: 'MIG-377e'",
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
                "  Value error, Model architectures ['LlamaForCausalLM'] failed to be inspected.",
            ],
        ),
    ],
)
def test_the_last_of_several_errors_wins_but_for_weak_ones(kind, lines):
    assert explain(1, lines).kind == kind


# External judges


def test_endpoints_with_keys_from_the_environment():
    first = {"api_base": "http://a/v1/", "api_key_env": "K"}
    second = {"api_base": "http://b/v1", "model": "org/j"}
    judge = {"name": "j", "endpoints": [first, second]}
    assert endpoints(judge, {"K": "secret"}) == [
        {"url": "http://a/v1", "key": "secret", "model": "j"},
        {"url": "http://b/v1", "key": "EMPTY", "model": "org/j"},
    ]
    told = r"endpoints\[0\] \(http://a/v1/\): api_key_env: the environment variable K is not set"
    with pytest.raises(ConfigError, match=told):
        check_keys(judge | {"server": "external"}, {})
    check_keys(judge | {"server": "demo"}, {})


def test_endpoints_of_the_users_api_config(tmp_path):
    file = tmp_path / "config" / "api_config.yaml"
    file.parent.mkdir()
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
    with pytest.raises(ConfigError, match=r"gpt: no api_key: .* OPENAI_API_KEY"):
        endpoints(judge | {"name": "gpt"}, {})
