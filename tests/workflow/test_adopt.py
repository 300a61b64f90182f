"""Judgments that others made: never overwritten, never paid for twice."""

import json
from pathlib import Path

from tests.workflow.conftest import Campaign, read_lines, write_lines

MODELS = "tiny-1b-step1000", "mid-7b-chat", "grand-70b-chat", "tiny-1b-step8000"
WHOLE, CUT, NULL, TORN = MODELS
OTHER = "judged-against-another"


def leave_as_others_do(campaign: Campaign) -> None:
    """As if another tool had judged, and died in different ways: no journals, no keys of ours."""
    for model in MODELS:
        (campaign.root / "games" / f"{model}.jsonl").unlink()
        write_lines(
            campaign.judgment(model),
            [others(line) for line in read_lines(campaign.judgment(model))],
        )
    path = campaign.judgment(CUT)
    write_lines(path, read_lines(path)[:7])
    path = campaign.judgment(NULL)
    lines = read_lines(path)
    lines[0]["games"][1] = None
    lines[4]["games"] = [None, None]
    write_lines(path, lines)
    path = campaign.judgment(TORN)
    path.write_bytes(path.read_bytes()[:-100])
    answers = read_lines(campaign.answers(CUT))
    write_lines(campaign.answers(OTHER), [line | {"model": OTHER} for line in answers])
    lines = [
        line | {"model": OTHER, "baseline": NULL} for line in read_lines(campaign.judgment(WHOLE))
    ]
    write_lines(campaign.judgment(OTHER), lines)


def others(line: dict) -> dict:
    kept = ("score", "judgment", "prompt")
    return line | {"games": [{key: game[key] for key in kept} for game in line["games"]]}


def test_others_judgments_are_refused_until_adopted_then_only_open_games_are_asked(judged):
    leave_as_others_do(judged)
    before = {model: judged.judgment(model).read_bytes() for model in (*MODELS, OTHER)}
    for target in ([], ["validate"]):
        text = judged.run(*target, ok=False).stdout
        assert "5 judgment files in results/model_judgment/demo-judge" in text
        assert "snakemake adopt" in text
    states = json.loads((judged.root / "validation.json").read_text())["models"]
    assert {row["model"]: row["state"] for row in states}.items() >= dict.fromkeys(
        before, "foreign_judgments"
    ).items()
    assert {model: judged.judgment(model).read_bytes() for model in before} == before

    text = judged.run("adopt").stdout
    assert "baseline" in text
    assert judged.models() == []
    kept = [path.read_bytes() for path in Path(judged.dir).rglob("*.jsonl")]
    assert all(kept.count(content) == 1 for content in before.values()), "moved aside as they were"

    adopted = {model: len(judged.journal(model)) for model in MODELS}
    judged.run()
    asked = {model: len(judged.journal(model)) - adopted[model] for model in MODELS}
    assert asked == {WHOLE: 0, CUT: 2 * 5, NULL: 3, TORN: 2}
    assert len(judged.journal(OTHER)) == 24, "judgments against another baseline are left out"
    assert {len(read_lines(judged.judgment(model))) for model in (CUT, NULL, TORN, OTHER)} == {12}
    before = judged.journal(CUT)
    judged.run("adopt")
    assert judged.journal(CUT) == before, "nothing is left to adopt"
    assert judged.planned() == {}


def test_judgments_of_a_campaign_that_is_still_there_are_not_adopted(judged: Campaign) -> None:
    """Nor do `-n` and `validate` say that they would be: their owner is named."""
    owner = str(judged.root)
    mark = judged.judgment("mid-7b-chat").parent / ".campaign"
    mark.write_text(owner + "\n", encoding="utf-8")  # a copy's still names the original
    judged.configure(results_dir="other")
    for arguments in (["-n"], ["validate"], ["adopt"], ["-n", "adopt"]):
        text = judged.run(*arguments, ok=False).stdout
        assert f"belong to the campaign whose results are in {owner}" in " ".join(text.split())
    assert len(judged.models()) == 4
