"""Arena-Hard's own questions and answers, judged by the toy: 2,000 games through the workflow."""

from pathlib import Path

from tests.workflow.conftest import Campaign, read_lines

MODELS = ["gpt-3.5-turbo-0125", "gpt-4-0613"]


def test_two_thousand_games_of_real_questions(campaign: Campaign, shared_data: Path) -> None:
    campaign.configure(
        bench="arena-hard-v0.1",
        data_dir=str(shared_data),
        judgments_dir="results/model_judgment",
        models=MODELS,
        baseline="gpt-4-0314",
    )
    campaign.run()
    questions = read_lines(shared_data / "arena-hard-v0.1/question.jsonl")
    for model in MODELS:
        lines = read_lines(campaign.judgment(model))
        assert [line["uid"] for line in lines] == [line["uid"] for line in questions]
        for line in lines:
            assert set(line) == {"uid", "category", "judge", "model", "baseline", "games"}
            assert (line["model"], line["baseline"]) == (model, "gpt-4-0314")
            for game in line["games"]:  # what Arena-Hard-Auto's reader looks for
                assert game["score"] in {"A>>B", "A>B", "A=B", "B>A", "B>>A"}
                assert isinstance(game["judgment"]["answer"], str)
                assert [message["role"] for message in game["prompt"]] == ["system", "user"]
        assert len(campaign.journal(model)) == 1000
    table = (campaign.root / "leaderboard.csv").read_text()
    assert all(f",{model}," in table for model in [*MODELS, "gpt-4-0314"])
    assert campaign.planned() == {}
