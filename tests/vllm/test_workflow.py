"""The workflow on the real vLLM: a batch starts it, ten models play, the counts agree."""

import re
import sys
from datetime import datetime
from itertools import pairwise

import pytest
from arena.judge.health import figure

from tests.conftest import PROJECT
from tests.slurm.campaign import Campaign
from tests.vllm.conftest import SLOTS, judge
from tests.workflow.conftest import read_tsv

sys.path.insert(0, str(PROJECT / "benchmarks"))
from orders import looking, metrics, open_over_time, spans_of

QUESTIONS = 6
REPLY = 64
STATES = {"ok", "unparsed", "truncated", "too_long", "rejected"}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Campaign, list[tuple[float, str]]]:
    """Ten models judged by a tiny random Llama; the campaign, and times and texts of vLLM's figures
    meanwhile."""
    settings = judge("tiny") | {"max_tokens": REPLY, "no_verdict_limit": 0}
    folder = tmp_path_factory.mktemp("vllm") / "campaign"
    campaign = Campaign(folder, models=10, questions=QUESTIONS, judge=settings)
    with looking(campaign.root, 0.2) as looks:
        assert campaign.run(profile="profiles/default") == 0, campaign.text()
    return campaign, looks


def test_every_game_is_terminal_and_counted(played):
    campaign, _ = played
    for model, lines in campaign.judgments().items():
        assert len(lines) == QUESTIONS
        games = campaign.games(model)
        assert len(games) == 2 * QUESTIONS
        assert {game["state"] for game in games} <= STATES
        # Random weights rarely end by themselves: at the limit there is no verdict, so
        # `truncated`.
        cut = [game for game in games if game["finish_reason"] == "length"]
        assert len(cut) > QUESTIONS
        assert {game["state"] for game in cut} == {"truncated"}
        assert {game["usage"]["completion"] for game in cut} == {REPLY}


def test_one_server_for_all_is_started_and_ended_by_the_batch(played):
    campaign, _ = played
    (batch,) = campaign.batches()
    log = campaign.log(batch["batch"], "server.log")
    assert "vLLM" in log and log.count("launching demo-judge") == 1
    assert metrics(campaign.root) == "", "it still answers"


def test_never_idle(played):
    """As many games open as the server said it can take, with no gap until the last is asked."""
    campaign, _ = played
    log = next(campaign.root.glob("logs/*/server.log")).read_text()
    parallel = int(re.search(r"(\d+) requests open", log)[1])
    counts = open_over_time(spans_of(campaign.root.glob("games/*.jsonl")))
    assert parallel > SLOTS
    # journals round to milliseconds, in which one game may end and the next begin
    assert parallel - 3 <= max(number for _, number in counts) <= parallel + 3
    gaps = [then - now for (now, number), (then, _) in pairwise(counts) if not number]
    assert max(gaps, default=0.0) < 15.0  # of a busy machine; seconds at most on a free one


def test_the_ledgers_cached_tokens_are_vllms_own(played):
    """The ledger's row against the server's metrics; what was shared is found in the cache."""
    campaign, looks = played
    (moment, _), (_, text) = looks[-2:]
    counted = {name: figure(text, f"prefix_cache_{name}_total") for name in ("queries", "hits")}
    row = read_tsv(campaign.root / "ledger.tsv")[-1]
    assert (row["batch"], row["models"], row["games"]) == ("total", "10", str(20 * QUESTIONS))
    prompt, cached = int(row["prompt_tokens"]), int(row["cached_tokens"])
    assert int(row["completion_tokens"]) > 0
    # The last look began when the one before had ended; there may be games after it. Nobody else
    # asked anything.
    games = [game for model in campaign.names for game in campaign.games(model)]
    ends = (datetime.fromisoformat(game["time"]).timestamp() for game in games)
    before = [game["usage"] for game, end in zip(games, ends, strict=True) if end < moment]
    assert sum(one["prompt"] for one in before) <= counted["queries"] <= prompt + 100
    assert sum(one["cached"] for one in before) <= counted["hits"] <= cached + 100
    # Ten models share system prompt, question and baseline of each first game: on paper, as the
    # cache holds all of it, every prompt but the first of its kind begins with cached blocks.
    assert cached / prompt > 0.5


def test_a_second_run_starts_no_judge(played):
    campaign, _ = played
    campaign.judgment_file("m04").unlink()
    assert campaign.run(profile="profiles/default") == 0, campaign.text()
    assert len(campaign.judgments()["m04"]) == QUESTIONS
    logs = [path.read_text() for path in campaign.root.glob("logs/*/server.log")]
    assert sum("launching" in log for log in logs) == 1
