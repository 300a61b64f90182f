"""What a judge sees of its job, why one did not start, and judges that run elsewhere."""

import asyncio

import pytest
from arena.judge.causes import SCOPES, Cause, explain
from arena.judge.endpoints import check, check_keys, endpoints
from arena.judge.launch import environment, gpu_count
from arena.support.errors import ConfigError
from arena.support.http import HttpClient

from tests.web import Reply, Request, serve


def test_the_judge_sees_the_gpus_of_its_job():
    seen = environment({}, "key", {"CUDA_VISIBLE_DEVICES": "2,3", "SLURM_JOB_GPUS": "2,3"})
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["SLURM_JOB_GPUS"]) == ("2,3", "2,3")


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


def test_environment_of_the_judge(tmp_path):
    outer = {"PATH": "/bin", "NO_PROXY": "example.org", "HF_HOME": "/hf"}
    env = environment({"path": str(tmp_path), "env": {"A": 1, "PATH": "/opt"}}, "secret", outer)
    assert env["VLLM_API_KEY"] == env["JUDGE_API_KEY"] == "secret"
    assert env["NO_PROXY"] == "example.org,127.0.0.1,localhost,::1"
    assert env["no_proxy"] == "127.0.0.1,localhost,::1"
    assert (env["A"], env["PATH"], env["HF_HOME"]) == ("1", "/opt", "/hf")
    assert env["HF_HUB_OFFLINE"] == "1"  # the weights are a folder
    outer = {
        "OMP_NUM_THREADS": "8",
        "MKL_NUM_THREADS": "8",
    }  # by Snakemake, from the rule's threads
    seen = environment({"env": {"MKL_NUM_THREADS": 4}}, "k", outer)
    assert ("OMP_NUM_THREADS" in seen, seen["MKL_NUM_THREADS"]) == (False, "4")
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


MODELS = '{"data": [{"id": "j"}]}'


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, MODELS, "serves j"),
        (200, MODELS.replace("j", "k"), "does not list j, but k"),
        (200, "hello", "does not list its models (no JSON of OpenAI's API)"),
        (401, "{}", "refuses the key (HTTP 401)"),
        (503, "{}", "does not list its models (HTTP 503)"),
        (None, "", "cannot be asked for its models"),
    ],
)
def test_the_check_of_an_endpoint_never_says_the_key(status, body, said):
    async def checked() -> str:
        async def answer(request: Request) -> Reply:
            assert (request.path, request.bearer) == ("/v1/models", "secret")
            return Reply(status, body)

        http, (server, port) = HttpClient(), await serve(answer)
        url = f"http://127.0.0.1:{port if status else 1}/v1"
        try:
            return await check(http, {"url": url, "key": "secret", "model": "j"})
        finally:
            await http.close()
            await server.cleanup()

    line = asyncio.run(checked())
    assert said in line and "secret" not in line
