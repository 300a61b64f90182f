"""What a judge sees of its job, why one did not start, and judges that run elsewhere."""

import asyncio

import pytest
from arena.judge.causes import explain
from arena.judge.endpoints import check, check_keys, endpoints
from arena.judge.launch import environment, gpu_count
from arena.support.errors import ConfigError
from arena.support.http import HttpClient
from arena.support.web import Reply, Request, serve


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
        (0, "", "unasked", False),
        (7, "what {braces} mean", "exit status 7", False),
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

        http, port = HttpClient(), 1
        if status:
            server = await serve(answer, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
        try:
            url = f"http://127.0.0.1:{port}/v1"
            return await check(http, {"url": url, "key": "secret", "model": "j"})
        finally:
            await http.close()

    line = asyncio.run(checked())
    assert said in line and "secret" not in line
