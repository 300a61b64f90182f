"""From folders of weights to the leaderboard: the answers' stage, as a user runs it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checkpoints import SERVE, TEMPLATE, adapter, aged, checkpoint, weights
from tests.synthetic import read_lines
from tests.workflow.conftest import Campaign, copy_project, read_tsv

STEPS = (1000, 2000, 3000)


@pytest.fixture
def line(campaign: Campaign) -> Campaign:
    """Three full checkpoints of a run, two adapters of one base, and one model with answers."""
    ckpt = campaign.dir / "ckpt"
    for path in campaign.answers("x").parent.glob("*.jsonl"):
        if path.stem not in ("llama-demo-8b", "mid-7b-chat"):
            path.unlink()
    for step in STEPS:
        checkpoint(ckpt / f"run1/step_{step}", seed=step)
    base = checkpoint(ckpt / "base")
    for name, rank in (("one", 4), ("two", 16)):
        adapter(ckpt / f"lora={name}", base, rank)
    models = {"tiny-{run}-step{step}": "ckpt/{run}/step_{step}"}
    models |= {f"lora-{name}": f"ckpt/lora={name}" for name in ("one", "two")}
    campaign.configure(answers={"models": models, "command": SERVE, "max_tokens": 512}, retries=0)
    return campaign


def batches(campaign: Campaign, *arguments: str, word: str = "answers") -> dict[str, set[str]]:
    """Models by batch, from what a dry run prints."""
    lines = campaign.run("-n", *arguments).stdout.splitlines()
    told = [text.split(": ", 2) for text in lines if text.startswith(f"{word} ")]
    return {name.split()[1]: set(models.split(": ")[-1].split(", ")) for name, _, models in told}


def servers(campaign: Campaign) -> list[int]:
    """How many servers became ready in each batch of answers, in no order."""
    logs = campaign.dir.glob("results/*/answers/logs/*/server.log")
    return [path.read_text().count(" is ready") for path in logs]


def test_from_checkpoints_to_the_leaderboard(line: Campaign) -> None:
    full = {f"tiny-run1-step{step}" for step in STEPS}
    planned = batches(line)
    assert sorted(planned.values(), key=len) == [{"lora-one", "lora-two"}, full]
    line.run()
    assert line.models() == sorted([*full, "lora-one", "lora-two", "mid-7b-chat"])
    assert sorted(servers(line)) == [1, 3]  # adapters share a server, full ones have their own
    texts = set()
    for model in [*full, "lora-one", "lora-two"]:
        lines = read_lines(line.answers(model))
        assert [one["uid"] for one in lines] == sorted(one["uid"] for one in lines)
        assert {one["model"] for one in lines} == {model}
        texts.add(lines[0]["messages"][-1]["content"]["answer"])
    assert len(texts) == 5  # each under its name
    assert line.planned() == {}
    curve = (line.root / "curves.csv").read_text()
    assert all(f",{step}" in curve for step in STEPS)


def test_of_25_checkpoints_only_what_is_missing_is_made(line: Campaign) -> None:
    """Three whole ones and 22 adapters, of which one is broken and one has answers of others."""
    ckpt, answers = line.dir / "ckpt", line.settings["answers"]
    for number in range(20):
        adapter(ckpt / f"lora={number:02}", ckpt / "base")
    weights(ckpt / "lora=07/adapter_model.safetensors", bytes_missing=3, tensor="x.lora_A.weight")
    aged(ckpt / "lora=07")
    shutil.copy(line.answers("mid-7b-chat"), line.answers("lora-08"))
    theirs = line.answers("lora-08").read_bytes()
    names = {"tiny-{run}-step{step}": "ckpt/{run}/step_{step}", "lora-{name}": "ckpt/lora={name}"}
    line.configure(answers=answers | {"models": names})
    assert sorted(map(len, batches(line).values())) == [3, 10, 10]
    assert sorted(map(len, batches(line, word="batch").values())) == [5, 10, 10]
    line.run()
    assert len(line.models()) == 25 and "lora-07" not in line.models()
    assert sorted(servers(line)) == [1, 1, 3]
    assert line.planned() == {}
    checkpoint(ckpt / "run1/step_4000", seed=4000)  # added
    new = {"tiny-run1-step4000"}
    os.utime(ckpt / "run1/step_1000/model.safetensors")  # touched: an answer is kept
    shutil.rmtree(ckpt / "run1/step_2000")  # gone: so are its answers
    (line.dir / "template.jinja").write_text(TEMPLATE + " ")
    line.configure(answers=answers | {"models": names, "chat_template": "template.jinja"})
    assert list(batches(line).values()) == list(batches(line, word="batch").values()) == [new]
    line.configure(answers=answers | {"models": names})
    line.answers("lora-one").unlink()
    jobs = line.planned()
    assert jobs["answer"] == 2 and jobs["replay"] == 1  # from the journal, without a server
    line.run("--forcerun", "answer")
    assert line.planned() == {}
    assert line.answers("lora-08").read_bytes() == theirs


def test_checkpoints_that_cannot_be_served_do_not_stop_the_others(line: Campaign) -> None:
    ckpt = line.dir / "ckpt"
    weights(ckpt / "run1/step_1000/model.safetensors", bytes_missing=3)
    aged(ckpt / "run1/step_1000")
    (ckpt / "run1/step_2000/tokenizer_config.json").write_text("{}")  # no chat template
    aged(ckpt / "run1/step_2000")
    os.utime(file := ckpt / "run1/step_3000/model.safetensors")
    writing = subprocess.Popen(["bash", "-c", 'while touch "$0"; do sleep 1; done', file])
    try:
        text = line.run("-n").stdout
        assert "ckpt/run1/step_1000/model.safetensors" in text
        assert "answers.chat_template" in text
        assert list(batches(line).values()) == [{"lora-one", "lora-two"}]
        line.run()
    finally:
        writing.kill()
    assert line.models() == ["lora-one", "lora-two", "mid-7b-chat"]


def test_a_server_that_does_not_start_leaves_the_others_to_go_on(line: Campaign) -> None:
    failing = SERVE.replace(
        "{options}", "$([ {name} = tiny-run1-step2000 ] && echo --fail oom) {options}"
    )
    settings = line.settings["answers"]
    line.configure(answers=settings | {"command": failing})
    text = line.run("--keep-going", ok=False).stdout
    assert "out of memory" in text
    expected = {f"tiny-run1-step{step}" for step in (1000, 3000)}
    assert set(line.models()) == expected | {"lora-one", "lora-two", "mid-7b-chat"}
    assert list(batches(line).values()) == [{"tiny-run1-step2000"}]


@pytest.mark.parametrize("gone", ["{options}", "{host}"])
def test_a_command_that_cannot_work_is_refused_before_a_job(line: Campaign, gone: str) -> None:
    line.configure(answers=line.settings["answers"] | {"command": SERVE.replace(gone, "")})
    (told,) = (text for text in line.run("-n", ok=False).stdout.splitlines() if gone in text)
    assert told.split()[0].startswith(("config:", "answers.command"))


def test_redo_asks_once_more_and_once_only(line: Campaign) -> None:
    line.run()
    old = line.answers("lora-one").read_bytes()
    again = ("--config", "answers={redo: [lora-one]}")
    failing = ("--config", "answers={redo: [lora-one], command: 'false {host} {options}'}")
    line.run(*failing, ok=False)
    assert line.answers("lora-one").read_bytes() == old  # until there is a new one
    assert list(batches(line, *again).values()) == [{"lora-one"}]
    line.run(*again)
    assert line.planned(*again) == {} and line.planned() == {}
    made = line.dir / "results/arena-demo/answers"
    assert (made / "replaced/lora-one.jsonl").read_bytes() == old
    journal = made / "games/lora-one.jsonl"
    assert len(read_lines(journal)) == 2 * len(old.splitlines())
    new = line.answers("lora-one").read_bytes()
    line.answers("lora-one").unlink()  # which is one file with what was made
    line.answers("lora-one").write_bytes(old)  # as if killed before they were published
    line.run(*again)
    assert line.answers("lora-one").read_bytes() == new
    assert len(read_lines(journal)) == 2 * len(old.splitlines())
    (made / "made/lora-one.json").unlink()
    line.run(*again)
    assert len(read_lines(journal)) == 3 * len(old.splitlines())


def test_the_example_makes_the_answers_of_one_model(project: Path, tmp_path: Path) -> None:
    """And `validate`, `plan` and the monitor know of them."""
    campaign = copy_project(project, tmp_path / "campaign", answers=True)
    planned = campaign.run("plan").stdout
    assert "\nanswers " in planned and "\n  toy-writer\n" in planned
    campaign.run()
    assert (campaign.dir / "results/model_answer/toy-writer.jsonl").exists()
    assert not campaign.answers("toy-writer").exists()
    assert campaign.planned() == {}
    status = json.loads(campaign.tool("monitor.py", "--json").stdout)
    (row,) = (row for row in status["models"] if row["model"] == "toy-writer")
    assert (row["answers"], row["judgments"], row["at"]) == (12, "done", "done")
    assert status["answers"]["totals"]["played"] == 12
    assert "toy-writer" in (campaign.root / "leaderboard.csv").read_text()
    used = read_tsv(campaign.dir / "results/arena-demo/answers/ledger.tsv")
    assert used[-1]["games"] == "12"
