"""The plan of a run: who is settled, complete or waiting, and who shares a job."""

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from arena.batch.made import Digests, Made, claim, is_current, made_otherwise
from arena.batch.plan import Plan, make_plan
from arena.batch.resources import asked_for, requested_gpus
from arena.data.layout import Layout
from arena.setup.load import load_settings
from arena.support.errors import DataError

MODELS = ["grand-70b-chat", "mid-7b-chat", "tiny-1b-step1000", "tiny-1b-step8000"]
GAMES = dict(zip(MODELS, (24, 24, 22, 24), strict=True))


@pytest.fixture
def campaign(tmp_path: Path, project: Path, monkeypatch) -> Path:
    """What the first version left of the embedded example: journals, judgments, its records."""
    shutil.copytree(project / "tests/data/first_version", tmp_path / "results")
    shutil.copytree(project / "examples", tmp_path / "examples")
    shutil.copytree(project / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_of(**changes) -> Plan:
    settings = load_settings(
        Path("config/config.yaml"), [f"{key}={value}" for key, value in changes.items()]
    )
    return make_plan(settings, settings.selected, GAMES)


def judgment(model: str) -> Path:
    return Path("results/model_judgment/demo-judge") / f"{model}.jsonl"


def answers(model: str) -> Path:
    return Path("examples/data/arena-demo/model_answer") / f"{model}.jsonl"


def test_judgments_of_the_first_version_are_taken_up_as_they_are(campaign):
    assert plan_of() == Plan()
    assert plan_of() == Plan(), "and remembered"
    assert len(list(Path("results/arena-demo/demo-judge/made").glob("*.json"))) == 4


def test_judgments_of_the_first_version_that_say_something_else_are_made_again(campaign):
    lines = [json.loads(line) for line in judgment(MODELS[0]).read_text().splitlines()]
    lines[3]["games"][1]["score"] = "A>>B"
    judgment(MODELS[0]).write_text("".join(json.dumps(line) + "\n" for line in lines))
    plan = plan_of()
    assert plan.batches == {}
    assert list(plan.replays.values()) == [(MODELS[0],)]


def test_a_deleted_judgment_is_replayed_and_a_deleted_journal_waits(campaign):
    plan_of()
    judgment(MODELS[0]).unlink()
    judgment(MODELS[1]).unlink()
    Layout(Path("results/arena-demo/demo-judge")).journal(MODELS[1]).unlink()
    plan = plan_of()
    assert list(plan.replays.values()) == [(MODELS[0],)]
    assert list(plan.batches.values()) == [(MODELS[1],)]
    assert plan.batch_of(MODELS[0]).startswith("replay-")
    assert plan.batch_of(MODELS[2]) is None


def test_other_settings_wait_and_going_back_is_nothing(campaign):
    assert plan_of() == Plan()
    waiting = plan_of(judge="{temperature: 0.5}")
    assert [len(models) for models in waiting.batches.values()] == [4]
    assert plan_of() == Plan()


def change_text(path: Path, *, keep_time: bool) -> None:
    """Another text of the same length in the first answer."""
    stat = path.stat()
    content = path.read_bytes()
    new = content.replace(b"the", b"eht", 1)
    assert new != content
    path.write_bytes(new)
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("keep_time", [True, False])
@pytest.mark.parametrize(
    ("model", "waiting"), [("mid-7b-chat", ["mid-7b-chat"]), ("llama-demo-8b", MODELS)]
)
def test_changed_answers_wait_whatever_their_time_says(campaign, model, waiting, keep_time):
    plan_of()
    change_text(answers(model), keep_time=keep_time)
    assert [list(models) for models in plan_of().batches.values()] == [waiting]


@pytest.mark.parametrize("change", ["touch", "copy", "rewrite"])
def test_files_that_only_look_new_wait_for_nothing(campaign, change):
    plan_of()
    for path in (answers("mid-7b-chat"), answers("llama-demo-8b")):
        if change == "touch":
            os.utime(path, (time.time() + 9,) * 2)
        elif change == "copy":
            shutil.copy(path, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
        else:
            path.write_bytes(path.read_bytes())
    assert plan_of() == Plan()


def test_a_warm_start_reads_no_answer_files(campaign, monkeypatch):
    plan_of()
    read = []
    monkeypatch.setattr("arena.batch.made.read_input", read.append)
    monkeypatch.setattr("arena.batch.models.read_answers", read.append)
    assert plan_of() == Plan()
    assert read == []


def test_batches_are_full_and_named_by_what_is_in_them(campaign):
    first = plan_of(judge="{temperature: 0.5}", batch_size=3)
    assert [len(models) for models in first.batches.values()] == [3, 1]
    assert first == plan_of(judge="{temperature: 0.5}", batch_size=3), "the same in each dry run"
    other = plan_of(judge="{temperature: 0.6}", batch_size=3)
    assert not first.batches.keys() & other.batches.keys()


def test_without_a_record_or_of_another_size_a_judgment_is_not_current(campaign):
    plan_of()
    settings = load_settings(Path("config/config.yaml"), [])
    layout, model = Layout(settings.root), MODELS[0]

    def current() -> bool:
        roles = settings.roles(model)
        path = settings.judgment(model)
        return is_current(layout, model, path, settings.digest, roles, Digests())

    assert current()
    with judgment(model).open("a") as file:
        file.write("\n")
    assert not current()
    layout.made_record(model).write_text("{torn")
    assert Made.read(layout.made_record(model)) is None
    assert not current()


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"gpu": 2}, 2),
        ({"gpus": "a100:4"}, 4),
        ({"gres": "gpu:a100:2"}, 2),
        ({"gres": "gpu"}, 1),
        ({"gres": "license:1,gres/gpu:3"}, 3),
        ({"gpu": 0, "gres": ""}, 0),
        ({}, 0),
    ],
)
def test_gpus_that_a_job_asks_for(resources, gpus):
    assert requested_gpus(resources) == gpus


def test_what_the_scheduler_hears():
    resources = {"_cores": 8, "threads": 8, "mem_mb": 100, "mem_mib": 96, "tmpdir": "/tmp"}
    assert asked_for(resources | {"runtime": 30, "gpu": 0, "tries_left": 2}) == {
        "threads": 8,
        "mem_mb": 100,
        "runtime": 30,
    }
    assert "threads" not in asked_for(resources | {"cpus_per_task": 4})


def test_two_campaigns_of_one_folder_of_judgments_are_refused(tmp_path):
    judgments, first, second = (tmp_path / name for name in ("judgments", "first", "second"))
    first.mkdir()
    second.mkdir()
    claim(judgments, first)
    claim(judgments, first)
    with pytest.raises(DataError, match=str(first)):
        claim(judgments, second)
    first.rename(tmp_path / "moved")
    claim(judgments, second)  # nobody is there any more


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail_a_dry_run(campaign):
    root = Path("results/arena-demo/demo-judge")
    (root / ".digests.json").mkdir()
    plan_of(judge="{temperature: 0.5}")


def test_models_of_other_settings_are_named(campaign):
    plan_of()
    layout = Layout(Path("results/arena-demo/demo-judge"))
    made = Made.read(layout.made_record(MODELS[0]))
    assert made_otherwise(layout, MODELS, made.settings) == []
    dataclasses.replace(made, settings="other").write(layout.made_record(MODELS[1]))
    (note,) = made_otherwise(layout, MODELS, made.settings)
    assert MODELS[1] in note and MODELS[2] not in note
