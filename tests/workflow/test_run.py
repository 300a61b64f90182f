"""What is run, and what is not run again: the embedded example as a user types it."""

import json
import subprocess
import sys

import pytest

from tests.workflow.conftest import Campaign, read_lines, write_lines

MODELS = ["grand-70b-chat", "mid-7b-chat", "tiny-1b-step1000", "tiny-1b-step8000"]
# Jobs of one model that is judged, and of one whose journal holds all of its games.
ONE = {"plan_batch": 1, "gen_judgment_no_gpu": 1, "judgment": 1, "show_result": 1}
REPLAYED = {"plan_batch": 1, "replay": 1, "judgment": 1, "show_result": 1}


def jobs(campaign: Campaign, *arguments: str) -> dict[str, int]:
    """Planned jobs that judge or make the leaderboard."""
    planned = campaign.planned(*arguments)
    return {name: count for name, count in planned.items() if name in ONE | REPLAYED}


def asked(campaign: Campaign, model: str) -> int:
    return len(campaign.journal(model))


def test_the_example_gets_a_judgment_a_model_and_a_leaderboard(judged: Campaign) -> None:
    assert judged.models() == MODELS
    questions = read_lines(judged.dir / "examples/data/arena-demo/question.jsonl")
    lines = read_lines(judged.judgment("mid-7b-chat"))
    assert [line["uid"] for line in lines] == [question["uid"] for question in questions]
    for line in lines:
        assert (line["judge"], line["baseline"]) == ("demo-judge", "llama-demo-8b")
        assert all("toy" in game["judgment"]["answer"] for game in line["games"])
        assert len(line["games"]) == 2
    table = (judged.root / "leaderboard.csv").read_text().splitlines()
    assert table[0].startswith("category,model,score,lower,upper,questions,games,")
    assert any("llama-demo-8b,50.0" in row for row in table)
    assert judged.planned() == {}


@pytest.mark.parametrize("state", ["ok", "unparsed"])
def test_reopened_games_are_asked_by_the_next_run(judged: Campaign, state: str) -> None:
    """All games of a model, whose journal is then empty, or the one that has no verdict."""
    model = "mid-7b-chat"
    before = judged.judgment(model).read_bytes()
    journal = judged.root / "games" / f"{model}.jsonl"
    if state == "unparsed":
        lines = read_lines(journal)
        lines[3] |= {"state": "unparsed", "label": None, "answer": "I cannot decide."}
        write_lines(journal, lines)
        judged.judgment(model).unlink()
        judged.run()
    judgments = judged.judgment(model).read_bytes()
    said = judged.tool("journal.py", "compact", str(judged.root), "--reopen", state).stdout
    reopened = 24 if state == "ok" else 1
    assert f"{model}.jsonl: {reopened} of 24 lines dropped, {reopened} games reopened" in said
    (aside,) = (judged.root / "reopened").glob(f"{model}.reopened-*.jsonl")
    assert aside.read_bytes() == judgments
    assert judged.judgment("grand-70b-chat").exists() == (state == "unparsed")
    judged.run()
    assert asked(judged, model) == 24
    assert scores(judged.judgment(model).read_text()) == scores(before.decode())
    assert judged.planned() == {}


def scores(judgments: str) -> list[tuple[str, ...]]:
    lines = [json.loads(line) for line in judgments.splitlines()]
    return [(line["uid"], *(game["score"] for game in line["games"])) for line in lines]


def test_an_answer_changed_and_put_back_is_followed_each_time(judged: Campaign) -> None:
    """Though its mark, and with it an input of rule judgment, has been there before."""
    path, judgment = judged.answers("mid-7b-chat"), judged.judgment("mid-7b-chat")
    old, before, games = path.read_bytes(), judgment.read_bytes(), asked(judged, "mid-7b-chat")
    judged.add_to_answers("mid-7b-chat", " One more.", slice(3, 4))
    new = path.read_bytes()
    assert jobs(judged) == ONE
    judged.run()
    changed = judgment.read_bytes()
    assert changed != before
    assert asked(judged, "mid-7b-chat") == games + 2
    for text, judgments in ((old, before), (new, changed)):
        path.write_bytes(text)
        judged.run()
        assert judgment.read_bytes() == judgments
    assert judged.planned() == {}


def test_another_temperature_judges_all_again_and_going_back_costs_nothing(judged):
    games = {model: asked(judged, model) for model in MODELS}
    before = {model: judged.judgment(model).read_bytes() for model in MODELS}
    judged.configure(judge={"temperature": 0.5})
    assert jobs(judged) == ONE | {"judgment": 4}
    judged.run()
    doubled = {model: asked(judged, model) for model in MODELS}
    assert doubled == {model: 2 * count for model, count in games.items()}
    judged.configure(judge={"temperature": 0.0})
    assert jobs(judged) == REPLAYED | {"judgment": 4}
    judged.run()
    assert {model: asked(judged, model) for model in MODELS} == doubled
    assert {model: judged.judgment(model).read_bytes() for model in MODELS} == before


def test_a_model_taken_from_the_list_costs_the_leaderboard_alone(judged: Campaign) -> None:
    judged.configure(models=MODELS[:3])
    assert jobs(judged) == {"show_result": 1}
    judged.run()
    assert MODELS[3] not in (judged.root / "leaderboard.csv").read_text()


def test_where_and_how_fast_never_judges_again(judged: Campaign) -> None:
    judged.configure(
        judge={"parallel": 3, "max_restarts": 1}, batch_size=2, walltime={"start_minutes": 5}
    )
    assert judged.planned() == {}


def test_only_judges_some_and_the_leaderboard_stays_whole(judged: Campaign) -> None:
    for model in MODELS[:2]:
        judged.judgment(model).unlink()
    assert jobs(judged, "--config", f"only=[{MODELS[0]}]") == REPLAYED
    judged.run("--config", f"only=[{MODELS[0]}]")
    table = (judged.root / "leaderboard.csv").read_text()
    assert MODELS[0] in table
    assert MODELS[1] not in table
    assert MODELS[3] in table


def test_the_monitor_and_the_table_know_that_answers_broke(judged: Campaign) -> None:
    """Without `validate`: the run has found it, and leaves it for the monitor."""
    model, table = MODELS[0], judged.root / "leaderboard.json"
    path, found = judged.answers(model), judged.root / "validation.json"
    old, before = path.read_bytes(), found.read_bytes()
    path.write_bytes(old[:-20])
    judged.run("-n")
    assert found.read_bytes() == before, "a dry run leaves nothing"
    for text, is_broken in ((old[:-20], True), (old, False)):
        path.write_bytes(text)
        judged.run()
        seen = json.loads(judged.tool("monitor.py", "--json").stdout)
        problems = [one["text"] for one in seen["wrong"] if model in one["text"]]
        assert [f"{path.name}:" in text for text in problems] == [True] * is_broken
        state = {one["model"]: one["at"] for one in seen["models"]}[model]
        assert state == ("left out" if is_broken else "done")
        assert seen["totals"]["played"] == seen["totals"]["games"]
        notes = json.loads(table.read_text())["notes"]
        assert any(model in note for note in notes) == is_broken


def test_a_dry_run_names_each_batch_and_writes_nothing(campaign: Campaign) -> None:
    text = campaign.run("-n", "--config", "batch_size=3").stdout
    assert f"3 models, 70 games: {', '.join(MODELS[:3])}" in text
    assert f"1 model, 24 games: {MODELS[3]}" in text
    assert not (campaign.dir / "results/model_judgment").exists()
    assert not list(campaign.root.glob("batches/*"))


@pytest.mark.parametrize("graph", ["--dag", "--rulegraph"])
def test_the_graph_is_a_graph_and_nothing_else(campaign: Campaign, graph: str) -> None:
    command = [sys.executable, "-m", "snakemake", graph]
    done = subprocess.run(command, cwd=campaign.dir, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("digraph snakemake_dag {")
    assert done.stdout.rstrip().endswith("}")
    assert "gen_judgment" in done.stdout


def test_only_nothing_with_nothing_judged_is_said_and_starts_no_job(campaign: Campaign) -> None:
    for dry in ([], ["-n"]):
        text = campaign.run(*dry, "--config", "only=[]", ok=False).stdout
        assert "only: []" in text
        assert "Traceback" not in text and "RuleException" not in text
