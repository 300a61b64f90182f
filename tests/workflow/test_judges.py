"""The kinds of judge server, and what the server sees of a batch."""

import json
from pathlib import Path

import pytest

from tests.workflow.conftest import KEY, Campaign, all_text, by_command, read_lines, write_lines


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


def test_any_program_that_speaks_the_api_can_be_the_judge(campaign: Campaign) -> None:
    log = campaign.dir / "requests.jsonl"
    campaign.configure(judge=by_command(f"--request-log {log}"))
    campaign.run()
    assert len(read_lines(log)) == 94
    assert list(campaign.root.glob("server/*")) == []


def test_an_unknown_placeholder_in_the_command_is_refused(campaign: Campaign) -> None:
    campaign.configure(judge={"server": "vllm", "command": "serve {prot}"})
    text = campaign.run("-n", ok=False).stdout
    assert "unknown placeholder {prot}" in text
    assert "did you mean 'port'?" in text


def test_ten_models_have_requests_open_at_the_same_time(campaign: Campaign) -> None:
    answers = read_lines(campaign.answers("mid-7b-chat"))
    models = [f"copy-{number}" for number in range(10)]
    for number, model in enumerate(models):
        for line in answers:
            line["messages"][-1]["content"]["answer"] += f" ({number})"
        write_lines(campaign.answers(model), answers)
    log = campaign.dir / "requests.jsonl"
    judge = by_command(f"--seconds 0.5 --request-log {log}") | {"parallel": 20}
    campaign.configure(models=models, judge=judge)
    campaign.run()
    lines = read_lines(log)
    assert len(lines) == 10 * 24
    at_most = max(open_at_once(lines))
    assert 10 <= at_most <= 20


def open_at_once(lines: list[dict]) -> list[int]:
    """Of how many models requests were open whenever one came in; `pair` tells the model."""
    counts = []
    for line in lines:
        moment = line["in"]
        counts.append(sum(1 for other in lines if other["in"] <= moment < other["out"]))
    return counts


def test_the_toy_says_so_in_every_output(judged_once: Campaign) -> None:
    for name in ("leaderboard.txt", "leaderboard.json", "leaderboard.md"):
        assert "toy" in (judged_once.root / name).read_text().lower(), name
    assert all("toy" in game["judgment"]["answer"] for game in first_games(judged_once))
    assert json.loads((judged_once.root / "leaderboard.json").read_text())


def first_games(campaign: Campaign) -> list[dict]:
    return [line["games"][0] for line in read_lines(campaign.judgment("mid-7b-chat"))]
