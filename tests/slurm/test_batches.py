"""One GPU job a batch, what it asks of Slurm, and that only what is missing is asked."""

import json
import re
from datetime import datetime
from itertools import combinations

from tests.slurm.campaign import Campaign, await_that, lives, slurm


def test_25_models_make_three_jobs(campaign):
    judge = {"parallel": 10, "setup": 'echo "the judge sees GPUs $CUDA_VISIBLE_DEVICES"'}
    whole = campaign(models=25, questions=3, hold=0, judge=judge)
    whole.start()
    whole.job(2)
    # Slurm tells each job's batch.
    shown = [slurm("scontrol", "show", "job", job).split() for job in whole.jobs()]
    await_that(lambda: [bool(one["ready"]) for one in whole.attempts()] == [True] * 3, "all ready")
    whole.go()
    assert whole.wait() == 0, whole.text()
    for batch in whole.batches():
        comment = f"Comment=rule_gen_judgment_wildcards_{batch['batch']}"
        assert sum(comment in words for words in shown) == 1

    jobs = lives(whole.jobs())
    assert [life.state for life in jobs] == ["COMPLETED"] * 3
    sizes = [len(batch["models"]) for batch in whole.batches()]
    assert sizes == [10, 10, 5]
    # What Slurm was asked for: the profile's, and 20 minutes and 1 a model.
    assert sorted((life.gpus, life.cores, life.memory, life.minutes) for life in jobs) == [
        (2, 8, "62.50G", 25),
        (2, 8, "62.50G", 30),
        (2, 8, "62.50G", 30),
    ]
    assert {life.partition for life in jobs} == {"gpu"}  # the cluster's default
    # And so it stands in logs/<batch>/batch.json.
    records = whole.batch_logs()
    minutes = {life.id: life.minutes for life in jobs}
    for record in records:
        asked = {"cpus_per_task": 8, "gpu": 2, "mem_mb": 64000, "nodes": 1}
        assert record["asked"] == asked | {"runtime": minutes[record["slurm_job_id"]]}
    # All ran at once and no two met: GPUs of the job's own, a port, a key, a folder each.
    assert sorted(record["slurm_job_id"] for record in records) == sorted(whole.jobs())
    nodes = {life.id: life.node for life in jobs}
    for one, other in combinations(records, 2):
        assert nodes[one["slurm_job_id"]] == one["node"]
        if one["node"] == other["node"]:
            assert not set(one["gpu_ids"].split(",")) & set(other["gpu_ids"].split(","))
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
    is_on_one_screen(whole)


def test_only_what_is_missing_is_asked(campaign):
    """Again, deleted, changed, other settings, other sizes."""
    whole = campaign(models=25, questions=1)
    assert whole.run() == 0, whole.text()
    assert [len(batch["models"]) for batch in whole.batches()] == [10, 10, 5]
    judgments, requests = whole.judgments(), len(whole.requests())
    assert requests == 25 * 2

    assert whole.run() == 0
    assert whole.jobs() == []

    # Deleted alone, they are written anew from their journals, and that is no job.
    gone = ["m01", "m10", "m11", "m25"]
    for model in gone:
        whole.judgment_file(model).unlink()
    assert whole.run() == 0, whole.text()
    assert whole.jobs() == []
    assert whole.judgments() == judgments

    # With their journals, and one answer that is another: one job of five.
    for model in gone:
        whole.judgment_file(model).unlink()
        (whole.root / "games" / f"{model}.jsonl").unlink()
    whole.write_answer("m15", "m15 says: ", "m15 says otherwise: ")
    five = ["m01", "m10", "m11", "m15", "m25"]
    assert whole.run("-n") == 0
    assert f"5 models, 10 games: {', '.join(five)}" in whole.text()
    assert whole.run() == 0, whole.text()
    (job,) = lives(whole.jobs())
    assert (job.state, job.minutes) == ("COMPLETED", 25)
    assert len(whole.requests()) == requests + 10
    now = whole.judgments()
    assert "m15 says otherwise" in json.dumps(now.pop("m15"))
    judgments.pop("m15")
    assert now == judgments

    # Smaller batches: told without submitting.
    whole.configure({"judge": {"max_tokens": 1000}})
    assert whole.run("-n", "--config", "batch_size=5") == 0
    assert len(re.findall(r"^batch \S+: 5 models", whole.text(), re.MULTILINE)) == 5
    assert re.search(r"^gen_judgment +5$", whole.text(), re.MULTILINE)
    assert whole.run("plan") == 0, whole.text()
    assert whole.jobs() == []
    assert "refuse" not in whole.text()
    asked = "  asks for cpus_per_task=8, gpu=2, mem_mb=64000, nodes=1, runtime=%d\n"
    lines = [line for line in whole.text().splitlines(True) if "asks for" in line]
    assert sorted(lines) == sorted([asked % 30, asked % 30, asked % 25])
    assert all(name in whole.text() for name in whole.names)

    # Other settings: everything anew.
    assert whole.run() == 0, whole.text()
    jobs = sorted((life.minutes, life.state) for life in lives(whole.jobs()))
    assert jobs == [(25, "COMPLETED"), (30, "COMPLETED"), (30, "COMPLETED")]
    assert len(whole.requests()) == requests + 10 + 50


def test_a_model_that_cannot_finish_costs_itself_alone(campaign):
    """Its siblings get their judgments in this run; the next run plans this one alone."""
    struck = campaign(models=5, questions=2, config={"retries": 1})
    struck.write_answer("m03", "m03 says", "<<judge:500*all>> m03 says")
    assert struck.run() == 1
    assert len(struck.jobs()) == 2  # a retry, which asks m03's games alone
    sizes = {model: len(lines) for model, lines in struck.judgments().items()}
    assert sizes == {"m01": 2, "m02": 2, "m03": 0, "m04": 2, "m05": 2}
    assert struck.judged() == 4 * 4
    assert "m03: 4 of 4 games are open" in struck.text()
    assert struck.run("-n") == 0
    assert re.search(r"^batch \S+: 1 model, 4 games: m03$", struck.text(), re.MULTILINE)
    assert re.search(r"^gen_judgment +1$", struck.text(), re.MULTILINE)


def together(campaign: Campaign) -> list[int]:
    """For each batch, how many of its models had a game open at the same time, at most."""
    most = []
    for batch in campaign.batches():
        spans = []
        for model in batch["models"]:
            games = campaign.games(model)
            ends = [datetime.fromisoformat(game["time"]).timestamp() for game in games]
            begins = [end - game["seconds"] for end, game in zip(ends, games, strict=True)]
            spans.append((min(begins), max(ends)))
        latest_start = max(start for start, _ in spans)
        most.append(sum(end >= latest_start >= start for start, end in spans))
    return most


def logs_are_found(campaign: Campaign) -> None:
    """Kept after success: a folder a batch, with the judge's log and the batch's."""
    for batch in campaign.batches():
        folder = campaign.root / "logs" / batch["batch"]
        assert "is ready" in (folder / "server.log").read_text()
        assert "done" in (folder / "gen_judgment.log").read_text()
        record = json.loads((folder / "batch.json").read_text())
        assert record["start"] <= record["ready"] <= record["end"]
        assert record["cause"] is None
    for job in campaign.jobs():
        assert list((campaign.folder / "results/slurm_logs").rglob(f"{job}.log"))


def is_on_one_screen(campaign: Campaign) -> None:
    """A line for whatever happens to a batch, and nothing that repeats but a line each minute."""
    minutes = re.compile(r"[\d,]+ of [\d,]+ games \(")
    lines = [line for line in campaign.text().splitlines() if not minutes.match(line)]
    text = "\n".join(lines)
    assert len(lines) <= 40, text
    for batch, record in zip(campaign.batches(), campaign.batch_logs(), strict=True):
        own = [line for line in lines if line.startswith(f"batch {batch['batch']}")]
        submitted = f"submitted with SLURM jobid {record['slurm_job_id']}"
        started = f"started on {record['node']} "
        events = (f"{len(batch['models'])} models", submitted, started, "is ready", "done after")
        assert [sum(event in line for line in own) for event in events] == [1] * len(own), own
    (top,) = re.findall(r"^Top 5 of 26.*\n.*\n((?:\d .*\n)*)", text, re.M)
    assert len(top.splitlines()) == 5
    assert str(campaign.root.relative_to(campaign.folder)) in lines[-2]
