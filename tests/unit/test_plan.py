"""The plan: who shares a server, and when a judgment is due, as Snakemake itself sees it."""

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from arena.batch.plan import (
    ask_for_no_gpu,
    asked_for,
    make_plan,
    needs_judging,
    read_batch,
    requested_gpus,
)
from arena.support.errors import DataError

MODELS = [f"m{number}" for number in range(25)]


@dataclass
class Remembered:
    """As Snakemake's record of an output."""

    input: list[str]
    params: list[str]
    input_checksums: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def judged(tmp_path: Path) -> tuple[str, list[str]]:
    """A judgment that is younger than its two inputs."""
    inputs = [str(tmp_path / "answer.jsonl"), str(tmp_path / "question.jsonl")]
    for path in inputs:
        Path(path).write_text("first")
        os.utime(path, (1000, 1000))
    judgment = tmp_path / "judgment.jsonl"
    judgment.write_text("x")
    os.utime(judgment, (2000, 2000))
    return str(judgment), inputs


def test_waiting_models_fill_the_first_batches_and_never_share_with_settled_ones() -> None:
    plan = make_plan(MODELS[:13], MODELS[13:], 10, "run")
    assert plan.members("run-01") == MODELS[:10]
    assert plan.members("run-02") == MODELS[10:13]
    assert plan.members("run-03") == MODELS[13:23]
    assert plan.members("run-04") == MODELS[23:]
    assert plan.open_batches == ["run-01", "run-02"]
    assert plan.lines()[1] == "batch run-02: 3 models: m10, m11, m12"


def test_a_missing_judgment_is_due(judged: tuple[str, list[str]]) -> None:
    judgment, inputs = judged
    Path(judgment).unlink()
    assert needs_judging(judgment, inputs, None, "d")


def test_a_judgment_younger_than_its_inputs_is_settled(judged: tuple[str, list[str]]) -> None:
    judgment, inputs = judged
    record = Remembered([*inputs, "<service>"], ["{'digest': 'd'}"])
    assert not needs_judging(judgment, inputs, record, "d")
    assert not needs_judging(judgment, inputs, None, "d")


def test_other_settings_or_another_set_of_inputs_make_it_due(
    judged: tuple[str, list[str]],
) -> None:
    judgment, inputs = judged
    record = Remembered([*inputs, "<service>"], ["{'digest': 'd'}"])
    assert needs_judging(judgment, inputs, record, "other")
    assert needs_judging(judgment, inputs[:1], record, "d")


def test_a_touched_input_counts_only_if_its_checksum_changed(
    judged: tuple[str, list[str]],
) -> None:
    judgment, inputs = judged
    sums = {path: f"sha256:{hashlib.sha256(b'first').hexdigest()}" for path in inputs}
    record = Remembered(inputs, ["{'digest': 'd'}"], sums)
    os.utime(inputs[0], (3000, 3000))
    assert not needs_judging(judgment, inputs, record, "d")
    Path(inputs[0]).write_text("other")
    os.utime(inputs[0], (3000, 3000))
    assert needs_judging(judgment, inputs, record, "d")


def test_a_touched_large_input_always_counts(judged: tuple[str, list[str]]) -> None:
    judgment, inputs = judged
    text = b"x" * 1_000_001
    Path(inputs[0]).write_bytes(text)
    os.utime(inputs[0], (3000, 3000))
    sums = {path: f"sha256:{hashlib.sha256(text).hexdigest()}" for path in inputs}
    assert needs_judging(judgment, inputs, Remembered(inputs, ["'d'"], sums), "d")


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({}, 0),
        ({"gpu": 2}, 2),
        ({"gpus": "a100:4"}, 4),
        ({"gres": "gpu"}, 1),
        ({"gres": "gpu:h100:2,tmp:10G"}, 2),
        ({"gres": "tmp:10G"}, 0),
        ({"gpu": 0, "gres": ""}, 0),
    ],
)
def test_gpus_are_counted_however_a_site_asks_for_them(resources: dict, gpus: int) -> None:
    assert requested_gpus(resources) == gpus


@pytest.mark.parametrize(
    ("resources", "asked"),
    [
        ({"tmpdir": "/tmp", "disk_mb": 1000, "disk": "1 GB", "_cores": 1, "_nodes": 1}, {}),
        ({"mem_mb": 67000, "mem_mib": 63896, "mem": "67 GB"}, {"mem_mb": 67000}),
        ({"gpu": 0, "gres": "", "mem_mb": 0}, {}),
        ({"threads": 1}, {"threads": 1}),
        ({"threads": 1, "cpus_per_task": 8}, {"cpus_per_task": 8}),
        ({"threads": 1, "cpus_per_gpu": 4}, {"cpus_per_gpu": 4}),
    ],
)
def test_a_request_is_what_the_scheduler_hears(resources: dict, asked: dict) -> None:
    assert asked_for(resources) == asked


def test_a_judge_without_gpu_asks_for_none() -> None:
    asked = {"gpu": 2, "gres": "gpu:a100:2", "mem_mb": 9, "slurm_extra": "--gpus-per-task=1"}
    ask_for_no_gpu(asked)
    assert asked == {"gpu": 0, "gres": "", "mem_mb": 9, "slurm_extra": ""}


def test_a_batch_file_that_is_seen_late_is_waited_for(tmp_path: Path) -> None:
    path, told = tmp_path / "b-01.json", []
    write = threading.Timer(0, lambda: path.write_text(json.dumps({"models": ["m1"]})))

    def waiting(text: str) -> None:
        told.append(text)
        write.start()

    assert read_batch(path, 60, waiting) == {"models": ["m1"]}
    assert told == [f"Waiting at most 60 seconds for {path}"]


def test_a_batch_file_that_never_comes_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"b-01\.json: not seen on this node after 0\.2 seconds"):
        read_batch(tmp_path / "b-01.json", 0.2)
