"""A sample of the questions first, and the rest later: nothing is asked twice."""

import json
from collections import Counter
from pathlib import Path

from tests.synthetic import read_lines, write_lines
from tests.workflow.conftest import Campaign, copy_project

PILOT = ("--config", "questions=4")
MODELS = ["grand-70b-chat", "mid-7b-chat", "tiny-1b-step8000"]  # with all answers


def games(campaign: Campaign) -> Counter[tuple[str, str]]:
    """Calls by model and digest, from the journals."""
    paths = campaign.root.glob("games/*.jsonl")
    return Counter((path.stem, line["digest"]) for path in paths for line in read_lines(path))


def judged(campaign: Campaign) -> list[tuple[str, ...]]:
    """The questions judged of each model."""
    return [
        tuple(line["uid"] for line in read_lines(campaign.judgment(model)))
        for model in campaign.models()
    ]


def counts_of_monitor(campaign: Campaign, *arguments: str) -> set[tuple]:
    seen = json.loads(campaign.tool("monitor.py", "--json", *arguments).stdout)
    assert (seen["toy"], [row["mark"] for row in seen["baselines"]]) == (True, ["done"])
    keys = ("answers", "questions", "games", "played", "judgments")
    return {tuple(row[key] for key in keys) for row in seen["models"]}


def test_a_pilot_then_the_whole_and_back(campaign: Campaign) -> None:
    campaign.configure(models=MODELS)
    text = campaign.run("validate", *PILOT).stdout
    assert "4 of 12 questions" in text and f"({len(MODELS) * 8} games)" in text
    assert "4 of 12 questions" in campaign.run("plan", *PILOT).stdout
    campaign.run(*PILOT)
    pilot, calls = judged(campaign), games(campaign)
    assert len(set(pilot)) == 1 and len(pilot[0]) == 4 and len(calls) == len(MODELS) * 8
    assert "4 of 12 questions" in (campaign.root / "leaderboard.txt").read_text()
    assert campaign.planned(*PILOT) == {}
    assert counts_of_monitor(campaign, *PILOT) == {(4, 4, 8, 8, "done")}
    assert counts_of_monitor(campaign) == {(12, 12, 24, 8, "partial")}
    shown = campaign.tool("monitor.py").stdout
    assert "give its --config to see it" in shown
    assert "games are open" not in shown, "those of the pilot are not"
    assert "give its --config to see it" not in campaign.tool("monitor.py", *PILOT).stdout

    campaign.run()
    calls = games(campaign)
    assert len(calls) == len(MODELS) * 24 and set(calls.values()) == {1}
    assert {len(uids) for uids in judged(campaign)} == {12}
    assert "a pilot" not in (campaign.root / "leaderboard.txt").read_text()
    assert counts_of_monitor(campaign) == {(12, 12, 24, 24, "done")}

    jobs = campaign.planned(*PILOT)
    assert jobs["replay"] == 1 and not [rule for rule in jobs if rule.startswith("gen_judgment")]
    campaign.run(*PILOT)
    assert (judged(campaign), games(campaign)) == (pilot, calls)
    assert counts_of_monitor(campaign, *PILOT) == {(4, 4, 8, 8, "done")}


def test_a_category_needs_no_answers_to_the_others(campaign: Campaign) -> None:
    """And what other files say of the others is no remark."""
    only = ("--config", "categories=hard_prompt")
    creative = {
        line["uid"]
        for line in read_lines(campaign.dir / "examples/data/arena-demo/question.jsonl")
        if line["category"] == "creative_writing"
    }
    for model in ("llama-demo-8b", "mid-7b-chat"):
        lines = read_lines(campaign.answers(model))
        write_lines(campaign.answers(model), [one for one in lines if one["uid"] not in creative])
    text = campaign.run("validate", *only).stdout
    assert "7/7" in text and "not in this bench" not in text and "dropped" not in text
    campaign.configure(models=MODELS)
    campaign.run(*only)
    assert {len(uids) for uids in judged(campaign)} == {7}
    refused = campaign.run("-n", "--config", "categories=hard", ok=False).stdout
    assert "creative_writing, hard_prompt" in refused


def test_answers_are_made_for_a_pilot_and_completed(project: Path, tmp_path: Path) -> None:
    campaign = copy_project(project, tmp_path / "campaign", answers=True)
    writers = {"toy-writer": None, "mid-7b-chat": None}
    campaign.configure(answers=campaign.settings["answers"] | {"models": writers})
    made = campaign.dir / "results/model_answer"
    made.mkdir(parents=True)
    write_lines(made / "mid-7b-chat.jsonl", read_lines(campaign.answers("mid-7b-chat"))[:3])
    file, folder = made / "toy-writer.jsonl", campaign.dir / "results/arena-demo/answers"
    before = (made / "mid-7b-chat.jsonl").read_bytes()

    def asked() -> Counter[str]:
        return Counter(line["digest"] for line in read_lines(folder / "games/toy-writer.jsonl"))

    campaign.run(*PILOT)
    pilot = file.read_bytes()
    assert len(asked()) == len(pilot.splitlines()) == 4
    assert campaign.planned(*PILOT) == {}

    assert " 8 answers" in campaign.run("-n").stdout
    campaign.run("--config", "questions=6")  # two more
    assert len(asked()) == len(read_lines(file)) == 6
    assert campaign.planned("--config", "questions=6") == {}
    campaign.run()
    whole, calls = file.read_bytes(), asked()
    assert len(calls) == len(whole.splitlines()) == 12 and set(calls.values()) == {1}
    assert set(pilot.splitlines()) < set(whole.splitlines())
    toy = [line for path, line in games(campaign) if path == "toy-writer"]
    assert len(toy) == 24
    assert campaign.planned() == {}

    assert "gen_answer_no_gpu" not in campaign.planned(*PILOT)
    campaign.run(*PILOT)
    assert (file.read_bytes(), asked()) == (whole, calls)
    assert (made / "mid-7b-chat.jsonl").read_bytes() == before  # of others: as it is


def test_answers_that_were_completed_but_not_published_are(project: Path, tmp_path: Path) -> None:
    campaign = copy_project(project, tmp_path / "campaign", answers=True)
    campaign.configure(only=["toy-writer"])
    file = campaign.dir / "results/model_answer/toy-writer.jsonl"
    campaign.run(*PILOT)
    pilot = file.read_bytes()
    campaign.run()
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(pilot)  # as a run leaves it that dies when the batch has ended
    jobs = campaign.planned()
    assert jobs["answer"] == jobs["replay"] == 1 and "gen_answer_no_gpu" not in jobs
    campaign.run()
    assert file.read_bytes() == whole
    assert campaign.planned() == {}
