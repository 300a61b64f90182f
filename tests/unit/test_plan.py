"""The plan of a run: who is settled, complete or waiting, and who shares a job."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from arena.batch.made import Made, claim, made_otherwise
from arena.batch.plan import Plan, asked_for, make_plan
from arena.data.layout import Layout
from arena.judge.process import requested_gpus
from arena.setup.config import load_settings
from arena.support.errors import DataError

from tests.synthetic import read_lines, write_lines

MODELS = ["grand-70b-chat", "mid-7b-chat", "tiny-1b-step1000", "tiny-1b-step8000"]
LAYOUT = Layout(Path("results/arena-demo/demo-judge"))
GAMES = dict(zip(MODELS, (24, 24, 22, 24), strict=True))


@pytest.fixture
def campaign(tmp_path: Path, project: Path, monkeypatch) -> Path:
    """What the first version left of the embedded example: journals, judgments, its records."""
    shutil.copytree(project / "tests/data/first_version", tmp_path / "results")
    shutil.copytree(project / "examples", tmp_path / "examples")
    shutil.copytree(project / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settled(campaign: Path) -> None:
    """With the records of today's version."""
    plan_of()


def plan_of(**changes) -> Plan:
    given = [f"{key}={value}" for key, value in ({"answers": "null"} | changes).items()]
    settings = load_settings(Path("config/config.yaml"), given)
    return make_plan(settings, settings.selected, GAMES)


def judgment(model: str) -> Path:
    return Path("results/model_judgment/demo-judge") / f"{model}.jsonl"


def answers(model: str) -> Path:
    return Path("examples/data/arena-demo/model_answer") / f"{model}.jsonl"


def test_judgments_of_the_first_version_are_kept(campaign):
    assert plan_of() == Plan()
    assert plan_of() == Plan(), "and remembered"
    assert len(list(LAYOUT.made("m").parent.glob("*.json"))) == 4


def test_judgments_of_the_first_version_that_say_something_else_are_made_again(campaign):
    lines = read_lines(judgment(MODELS[0]))
    lines[3]["games"][1]["score"] = "A>>B"
    write_lines(judgment(MODELS[0]), lines)
    plan = plan_of()
    assert plan.batches == {}
    assert list(plan.replays.values()) == [(MODELS[0],)]


def test_other_settings_wait_and_going_back_is_nothing(settled):
    assert plan_of() == Plan()
    waiting = plan_of(judge="{temperature: 0.5}")
    assert [len(models) for models in waiting.batches.values()] == [4]
    assert plan_of() == Plan()


@pytest.mark.parametrize("older", [None, 0, 10**12])  # ns; as rsync -t, cp -p
@pytest.mark.parametrize(
    ("model", "waiting"), [("mid-7b-chat", ["mid-7b-chat"]), ("llama-demo-8b", MODELS)]
)
def test_changed_answers_wait_whatever_their_time_says(settled, model, waiting, older):
    """Another text of the same length."""
    path, before = answers(model), answers(model).stat()
    path.write_bytes(path.read_bytes().replace(b"the", b"eht", 1))
    if older is not None:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - older))
    assert [list(models) for models in plan_of().batches.values()] == [waiting]


@pytest.mark.parametrize("change", ["touch", "copy", "rewrite"])
def test_files_that_only_look_new_wait_for_nothing(settled, change):
    LAYOUT.digests.write_text("[]")  # a cache of another version
    for path in (answers("mid-7b-chat"), answers("llama-demo-8b")):
        if change == "touch":
            os.utime(path, (time.time() + 9,) * 2)
        elif change == "copy":
            shutil.copy(path, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
        else:
            path.write_bytes(path.read_bytes())
    assert plan_of() == Plan()


def test_a_warm_start_reads_no_answer_files(settled, monkeypatch):
    read = []
    monkeypatch.setattr("arena.batch.made.read_input", read.append)
    monkeypatch.setattr("arena.journals.replay.read_answers", read.append)
    assert plan_of() == Plan()
    assert read == []


def test_batches_are_full_and_named_by_what_is_in_them(campaign):
    first = plan_of(judge="{temperature: 0.5}", batch_size=3)
    assert [len(models) for models in first.batches.values()] == [3, 1]
    assert first == plan_of(judge="{temperature: 0.5}", batch_size=3), "the same in each dry run"
    other = plan_of(judge="{temperature: 0.6}", batch_size=3)
    assert not first.batches.keys() & other.batches.keys()


def test_a_judgment_of_another_size_or_with_a_torn_record_is_made_again(settled):
    with judgment(MODELS[0]).open("a") as file:
        file.write("\n")
    LAYOUT.made_record(MODELS[1]).write_text("{torn")
    assert list(plan_of().replays.values()) == [tuple(MODELS[:2])]


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"gpu": 2}, 2),
        ({"gpus": "a100:4"}, 4),
        ({"gres": "gpu"}, 1),
        ({"gres": "license:1,gres/gpu:3"}, 3),
        ({"gpu": 0, "gres": ""}, 0),
    ],
)
def test_gpus_that_a_job_asks_for(resources, gpus):
    assert requested_gpus(resources) == gpus


def test_resources_that_the_scheduler_gets():
    resources = {"_cores": 8, "threads": 8, "mem_mb": 100, "mem_mib": 96, "tmpdir": "/tmp"}
    heard = {"threads": 8, "mem_mb": 100, "runtime": 30}
    assert asked_for(resources | {"runtime": 30, "gpu": 0, "tries_left": 2}) == heard
    assert "threads" not in asked_for(resources | {"cpus_per_task": 4})


def test_two_campaigns_of_one_folder_of_judgments_are_refused(tmp_path):
    judgments, first, second = (tmp_path / name for name in ("judgments", "first", "second"))
    first.mkdir()
    for _ in range(2):
        claim(judgments, first)
    with pytest.raises(DataError, match=str(first)):
        claim(judgments, second)
    first.rename(tmp_path / "moved")
    claim(judgments, second)  # nobody is there any more
    with pytest.raises(DataError, match="cannot be written: Not a directory"):
        claim(judgments / ".campaign" / "below a file", second)


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail_a_dry_run(campaign):
    LAYOUT.digests.mkdir()
    plan_of(judge="{temperature: 0.5}")


def test_models_of_other_settings_are_named(settled):
    made = Made.read(LAYOUT.made_record(MODELS[0]))
    assert made_otherwise(LAYOUT, MODELS, made.settings) == []
    replace(made, settings="other").write(LAYOUT.made_record(MODELS[1]))
    (note,) = made_otherwise(LAYOUT, MODELS, made.settings)
    assert MODELS[1] in note and MODELS[2] not in note
