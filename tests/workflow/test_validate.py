"""What is refused, told or left out before any judge is started."""

import json
import re

from tests.workflow.conftest import Campaign, read_tsv


def report(campaign: Campaign) -> dict[str, dict]:
    """Rows of validation.json by model."""
    rows = json.loads((campaign.root / "validation.json").read_text())["models"]
    return {row["model"]: row for row in rows}


def test_the_example_is_ready_and_its_flaws_are_counted(campaign: Campaign) -> None:
    campaign.run("validate")
    text = campaign.run("--profile", "profiles/slurm", "validate").stdout  # whenever it is asked
    rows = report(campaign)
    flawed = {"questions": 12, "answers": 11, "missing": 1, "empty": 1, "state": "incomplete"}
    assert rows["tiny-1b-step1000"].items() >= flawed.items()
    assert rows["mid-7b-chat"]["answers"] == 12
    assert "tiny-1b-step1000" in text
    assert len(read_tsv(campaign.root / "validation.tsv")) == 5
    assert not list(campaign.root.glob("logs/*/server.log")), "no judge was started"


def test_an_external_judge_under_slurm_takes_no_core_of_its_own(campaign: Campaign) -> None:
    endpoints = [{"api_base": "http://127.0.0.1:1/v1"}]
    campaign.configure(judge={"server": "external", "endpoints": endpoints})
    text = campaign.run("plan", "--profile", "profiles/slurm").stdout
    assert re.search("asks for cpus_per_task=2, mem_mb=4000, runtime=[0-9]+$", text, re.M)


def test_a_key_that_is_not_set_is_named_before_a_job_is_sent(campaign: Campaign) -> None:
    endpoints = [{"api_base": "http://127.0.0.1:1/v1", "api_key_env": "NOT_SET_HERE"}]
    campaign.configure(judge={"server": "external", "endpoints": endpoints})
    told = "endpoints[0] (http://127.0.0.1:1/v1): api_key_env: the environment variable "
    for arguments in ([], ["validate"]):
        text = " ".join(campaign.run(*arguments, ok=False).stdout.split())
        assert f"{told}NOT_SET_HERE is not set" in text
        assert not list(campaign.root.glob("batches/*"))
    assert not json.loads((campaign.root / "validation.json").read_text())["ok"]


def test_a_missing_baseline_stops_the_run_and_says_where_it_looked(campaign: Campaign) -> None:
    campaign.answers("llama-demo-8b").unlink()
    text = campaign.run(ok=False).stdout
    told = "no answers: examples/data/arena-demo/model_answer/llama-demo-8b.jsonl does not exist"
    assert text.endswith(f"\nbaseline llama-demo-8b: {told}\n"), "and nothing of Snakemake's"
    lines = campaign.run("validate", ok=False).stdout.splitlines()
    (failed,) = (line for line in lines if line.startswith("validate failed: "))
    cause, _, log = failed.partition(". Log: ")
    assert cause.endswith("baseline llama-demo-8b")
    assert cause.removeprefix("validate failed: ") in (campaign.dir / log).read_text()


def test_the_plan_shows_batches_settings_and_requests(campaign: Campaign) -> None:
    text = campaign.run("plan", "--config", "batch_size=3").stdout
    assert "3 models, one job" in text and text.count("grand-70b-chat") == 1
    assert len(text.splitlines()) <= 40, "one screen"
    # 300 MB a client; 20 minutes to start and 12 for each of 3 models.
    assert "\n  asks for runtime=56\n" in text
    assert "temperature 0.0, max_tokens 4096" in text
    planned = json.loads((campaign.root / "plan.json").read_text())
    assert [len(batch["models"]) for batch in planned] == [3, 1]
    assert not campaign.judgment("mid-7b-chat").exists()
