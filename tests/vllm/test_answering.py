"""Answers of checkpoints on the real vLLM: whole ones one after the other, adapters together."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from arena.setup.judge_command import DEFAULT_COMMANDS

from tests.served import eventually
from tests.slurm import campaign as of_slurm
from tests.synthetic import read_lines, write_lines
from tests.vllm.conftest import ENV, ON_CPU
from tests.workflow.conftest import Campaign, copy_project

QUESTIONS = 6
MADE = ("full-1", "full-2", "lora-1", "lora-2", "lora-3")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole checkpoints, three adapters, and one whose weights are not all there."""
    folder = tmp_path_factory.mktemp("checkpoints")
    base = shutil.copytree(ENV / "models/tiny", folder / "tiny")
    subprocess.run([ENV / "bin/python", HERE / "make_checkpoints.py", base, folder], check=True)
    broken = folder / "lora-broken"
    broken.mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        broken.joinpath(file).write_bytes((folder / "lora-1" / file).read_bytes()[:-4])
    then = time.time() - 3600
    for path in folder.rglob("*"):
        os.utime(path, (then, then))
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, project: Path, checkpoints: Path) -> Campaign:
    """A campaign of these and one model that has answers; judged by the demo judge."""
    campaign = copy_project(project, tmp_path_factory.mktemp("answers") / "campaign")
    data, example = campaign.dir / "data/arena-demo", campaign.dir / "examples/data/arena-demo"
    questions = read_lines(example / "question.jsonl")[:QUESTIONS]
    write_lines(data / "question.jsonl", questions)
    (data / "model_answer").mkdir()
    for name in ("llama-demo-8b", "mid-7b-chat"):
        source = example / f"model_answer/{name}.jsonl"
        (data / f"model_answer/{name}.jsonl").write_bytes(source.read_bytes())
    models = {name: str(checkpoints / name) for name in (*MADE, "lora-broken")}
    answers = {
        "models": models,
        "max_tokens": 48,
        "setup": f"source {ENV}/bin/activate",
        "command": f"{DEFAULT_COMMANDS['vllm']}{ON_CPU}",
        "env": {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"},
        "ready_minutes": 8,
    }
    campaign.configure(data_dir="data", answers=answers, retries=0)
    return campaign


def journals(campaign: Campaign) -> dict[str, list[dict]]:
    games = campaign.dir / "results/arena-demo/answers/games"
    return {path.stem: of_slurm.read_lines(path) for path in games.glob("*.jsonl")}


def test_killed_in_the_middle_only_open_questions_are_asked(line: Campaign) -> None:
    command = [sys.executable, "-m", "snakemake", "--keep-going"]
    run = subprocess.Popen(command, cwd=line.dir, start_new_session=True, stdout=subprocess.DEVNULL)
    eventually(lambda: sum(map(len, journals(line).values())) >= 3, seconds=1800)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    before = sum(map(len, journals(line).values()))
    assert before < len(MADE) * QUESTIONS
    line.run("--unlock")
    text = line.run("--keep-going").stdout
    assert "lora-broken" in text
    asked = [one["digest"] for lines in journals(line).values() for one in lines]
    assert len(asked) == len(set(asked)) == len(MADE) * QUESTIONS


def test_each_answers_under_its_own_name_and_is_judged(line: Campaign) -> None:
    texts = {}
    for model in MADE:
        lines = read_lines(line.answers(model))
        assert len(lines) == QUESTIONS and {one["model"] for one in lines} == {model}
        texts[model] = tuple(one["messages"][-1]["content"]["answer"] for one in lines)
    assert len(set(texts.values())) == len(MADE)
    assert set(line.models()) == {*MADE, "mid-7b-chat"}
    assert line.planned() == {}


def test_the_template_of_a_checkpoint_is_honoured(line: Campaign) -> None:
    """One that writes each role twice has more tokens in its prompts, also an adapter's own."""
    tokens = {
        model: sum(one["usage"]["prompt"] for one in lines)
        for model, lines in journals(line).items()
    }
    assert tokens["full-1"] == tokens["lora-1"] == tokens["lora-2"]
    assert tokens["full-2"] == tokens["lora-3"] > tokens["full-1"]


def test_adapters_share_a_server_and_whole_ones_follow_each_other(line: Campaign) -> None:
    """What was whole at the kill is not launched again, so each log has a part of its batch."""
    folder = line.dir / "results/arena-demo/answers"
    batches = [json.loads(path.read_text())["models"] for path in folder.glob("batches/*.json")]
    assert ["full-1", "full-2"] in batches and ["lora-1", "lora-2"] in batches
    logs = [path.read_text() for path in folder.glob("logs/*/server.log")]
    launched = [set(re.findall("launching (.+)", log)) for log in logs]
    whole, adapters = {"full-1", "full-2"}, {"lora-1-base", "lora-3-base"}
    alone = {"lora-2-base"}  # where lora-1 was whole
    assert all(one <= whole or len(one) == 1 for one in launched)
    assert set.union(*launched) - alone == whole | adapters
