"""One GPU job a batch, and what it asks of Slurm."""

import json
import re
from itertools import combinations

from tests.slurm.campaign import Campaign, lives


def served(campaign: Campaign) -> list[dict]:
    """The servers that judged, one a batch."""
    return campaign.batch_logs()


def test_25_models_make_three_jobs(campaign, figures):
    judge = {"parallel": 10}  # one a model: its six games take 18 s
    judge["setup"] = 'echo "the judge sees GPUs $CUDA_VISIBLE_DEVICES"'
    whole = campaign(models=25, questions=3, options="--seconds 3", judge=judge)
    assert whole.run() == 0, whole.text()

    jobs = lives(whole.jobs())
    assert [life.state for life in jobs] == ["COMPLETED"] * 3
    sizes = [len(batch["models"]) for batch in whole.batches()]
    assert sizes == [10, 10, 5]
    # What Slurm was asked for: a server's resources and 300 MB a client, 3 minutes and 1 a model.
    assert sorted((life.gpus, life.cores, life.memory, life.minutes) for life in jobs) == [
        (2, 8, "65500M", 8),
        (2, 8, "67000M", 13),
        (2, 8, "67000M", 13),
    ]
    assert {life.partition for life in jobs} == {"gpu"}  # the cluster's default
    # And so it stands in batches/<batch>.json.
    told = {batch["batch"]: batch["resources"] for batch in whole.batches()}
    job_of = {record["batch"]: record["slurm_job_id"] for record in served(whole)}
    for life in jobs:
        (asked,) = [told[batch] for batch, job in job_of.items() if job == life.id]
        assert asked == {
            "cpus_per_task": life.cores,
            "gpu": life.gpus,
            "gpus": life.gpus,
            "mem_mb": int(life.memory.removesuffix("M")),
            "nodes": 1,
            "runtime": life.minutes,
        }
    # No two servers meet: GPUs of the job's own, a port, a key, a folder each.
    records = served(whole)
    assert sorted(record["slurm_job_id"] for record in records) == sorted(whole.jobs())
    nodes = {life.id: life.node for life in jobs}
    for one, other in combinations(records, 2):
        assert nodes[one["slurm_job_id"]] == one["node"]
        if one["node"] == other["node"]:
            assert not set(one["gpu_ids"].split(",")) & set(other["gpu_ids"].split(","))
    assert len({record["node"] for record in records}) < 3  # two shared one
    assert all(len(record["gpu_ids"].split(",")) == 2 for record in records)
    for record in records:
        log = (whole.root / "logs" / record["batch"] / "server.log").read_text()
        assert f"the judge sees GPUs {record['gpu_ids']}\n" in log
    ports = {path.stem for path in (whole.folder / "requests").iterdir()}
    assert len(ports) == 3
    assert together(whole) == [10, 10, 5]
    assert whole.judged() == len(whole.requests()) == 25 * 3 * 2
    whole.nothing_left()
    logs_are_found(whole)
    figures("25 models", whole)

    # Nothing to do, and then four deleted from different batches: one job of these four.
    assert whole.run() == 0
    assert whole.jobs() == []
    judgments = whole.judgments()
    gone = ["m01", "m10", "m11", "m25"]
    for model in gone:
        whole.judgment_file(model).unlink()
    assert whole.run("-n") == 0
    assert f"4 models: {', '.join(gone)}" in whole.text()
    assert whole.run() == 0, whole.text()
    (job,) = lives(whole.jobs())
    assert (job.state, job.minutes) == ("COMPLETED", 7)
    assert whole.batches()[-1]["models"] == gone
    assert whole.judgments() == judgments
    assert len(whole.requests()) == 25 * 3 * 2  # all from the journals
    assert served(whole)[-1]["launched"] is None  # and so no judge was started for them
    figures("4 deleted", whole)

    # A smaller batch: five jobs, told without submitting.
    for model in whole.names:
        whole.judgment_file(model).unlink()
    assert whole.run("-n", "--config", "batch_size=5") == 0
    assert len(re.findall(r"^batch \S+: 5 models", whole.text(), re.MULTILINE)) == 5
    assert re.search(r"^judge_server +5$", whole.text(), re.MULTILINE)
    assert whole.run("plan") == 0, whole.text()
    assert whole.jobs() == []
    asked = "  asks for cpus_per_task=8, gpu=2, mem_mb=%d, nodes=1, runtime=%d\n"
    requests = [line for line in whole.text().splitlines(True) if "asks for" in line]
    assert requests == [asked % (67000, 13), asked % (67000, 13), asked % (65500, 8)]
    assert all(name in whole.text() for name in whole.names)


def together(campaign: Campaign) -> list[int]:
    """For each batch, how many of its models had a game open at the same time, at most."""
    most = []
    for batch in campaign.batches():
        spans = []
        for model in batch["models"]:
            games = campaign.games(model)
            spans.append((min(begun(game) for game in games), max(ended(game) for game in games)))
        latest_start = max(start for start, _ in spans)
        most.append(sum(end >= latest_start >= start for start, end in spans))
    return most


def ended(game: dict) -> float:
    from datetime import datetime

    return datetime.fromisoformat(game["time"]).timestamp()


def begun(game: dict) -> float:
    return ended(game) - game["seconds"]


def logs_are_found(campaign: Campaign) -> None:
    """Kept after success: a folder a batch, with the server's log and each model's."""
    for batch in campaign.batches():
        folder = campaign.root / "logs" / batch["batch"]
        assert "is ready" in (folder / "server.log").read_text()
        for model in batch["models"]:
            assert "done" in (folder / f"{model}.log").read_text()
        record = json.loads((folder / "batch.json").read_text())
        assert record["start"] <= record["ready"] <= record["end"]
        assert record["cause"] is None
    for job in campaign.jobs():
        assert list((campaign.folder / "results/slurm_logs").rglob(f"{job}.log"))
