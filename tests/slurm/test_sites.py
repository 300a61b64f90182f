"""What profiles/README.md gives to paste for other sites, and the rehearsal."""

import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

from tests.slurm.campaign import PROJECT, ends_as, lives, slurm

README = (PROJECT / "profiles/README.md").read_text()


def block(holds: str) -> dict:
    """The YAML block of the README that holds a text."""
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (found,) = [text for text in blocks if holds in text]
    return yaml.safe_load(found)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("slurm_account: research", "Account=research .*Partition=gpu "),
        ("gpu_model: a100", r"TresPerJob=gres:gpu:a100:2\b"),
        ("--mem-per-gpu=32G", r"MemPerTres=gres:gpu:32768\b"),
        ("cpus_per_gpu: 4", r"CpusPerTres=gres:gpu:4\b"),
        ("constraint: nvlink", r"ExcNodeList=n1 .*Features=nvlink\b"),
        ("slurm-qos: long", r"QOS=long .*Reservation=my_workshop\b"),
    ],
    ids=["account", "kind", "mem-per-gpu", "cpus-per-gpu", "constraint", "qos"],
)
def test_request(campaign, text, asked):
    """What Slurm says that it was asked for."""
    site = campaign(models=1, questions=1, hold=0)
    site.edit_profile(block(text))
    site.start()
    shown = slurm("scontrol", "show", "job", "--oneliner", site.job())
    assert re.search(asked, shown), shown
    site.process.send_signal(signal.SIGINT)
    assert site.wait() == 1


def test_gres_setup_and_a_proxy(campaign, tmp_path):
    """To the end: GPUs by gres, a module and an environment, a proxy that leads nowhere."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "vllm"], check=True)
    setup = block("source ~/envs")["judge"]["setup"]
    # This machine has no modules: a function stands for the command.
    setup = 'module() { export MODULE="$*"; }\n' + setup.replace("~/envs", str(tmp_path))
    judge = {"setup": setup, "env": {"HF_HUB_OFFLINE": 1}}
    site = campaign(models=1, questions=2, judge=judge)
    marker = site.folder / "environment"
    config = yaml.safe_load((site.folder / "config/config.yaml").read_text())
    command = f"env > {marker}; exec {config['judge']['command']}"
    site.configure({"judge": {"command": command}})
    site.edit_profile(block("gres: gpu:a100:2"))
    nowhere = "http://127.0.0.1:9"
    assert site.run(http_proxy=nowhere, https_proxy=nowhere, HTTP_PROXY=nowhere) == 0, site.text()
    (job,) = lives(site.jobs())
    assert (job.state, job.gpus) == ("COMPLETED", 2)
    seen = dict(line.split("=", 1) for line in marker.read_text().splitlines() if "=" in line)
    assert (seen["MODULE"], seen["HF_HUB_OFFLINE"]) == ("load cuda/12.4", "1")
    assert seen["VIRTUAL_ENV"] == str(tmp_path / "vllm")
    assert seen["PATH"].startswith(f"{tmp_path}/vllm/bin:")
    assert len(seen["CUDA_VISIBLE_DEVICES"].split(",")) == 2
    assert len(site.requests()) == site.judged() == 4


def test_without_accounting(campaign, tmp_path):
    """Ends are read from the queue; sacct says what it says where nothing is stored."""
    nothing = tmp_path / "sacct"
    nothing.write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
    nothing.chmod(0o755)
    site = campaign(models=2, questions=2, config={"batch_size": 1})
    site.edit_profile(block("slurm-status-command: squeue"))
    assert site.run(PATH=f"{tmp_path}:{os.environ['PATH']}") == 0, site.text()
    first, second = site.jobs()
    for job in (first, second):
        ends_as(job, "COMPLETED")


def test_rehearsal(campaign):
    """The whole campaign on the user's own settings, with the demo judge and without a GPU."""
    user = campaign(models=4, questions=2, config={"batch_size": 2}, options="--fail path")
    user.edit_profile(block("slurm_account: research"))
    other = ["--default-resources", "slurm_account=research", "slurm_partition=high"]
    assert user.run("--config", "rehearsal=true", *other) == 0, user.text()
    jobs = lives(user.jobs())
    seen = [(life.state, life.gpus, life.cores, life.partition) for life in jobs]
    assert seen == [("COMPLETED", 0, 2, "high")] * 2
    assert not list(user.folder.glob("data/tiny/model_judgment/**/*.jsonl"))
    (rehearsed,) = (user.folder / "results/rehearsal").rglob("leaderboard.txt")
    assert "toy" in rehearsed.read_text().lower()
    assert not (user.folder / "results/tiny").exists()
    user.nothing_left()
