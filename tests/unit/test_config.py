"""The config is refused with the key and what to write instead."""

from pathlib import Path

import pytest
from arena.setup.config import check_config
from arena.support.errors import ConfigError


@pytest.fixture
def schema(project: Path) -> Path:
    return project / "workflow/schemas/config.schema.yaml"


def minimal(**changes: object) -> dict:
    return {"bench": "b", "models": "all", "judge": {"name": "j"}} | changes


def test_a_minimal_config_passes_as_it_is(schema: Path) -> None:
    assert check_config(minimal(), schema) == minimal()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bach_size": 5}, "bach_size is not a key; did you mean batch_size?"),
        (
            {"judge": {"temprature": 0}},
            "judge.temprature is not a key; did you mean judge.temperature?",
        ),
        ({"batch_size": 0}, "batch_size: 0 is less than the minimum of 1"),
        ({"judge": {"server": "ollama"}}, "judge.server: 'ollama' is not one of"),
        (
            {"judge": {"endpoints": [{"api_base": "http://x/v1", "api_key": "s3cret"}]}},
            "judge.endpoints.0.api_key: keys never stand in config.yaml",
        ),
        ({"judge": {"endpoints": [{}]}}, "judge.endpoints.0.api_base is missing"),
        ({"xyz": 1}, "xyz is not a key; known here: bench, "),
    ],
)
def test_a_wrong_key_is_named(schema: Path, change: dict, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(minimal(**change), schema)
    assert expected in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_every_problem_is_told_at_once(schema: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config({"modells": "all", "judge": {}}, schema)
    text = str(caught.value)
    assert "bench is missing" in text
    assert "models is missing" in text
    assert "did you mean models?" in text


def test_nested_values_of_the_command_line_get_their_types(schema: Path) -> None:
    told = minimal(judge={"name": "7", "temperature": "0.5", "parallel": "null", "max_tokens": "9"})
    assert check_config(told, schema)["judge"] == {
        "name": "7",
        "temperature": 0.5,
        "parallel": None,
        "max_tokens": 9,
    }


def test_every_key_is_described(schema: Path) -> None:
    import yaml

    def undescribed(where: str, node: dict) -> list[str]:
        found = []
        for key, child in node.get("properties", {}).items():
            if "description" not in child and "properties" not in child:
                found.append(f"{where}{key}")
            found += undescribed(f"{where}{key}.", child)
        return found

    assert undescribed("", yaml.safe_load(schema.read_text())) == []
