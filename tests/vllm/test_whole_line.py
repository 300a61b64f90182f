"""The whole line: Snakemake submits batches to a real Slurm, each starts a real vLLM and plays."""

from collections.abc import Iterator

import pytest

from tests.slurm import cluster
from tests.slurm.campaign import WHOLE_S, Campaign, lives
from tests.vllm.conftest import judge
from tests.workflow.conftest import read_tsv

QUESTIONS = 4


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """Three models in batches of two, with profiles/slurm but for what a job asks for."""
    if reason := cluster.absence():
        pytest.skip(reason)
    campaign = Campaign(
        tmp_path_factory.mktemp("slurm") / "campaign",
        models=3,
        questions=QUESTIONS,
        config={"batch_size": 2, "walltime": {"start_minutes": 30, "minutes_per_model": 2}},
        judge=judge("tiny") | {"max_tokens": 16, "no_verdict_limit": 0},
    )
    campaign.ask_for(gpu=1, mem_mb=5000, cpus_per_task=2)
    try:
        assert campaign.run("--jobs", "1", seconds=2 * WHOLE_S) == 0, campaign.text()
        yield campaign
    finally:
        campaign.clear()


def test_two_jobs_have_judged_all(played):
    jobs = lives(played.jobs())
    assert [(life.state, life.gpus) for life in jobs] == [("COMPLETED", 1)] * 2
    for model in played.names:
        games = played.games(model)
        assert {(game["uid"], game["game"]) for game in games} == {
            (f"q{number}", index) for number in range(QUESTIONS) for index in (0, 1)
        }
        assert all(game["usage"]["prompt"] > 100 for game in games), "by vLLM's tokenizer"
        assert len(played.judgments()[model]) == QUESTIONS
    table = (played.root / "leaderboard.txt").read_text()
    assert all(model in table for model in played.names)


def test_each_attempt_is_its_jobs_and_its_vllms(played):
    records = played.batch_logs()
    assert {record["slurm_job_id"] for record in records} == set(played.jobs())
    for record in records:
        assert record["kind"] is None and record["node"].startswith("n")
        assert record["start"] < record["launched"] < record["ready"] < record["end"]
        log = (played.folder / record["server_log"]).read_text()
        assert "vLLM" in log and log.count("launching ") == 1
    total = read_tsv(played.root / "ledger.tsv")[-1]
    assert (total["batch"], total["games"]) == ("total", str(6 * QUESTIONS))
    assert float(total["gpu_hours"]) > 0 and int(total["cached_tokens"]) > 0


def test_nothing_is_left_and_nothing_left_to_do(played):
    played.nothing_left()
    assert played.run() == 0
    assert played.jobs() == []
