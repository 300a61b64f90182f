"""The command that serves a judge: the template, and what can be read off it."""

import pytest
from arena.setup.judge_command import fill, parallel_of, script_of, slots_of
from arena.support.errors import ConfigError

VALUES = {"path": "/w/my judge", "name": "j$1", "host": "127.0.0.1", "port": 7, "gpus": 2}


def test_values_are_quoted_for_the_shell_once():
    template = "serve {path} -n {name} --at {host}:{port} -g {gpus} '{\"a\": 1}' ${HOME} {{name}}"
    expected = "serve '/w/my judge' -n 'j$1' --at 127.0.0.1:7 -g 2 '{\"a\": 1}' ${HOME} {name}"
    assert fill(template, VALUES) == expected
    # braces in a value are not looked at again
    assert fill("{name} {port}", VALUES | {"name": "{port}"}) == "'{port}' 7"


def test_the_command_for_vllm():
    judge = {"server": "vllm", "name": "j", "path": "/w", "setup": "module load x"}
    script = script_of(judge, 5, 2)
    assert script.splitlines() == [
        "set -eo pipefail",
        "module load x",
        "vllm serve /w --served-model-name j --host 127.0.0.1 --port 5 --tensor-parallel-size 2 "
        "--enable-prefix-caching --enable-prompt-tokens-details",
    ]


@pytest.mark.parametrize("command", ["serve", "vllm serve {path} --port {port}"])
def test_a_server_that_would_listen_to_the_whole_network_is_refused(command):
    judge = {"server": "vllm", "name": "j", "path": "/w", "command": command}
    with pytest.raises(ConfigError, match=r"judge\.command: \{host\} is missing"):
        script_of(judge, 1, 1)
    for address in ("{host}", "127.0.0.1", "localhost"):
        assert script_of(judge | {"command": f"{command} --host {address}"}, 1, 1)


@pytest.mark.parametrize(
    ("judge", "slots"),
    [
        ({"server": "vllm", "path": "/w"}, None),
        ({"server": "vllm", "command": "vllm serve --max-num-seqs 96"}, 96),
        ({"server": "vllm", "command": "x --max_num_seqs=8 --enforce-eager"}, 8),
    ],
)
def test_slots_are_read_from_the_command(judge, slots):
    assert slots_of(judge) == slots


@pytest.mark.parametrize(
    ("slots", "cache_tokens", "parallel"),
    [
        (None, None, None),
        (None, 10_000, 8),
        (None, 17_600, 12),  # a 70B in FP8 on one GPU: 8 games fit
        (None, 3_000_000, 384),
        (16, 3_000_000, 24),
        (16, 30_000, 22),
        (2, None, 8),
    ],
)
def test_requests_to_keep_open(slots, cache_tokens, parallel):
    assert parallel_of(slots, cache_tokens) == parallel
