"""Names of checkpoints that stand for many folders."""

from pathlib import Path

import pytest
from arena.data.checkpoints import expand
from arena.support.errors import ConfigError


def make(root: Path, *folders: str) -> None:
    for folder in folders:
        (root / folder).mkdir(parents=True)


def test_every_folder_that_fits_is_a_model(tmp_path: Path) -> None:
    make(tmp_path, "a/step_10", "a/step_9", "b-2/step_9", "b-2/step_final", "a/step_", "a/other")
    make(tmp_path, ".hidden/step_1", "empty")
    (tmp_path / "a" / "step_11").write_text("a file")
    (tmp_path / "a" / "step_12").symlink_to(tmp_path / "gone")
    (tmp_path / "c").write_text("a file")
    assert list(expand("m-{run}-step{step}", f"{tmp_path}/{{run}}/step_{{step}}").items()) == [
        ("m-a-step9", tmp_path / "a/step_9"),
        ("m-a-step10", tmp_path / "a/step_10"),
        ("m-b-2-step9", tmp_path / "b-2/step_9"),
        ("m-b-2-stepfinal", tmp_path / "b-2/step_final"),
    ]
    final = expand("{run}", f"{tmp_path}/{{run}}/step_final")
    assert final == {"b-2": tmp_path / "b-2/step_final"}


def test_the_same_placeholder_is_the_same_text(tmp_path: Path) -> None:
    make(tmp_path, "x/x-1", "x/y-1", "a+b/a+b-2", "x.z/xqz-1", "d-d", "d-e")
    found = expand("{run}-{step}", tmp_path / "{run}" / "{run}-{step}")
    assert found == {"x-1": tmp_path / "x/x-1", "a+b-2": tmp_path / "a+b/a+b-2"}
    assert expand("{run}", tmp_path / "{run}-{run}") == {"d": tmp_path / "d-d"}


def test_a_name_without_placeholders_is_one_folder(tmp_path: Path) -> None:
    assert expand("llama", "/models/llama") == {"llama": Path("/models/llama")}
    assert expand("m{step}", tmp_path / "step_{step}") == {}


def test_expanding_refuses_what_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\{setp\}.*step"):
        expand("m-{setp}", tmp_path / "step_{step}")
    with pytest.raises(ConfigError, match="nowhere"):
        expand("m-{step}", tmp_path / "nowhere" / "{step}")
    make(tmp_path, "a/1", "b/1")
    with pytest.raises(ConfigError, match="m-1"):
        expand("m-{step}", tmp_path / "{run}" / "{step}")
    make(tmp_path, "a/2 (copy)")
    with pytest.raises(ConfigError, match=r"2 \(copy\)"):
        expand("m-{step}", tmp_path / "a" / "{step}")
