"""The config is refused with the key and what to write instead."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from arena.setup.config import check_config, load_settings
from arena.support.errors import ConfigError


def minimal(**changes: object) -> dict:
    return {"bench": "b", "models": "all", "judge": {"name": "j"}} | changes


def endpoint(address: str = "http://h/v1", **more: object) -> dict:
    return {"endpoints": [{"api_base": address, **more}]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bach_size": 5}, "bach_size is not a key; did you mean batch_size?"),
        ({"judge": {"temprature": 0}}, "judge.temprature is not a key; did you mean"),
        ({"batch_size": 0}, "batch_size: 0 is less than the minimum of 1"),
        ({"judge": {"api_type": "gemini"}}, "judge.api_type: 'gemini' is not one of ['openai', '"),
        ({"judge": {"server": "ollama"}}, "judge.server: 'ollama' is not one of"),
        ({"judge": endpoint(api_key="s3cret")}, "judge.endpoints.0.api_key: "),
        ({"judge": {"endpoints": [{}]}}, "judge.endpoints.0.api_base is missing"),
        ({"xyz": 1}, "xyz is not a key; the keys here are bench, "),
        ({"api_base": "x"}, "api_base is not a key; did you mean judge.endpoints.api_base?"),
        ({"judge": {"batch_size": 3}}, "judge.batch_size is not a key; did you mean batch_size?"),
        ({"temprature": 3}, "temprature is not a key; did you mean judge.temperature?"),
        ({"judge": endpoint("h/v1")}, "judge.endpoints.0.api_base: 'h/v1' does not"),
        ({"judge": endpoint("http://h/completions/")}, "0.api_base: http://h/completions/: remove"),
        ({"judgments_dir": "x/{model}/{baseline}"}, "but no other braces"),
        ({"answers": {"dir": "x}"}}, "Braces are not allowed"),
        ({"leaderboard": {"steps": "step(\\d+)"}}, "with the groups (?P<run>) and (?P<step>)"),
        ({"leaderboard": {"steps": "(?P<step>"}}, "steps: '(?P<step>' is not a 'regex'"),
        ({"seed": -1}, "seed: -1 is less than the minimum of 0"),
        ({"judge": {"temperature": float("nan")}}, "judge.temperature: nan is not"),
        ({"judge": {"sampling": {"top_p": float("inf")}}}, "judge.sampling.top_p: inf is not"),
        ({"judge": {"sampling": {"x": date(2024, 1, 1)}}}, "judge.sampling.x: YAML reads 2024-"),
        ({"judge": {"env": {1: [1], "A": [2]}}}, "judge.env.1: [1] is not of type"),
        ({"judge": "{temperature: 0.5"}, "config: judge:1: not YAML: "),
    ],
)
def test_a_wrong_key_is_named(change: dict, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(minimal(**change))
    assert expected in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        check_config({"modells": "all", "judge": {}})
    text = str(caught.value)
    for line in ("bench is missing", "models is missing", "did you mean models?"):
        assert text.count(line) == 1


def test_nested_values_of_the_command_line_get_their_types() -> None:
    for good in (minimal(), minimal(judgments_dir="x/{baseline}/y", data_dir="a b")):
        assert check_config(good) == good
    assert check_config(minimal(answers={"server": "null"}))["answers"] == {"server": None}
    told = {"name": "7", "temperature": "0.5", "parallel": "null", "max_tokens": "9"}
    read = {"name": "7", "temperature": 0.5, "parallel": None, "max_tokens": 9}
    assert check_config(minimal(judge=told))["judge"] == read


def test_whole_numbers_are_integers() -> None:
    told = minimal(seed=42.0, batch_size="2.0", judge={"name": "j", "temperature": 1.0})
    read = check_config(told)
    assert str((read["seed"], read["batch_size"], read["judge"]["temperature"])) == "(42, 2, 1.0)"


def test_every_key_is_described(project: Path) -> None:
    def check(node: dict) -> None:
        for key, child in node.get("properties", {}).items():
            assert "description" in child or "properties" in child, key
            check(child)

    check(yaml.safe_load((project / "workflow/schemas/config.schema.yaml").read_text()))


@pytest.mark.parametrize(
    "judge",
    [
        endpoint("https://me:S3cretPass@host/v1"),
        endpoint("https://S3cretPass@host/v1"),
        endpoint("https://host/v1?key=S3cretPass"),
        endpoint("https://host/v1?a=b&api-key=S3cretPass"),
        endpoint("me:S3cretPass@host/v1"),
        endpoint("ftp://me:S3cretPass@host/v1"),
        endpoint("https://[me:S3cretPass@host/v1"),
        endpoint(api_key_env="sk-S3cretPass-0123"),
        endpoint(api_key_env="hf_S3cretPassABCDEFGH"),
        endpoint(api_key_env="S3cretPass/abc+d=="),
        endpoint(api_key_env="S3cret0" * 5),
        endpoint(api_key_env=["sk-S3cretPass-0123"]),
        {"endpoints": "https://me:S3cretPass@host/v1"},
        endpoint(api_key="sk-S3cretPass-0123"),
        endpoint(model=["sk-S3cretPass-0123"]),
        {"env": {"HF_TOKEN": "hf_S3cretPassABCDEFGH"}},
    ],
)
def test_secrets_are_refused_and_never_printed(judge: dict) -> None:
    for config in (minimal(judge={"name": "j"} | judge), minimal(answers=judge)):
        with pytest.raises(ConfigError) as caught:
            check_config(config)
        assert "S3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "judge",
    [
        endpoint("https://host:8000/v1beta/openai/"),
        endpoint("https://host/openai?api-version=2024-10-21"),
        endpoint("http://[::1]:8000/v1", api_key_env="MY_KEY_2"),
        endpoint(api_key_env="openai_api_key_of_the_group_2024"),
        endpoint(api_key_env=None),
    ],
)
def test_addresses_and_names_of_variables_are_no_secrets(judge: dict) -> None:
    check_config(minimal(judge={"name": "j"} | judge))


@pytest.mark.parametrize(
    ("content", "override", "expected"),
    [
        (None, "", "config.yaml: No such file or directory. Run this in the folder where"),
        (b"bench: caf\xe9\n", "", "config.yaml: not UTF-8 at byte 11"),
        (b"a: 1\nb: [\n", "", "config.yaml:2: not YAML: "),
        (b"models: [2026-02-30]\n", "", "config.yaml: not YAML: day is out of range for month"),
        (b"a: {b: [{c: 1,\n c: 2}]}\n", "", ":2: not YAML: the key 'c' is already set in line 1"),
        (b"- a\n", "", "config.yaml: contains no settings"),
        (b"bench: b\n", "judge={name: j", "--config judge:1: not YAML: "),
        (b"bench: b\n", "judge", "--config judge: write KEY=VALUE"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(tmp_path, content, override, expected):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, [override] if override else [])
    assert expected in str(caught.value)
