"""Arena-Hard's own questions and answers, judged by the toy: 2,000 games through the workflow."""

from pathlib import Path

import pytest

from tests.workflow.conftest import Campaign, copy_project, made_once, read_lines

MODELS = ["gpt-3.5-turbo-0125", "gpt-4-0613"]


@pytest.fixture(scope="session")
def real(shared_folder: Path, project: Path, shared_data: Path) -> Campaign:
    """Both models judged; only to copy from and to read."""

    def judge(folder: Path) -> None:
        campaign = copy_project(project, folder)
        campaign.configure(
            bench="arena-hard-v0.1",
            data_dir=str(shared_data),
            judgments_dir="results/model_judgment",
            models=MODELS,
            baseline="gpt-4-0314",
        )
        campaign.run()

    return made_once(shared_folder / "real", judge)


def test_two_thousand_games_of_real_questions(real: Campaign, shared_data: Path) -> None:
    questions = read_lines(shared_data / "arena-hard-v0.1/question.jsonl")
    for model in MODELS:
        lines = read_lines(real.judgment(model))
        assert [line["uid"] for line in lines] == [line["uid"] for line in questions]
        for line in lines:
            assert set(line) == {"uid", "category", "judge", "model", "baseline", "games"}
            assert (line["model"], line["baseline"]) == (model, "gpt-4-0314")
            for game in line["games"]:  # what Arena-Hard-Auto's reader looks for
                assert game["score"] in {"A>>B", "A>B", "A=B", "B>A", "B>>A"}
                assert isinstance(game["judgment"]["answer"], str)
                assert [message["role"] for message in game["prompt"]] == ["system", "user"]
        assert len(real.journal(model)) == 1000
    table = (real.root / "leaderboard.csv").read_text()
    assert all(f",{model}," in table for model in [*MODELS, "gpt-4-0314"])
    assert real.planned() == {}


def test_the_older_shape_gives_the_same_verdicts(real, shared_data, tmp_path):
    """The same answers in the older shape: nothing is asked again, since no prompt changed."""
    campaign = real.copy_to(tmp_path / "campaign")
    before = {model: campaign.judgment(model).read_bytes() for model in MODELS}
    older = campaign.dir / "older/arena-hard-v0.1"
    older.mkdir(parents=True)
    (older / "question.jsonl").symlink_to(shared_data / "arena-hard-v0.1/question.jsonl")
    (older / "model_answer").symlink_to(shared_data / "arena-hard-v0.1-older-shape/model_answer")
    campaign.configure(data_dir="older")
    assert campaign.planned()["judgment"] == 2
    campaign.run()
    assert {model: len(campaign.journal(model)) for model in MODELS} == dict.fromkeys(MODELS, 1000)
    assert {model: campaign.judgment(model).read_bytes() for model in MODELS} == before
