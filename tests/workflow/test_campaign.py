"""Before, during and after, on whole runs: forecast, budget, faults by name, ledger."""

import json

import pytest

from tests.workflow.conftest import Campaign, by_command, read_lines, read_tsv


def look(campaign: Campaign) -> dict:
    return json.loads(campaign.tool("monitor.py", "--json").stdout)


def wrong(campaign: Campaign, words: str = "") -> dict[str, str | None]:
    """What is wrong, in these words, and where."""
    return {one["text"]: one["where"] for one in look(campaign)["wrong"] if words in one["text"]}


def journaled(campaign: Campaign) -> int:
    return sum(len(read_lines(path)) for path in campaign.root.glob("games/*.jsonl"))


def ledger(campaign: Campaign) -> list[dict]:
    return read_tsv(campaign.root / "ledger.tsv")


def test_a_budget_stops_in_order_and_the_next_run_goes_on(campaign: Campaign) -> None:
    slow = by_command("--slots 4 --seconds 0.5")
    campaign.configure(judge=slow | {"parallel": 4}, budget={"games": 8}, only=["mid-7b-chat"])
    campaign.run(ok=False)
    first = journaled(campaign)
    # Passed by the open games, and by what is finished until the next look, a quarter second on.
    assert 8 <= first <= 8 + 4 + 4
    ((text, where),) = wrong(campaign, "budget").items()
    assert f": 8 games (budget.games in the config); {24 - first} games of 1 model left" in text
    assert (campaign.dir / where).exists()
    seen = look(campaign)["models"][1]
    assert (seen["model"], seen["played"], seen["games"]) == ("mid-7b-chat", first, 24)
    campaign.configure(budget=None)
    campaign.run()
    assert journaled(campaign) == 24
    assert wrong(campaign) == {}
    batch, total = ledger(campaign)  # of the same name in both runs
    assert (batch["games"], batch["jobs"], total["games"]) == ("24", "2", "24")


def test_a_used_up_budget_launches_no_judge(campaign: Campaign) -> None:
    """Nor does the run go on through all its batches, each of them three times."""
    campaign.configure(judge=by_command(""), budget={"games": 0}, batch_size=1)
    said = campaign.run("--profile", "profiles/local", "--retries", "2", ok=False).stdout
    assert "Nothing more is submitted: the budget of this run is used up" in said
    assert journaled(campaign) == 0
    records = [json.loads(path.read_text()) for path in campaign.root.glob("logs/*/batch.json")]
    assert {record["launched"] for record in records} == {None}
    (text,) = wrong(campaign, "budget")
    assert text.endswith("; 94 games of 4 models left")


def test_a_judge_that_died_and_odd_replies_are_named(campaign: Campaign) -> None:
    """One answer kills the judge, all answers of a model leave it without a verdict."""
    campaign.add_to_answers("mid-7b-chat", " <<judge:kill>>", slice(-1, None))
    campaign.add_to_answers("grand-70b-chat", " <<judge:unparsed>>")
    faults = campaign.dir / "faults.jsonl"
    campaign.configure(judge=by_command(f"--seconds 0.3 --slots 8 --fault-log {faults}"))
    campaign.run()
    (where,) = wrong(campaign, "the judge was restarted").values()
    assert where.endswith("server.log")
    (odd,) = wrong(campaign, "no verdict")
    assert odd.startswith("grand-70b-chat: 100%") and "(24 unparsed)" in odd
    total = ledger(campaign)[-1]
    assert (total["games"], total["failures"]) == ("94", "24")
    assert total["restarts"] in ("1", "2")  # two games have this answer; one may kill both calls


def test_the_forecast_beside_what_was_used(judged: Campaign) -> None:
    """With a batch behind it, tokens are forecast within a tenth."""
    for model in ("grand-70b-chat", "tiny-1b-step8000"):
        judged.judgment(model).unlink()
        (judged.root / "games" / f"{model}.jsonl").unlink()
    text = judged.run("validate").stdout
    assert "48 games of 2 models" in text
    assert "measured on 46 games of 1 earlier batch of this judge" in text
    judged.run()
    table = judged.tool("forecast.py", "--compare").stdout.splitlines()[1:]
    ratios = {line.split()[0]: line.split()[-1] for line in table}
    assert ratios["jobs"] == ratios["games"] == "1.00"
    for what in ("prompt_tokens", "completion_tokens"):
        assert float(ratios[what]) == pytest.approx(1, abs=0.1)
