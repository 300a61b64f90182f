"""The kinds of judge server, and what the server sees of a batch."""

import shutil
from pathlib import Path

import pytest

from tests.workflow.conftest import KEY, Campaign, all_text, by_command, read_lines


def test_an_external_judge_is_asked_with_its_key_and_the_key_stays_nowhere(
    campaign: Campaign, endpoint: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, log = endpoint
    monkeypatch.setenv("JUDGE_KEY", KEY)
    there = {"api_base": url, "api_key_env": "JUDGE_KEY", "model": "served"}
    campaign.configure(judge={"name": "ours", "server": "external", "endpoints": [there]})
    output = campaign.run("--config", "batch_size=2").stdout
    assert len(read_lines(log)) == 94
    assert KEY not in output + all_text(campaign)


def test_ten_models_have_requests_open_at_the_same_time(campaign: Campaign) -> None:
    models = [f"copy-{number}" for number in range(10)]
    for model in models:
        shutil.copy(campaign.answers("mid-7b-chat"), campaign.answers(model))
        campaign.add_to_answers(model, f" ({model})")
    log = campaign.dir / "requests.jsonl"
    judge = by_command(f"--seconds 0.5 --request-log {log}") | {"parallel": 20}
    campaign.configure(models=models, judge=judge)
    campaign.run()
    lines = read_lines(log)
    assert len(lines) == 10 * 24
    assert 10 <= max(line["open"] for line in lines) <= 20
