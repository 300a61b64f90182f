"""Judgments that others made: never overwritten, never paid for twice."""

import json
from pathlib import Path

import pytest

from tests.workflow.conftest import Campaign, read_lines, write_lines

MODEL = "mid-7b-chat"


@pytest.fixture
def foreign(judged: Campaign) -> Campaign:
    """The judged example as if another tool had judged it: no journal of ours for one model."""
    (judged.root / "games" / f"{MODEL}.jsonl").unlink()
    path = judged.judgment(MODEL)
    kept = ("score", "judgment", "prompt")
    lines = read_lines(path)
    for line in lines:
        line["games"] = [{key: game[key] for key in kept} for game in line["games"]]
    write_lines(path, lines)
    return judged


def refuse_then_adopt(campaign: Campaign) -> str:
    before = campaign.judgment(MODEL).read_bytes()
    for target in ([], ["validate"]):
        text = campaign.run(*target, ok=False).stdout
        assert MODEL in text
        assert "snakemake adopt" in text
    dry = campaign.run("-n", "adopt").stdout
    assert campaign.judgment(MODEL).read_bytes() == before
    text = campaign.run("adopt").stdout
    taken = [line for line in text.splitlines() if line.startswith(f"{MODEL}: ")]
    assert len(taken) == 1
    assert taken[0] in dry
    assert not campaign.judgment(MODEL).exists()
    kept = [path for path in Path(campaign.dir).rglob("*.jsonl") if path.read_bytes() == before]
    assert len(kept) == 1, "the file is moved aside as it was"
    return text


def asked_after_adoption(campaign: Campaign) -> int:
    """Games that the judge was asked for, by the toy's own time stamps in the journal."""
    before = len(campaign.journal(MODEL))
    campaign.run()
    assert len(read_lines(campaign.judgment(MODEL))) == 12
    assert campaign.planned() == {}
    return len(campaign.journal(MODEL)) - before


def test_a_whole_file_is_taken_in_and_nothing_is_asked(foreign: Campaign) -> None:
    refuse_then_adopt(foreign)
    assert asked_after_adoption(foreign) == 0


def test_a_file_written_over_ours_is_refused_although_there_is_a_journal(judged: Campaign) -> None:
    path = judged.judgment(MODEL)
    lines = read_lines(path)
    for line in lines:
        line["games"] = [
            {key: game[key] for key in ("score", "judgment")} for game in line["games"]
        ]
    write_lines(path, lines)
    assert "snakemake adopt" in judged.run("-n", ok=False).stdout


def test_a_cut_file_leaves_the_rest_open(foreign: Campaign) -> None:
    path = foreign.judgment(MODEL)
    write_lines(path, read_lines(path)[:7])
    refuse_then_adopt(foreign)
    assert asked_after_adoption(foreign) == 2 * 5


def test_null_games_stay_open(foreign: Campaign) -> None:
    path = foreign.judgment(MODEL)
    lines = read_lines(path)
    lines[0]["games"][1] = None
    lines[4]["games"] = [None, None]
    write_lines(path, lines)
    refuse_then_adopt(foreign)
    assert asked_after_adoption(foreign) == 3


def test_judgments_against_another_baseline_are_left_out(foreign: Campaign) -> None:
    path = foreign.judgment(MODEL)
    write_lines(path, [line | {"baseline": "grand-70b-chat"} for line in read_lines(path)])
    text = refuse_then_adopt(foreign)
    assert "baseline" in text
    assert asked_after_adoption(foreign) == 24


def test_a_torn_line_stays_open(foreign: Campaign) -> None:
    path = foreign.judgment(MODEL)
    path.write_bytes(path.read_bytes()[:-100])
    refuse_then_adopt(foreign)
    assert asked_after_adoption(foreign) == 2


def test_without_anything_foreign_adopt_says_so(judged: Campaign) -> None:
    before = json.dumps(judged.journal(MODEL))
    judged.run("adopt")
    assert json.dumps(judged.journal(MODEL)) == before
    assert judged.planned() == {}
