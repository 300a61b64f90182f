"""Judgments that others made: what is taken, what stays open, and what happens to the file."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from arena.data.games import plan_games
from arena.data.layout import Layout
from arena.data.questions import Pilot, Question
from arena.journals.adopt import adopt, adopt_all, move_aside, report_adoption
from arena.journals.journal import NO_TOKENS, Journal, read_records
from arena.journals.lock import Lock
from arena.setup.settings import Settings
from arena.support.errors import JournalError
from arena.support.jsonl import dump_line
from test_games import PLAIN, answers, settings

from tests.synthetic import settings_of

UIDS = ("q1", "q2", "q3")
QUESTIONS = [Question(uid, "hard", f"What is {uid}?", n) for n, uid in enumerate(UIDS, 1)]
OURS = answers(**{uid: f"mine {uid}" for uid in UIDS})
THEIRS = {"base": answers(**{uid: f"base {uid}" for uid in UIDS})}
GAMES = plan_games(settings(), QUESTIONS, OURS, THEIRS)
CUT = {"judgment": "and so", "finish_reason": "length"}
CATEGORIES = dict.fromkeys(UIDS, "hard")


def prompt(uid: str, index: int) -> list[dict]:
    found = next(game.messages for game in GAMES if game.key == (uid, index))
    return [dict(message) for message in found]


def first_shape(uid: str, **changes) -> dict:
    """A line of Arena-Hard-Auto, v2.0."""
    games = [
        {"score": label, "judgment": {"answer": f"I say [[{label}]]"}, "prompt": prompt(uid, index)}
        for index, label in enumerate(("B>A", "A>B"))
    ]
    line = {"uid": uid, "category": "hard", "judge": "judge", "model": "m", "baseline": "base"}
    return line | {"games": games} | changes


def older_shape(uid: str) -> dict:
    games = [
        {"user_prompt": prompt[1]["content"], "judgment": judgment["answer"], "score": score}
        for score, judgment, prompt in (game.values() for game in first_shape(uid)["games"])
    ]
    return {"question_id": uid, "model": "m", "judge": "judge", "games": games}


def scripts_shape(uid: str, **keys) -> dict:
    return keys | {"question_id": uid, "games": [{"judgment": "[[B>A]]"}, {"judgment": "[[A>B]]"}]}


def with_prompts(change) -> dict:
    line = first_shape("q1")
    for game in line["games"]:
        game["prompt"] = change(game["prompt"])
    return line


@pytest.fixture
def take(tmp_path):
    """Write lines to a file, adopt it; returns what became of it and the journal's records."""

    def write_and_adopt(*lines):
        path = tmp_path / "m.jsonl"
        texts = (f"{line}\n" if isinstance(line, str) else dump_line(line) for line in lines)
        path.write_text("".join(texts))
        journal_path = tmp_path / "games" / "m.jsonl"
        with Journal(journal_path) as journal:
            known = set(journal.records)
            result = adopt(path, "m", settings(), GAMES, CATEGORIES, known, journal.append)
        return result, {(r.uid, r.game): r for r in read_records(journal_path)}

    return write_and_adopt


@pytest.mark.parametrize("shape", [first_shape, older_shape, scripts_shape])
def test_every_shape_is_adopted_under_todays_digests(take, shape):
    result, records = take(*(shape(uid) for uid in UIDS))
    assert result.taken == {"ok": 6}
    assert result.open == 0
    taken = [(r.digest, (r.uid, r.game)) for r in records.values()]
    assert taken == [(game.digest, game.key) for game in GAMES]
    assert [records["q1", 0].label, records["q1", 1].label] == ["B>A", "A>B"]


@pytest.mark.parametrize(
    ("line", "taken", "why"),
    [
        *(
            (first_shape("q1", games=games), taken, why)
            for games, taken, why in (
                ([{"judgment": "[[A>B]]"}], 1, {}),
                ([{"judgement": "[[A>B]]"}, None], 1, {"null": 1}),
                ([{"score": "so it is [[A>B]]"}, {"score": None}], 1, {"unreadable": 1}),
                ([{"judgment": "$ERROR$"}, {"judgment": {"answer": "\n"}}], 0, {"unreadable": 2}),
                ([{"judgment": {"answer": None}}, {"judgment": 7}], 0, {"unreadable": 2}),
                (["text", []], 0, {"null": 2}),
                ([{"judgment": "[[A>B]]", "toy": True}], 0, {"judge": 1}),
            )
        ),
        (first_shape("q1") | {"uid": "q9"}, 0, {"question": 2}),
        (with_prompts(lambda said: [{"content": "Judge harshly."}, said[1]]), 0, {"prompt": 2}),
        (with_prompts(lambda said: [part["content"] for part in said]), 2, {}),
        (first_shape("q1", model="old"), 2, {}),  # renamed: known by its prompts alone
        (scripts_shape("q1", model="old"), 0, {"model": 2}),
    ],
)
def test_which_games_are_adopted_and_why_others_are_not(take, line, taken, why):
    result, records = take(line)
    assert (result.taken.total(), dict(result.left)) == (taken, why)
    assert (result.open, len(records)) == (6 - taken, taken)


@pytest.mark.parametrize(
    ("game", "ended", "answer", "reason"),
    [
        ({"judgment": "[[A>B]]", "score": "B>A"}, ("ok", "A>B"), "[[A>B]]", ""),
        ({"score": "a>b"}, ("ok", "A>B"), "[[A>B]]", "; the file has only its verdict"),
        ({"score": "A>>A"}, ("unparsed", None), "A>>A", "; no verdict in the reply"),
        ({"judgment": "hm"}, ("unparsed", None), "hm", "; no verdict in the reply"),
        (CUT, ("truncated", None), "and so", "; no verdict in the reply"),
        # Our own file without its journal keeps its states.
        ({"judgment": {"answer": ""}, "state": "too_long"}, ("too_long", None), None, ""),
    ],
)
def test_an_adopted_game_costs_no_tokens(take, game, ended, answer, reason):
    record = take(first_shape("q1", games=[game]))[1]["q1", 0]
    assert ((record.state, record.label), record.answer) == (ended, answer)
    assert record.reason == f"adopted from m.jsonl{reason}"
    assert (record.attempts, record.seconds, record.usage) == (0, 0.0, NO_TOKENS)


def test_conflict_markers_and_doubled_lines(take):
    """Nor is anything taken twice when the file is adopted again."""
    line = first_shape("q1")
    result, records = take("<<<<<<< HEAD", line, "=======", line, ">>>>>>> theirs")
    assert [line.number for line in result.bad_lines] == [1, 3, 5]
    assert (result.taken.total(), dict(result.left), len(records)) == (2, {"known": 2}, 2)
    result, records = take(line, first_shape("q2"))
    assert (result.taken.total(), dict(result.left), len(records)) == (2, {"known": 2}, 4)
    assert result.open == 2


def test_the_summary_says_it_all(take):
    result, _ = take(
        scripts_shape("q1"), first_shape("q2", baseline="x"), "torn", first_shape("q3", judge="y")
    )
    head, baseline, judge, unsure, torn = result.lines()
    assert head.startswith("m: 2 of 6 games imported (ok 2), 4 ")
    assert "2 skipped" in baseline and "another baseline" in baseline
    assert "2 skipped" in judge and "another judge" in judge
    assert unsure.startswith("  2 imported without a check")
    assert f"{result.path}:3: " in torn and "not JSON" in torn


def test_moving_aside_never_overwrites(tmp_path):
    when, file = datetime(2026, 3, 4, 5, 6, 7), tmp_path / "m.jsonl"
    file.write_text("first")
    moved = move_aside(file, tmp_path / "adopted", when)
    assert moved.name == "m.adopted-20260304-050607.jsonl"
    file.write_text("second")
    with pytest.raises(JournalError, match="already exists"):
        move_aside(file, tmp_path / "adopted", when)
    assert (moved.read_text(), file.read_text()) == ("first", "second")


@pytest.fixture
def campaign(tmp_path) -> Settings:
    """Of the models m and n, whose answers are the same."""
    prompts = {key: PLAIN[key] for key in ("system_prompt", "prompt_template")}
    folders = {"root": tmp_path / "results", "judgments_dir": tmp_path / "judgments"}
    judge = {"temperature": 0.0, "max_tokens": 100}
    campaign = settings_of(tmp_path, judge, models=("m", "n"), prompts=prompts, **folders)
    campaign.answers_dir.mkdir()
    campaign.judgments_dir.mkdir()
    lines = [{"uid": q.uid, "category": q.category, "prompt": q.prompt} for q in QUESTIONS]
    campaign.questions.write_text("".join(map(dump_line, lines)))
    for model, texts in (("m", OURS), ("n", OURS), ("base", THEIRS["base"])):
        said = {uid: [{"content": {"answer": answer.text}}] for uid, answer in texts.items()}
        lines = [{"uid": uid, "messages": messages} for uid, messages in said.items()]
        Path(campaign.answer(model)).write_text("".join(map(dump_line, lines)))
    return campaign


def judged(campaign: Settings, *uids: str, model: str = "m") -> Path:
    """A judgment file of others."""
    path = Path(campaign.judgment(model))
    path.write_text("".join(dump_line(first_shape(uid, model=model)) for uid in uids))
    return path


def test_a_campaign_is_adopted_once(campaign):
    judgment = judged(campaign, "q2")
    before = judgment.read_text()
    (result,) = adopt_all(campaign)
    assert (result.taken.total(), result.open) == (2, 4)
    assert not judgment.exists()
    assert result.moved_to.parent == campaign.root / "adopted"
    assert result.moved_to.read_text() == before
    assert list(adopt_all(campaign)) == []


def test_a_pilot_adopts_whole_files(campaign):
    """What it leaves out would be asked once more later."""
    judged(campaign, "q1", "q2", "q3")
    other = {"baselines": {"hard": "base", "other": "n"}, "categories": frozenset({"other"})}
    pilot = replace(campaign, pilot=Pilot(None, ["other"]), **other)
    (result,) = adopt_all(pilot)
    assert (result.taken.total(), result.open) == (6, 0)


def test_a_dry_run_knows_the_journal_and_leaves_it_alone(campaign):
    judgment = judged(campaign, "q2")
    (dry,) = adopt_all(campaign, dry_run=True)
    assert (dry.taken.total(), dry.open, dry.moved_to) == (2, 4, None)
    assert judgment.exists() and not campaign.root.exists()
    list(adopt_all(campaign))
    torn = campaign.root / "games" / "m.jsonl"
    torn.write_text(torn.read_text() + '{"digest"')
    before = torn.read_bytes()
    judged(campaign, "q2", "q3")
    (dry,) = adopt_all(campaign, dry_run=True)
    assert (dry.taken.total(), dict(dry.left), dry.open) == (2, {"known": 2}, 2)
    assert torn.read_bytes() == before


def test_a_file_without_answers_stays(campaign):
    Path(campaign.answer("m")).unlink()
    judgment = judged(campaign, "q2")
    said = []
    assert not report_adoption(campaign, said.append)
    assert "cannot be adopted" in said[0]
    assert said[1].startswith("0 files: 0 games imported")
    Layout(campaign.root).journal("n").mkdir(parents=True)  # no file: neither can be read
    judged(campaign, "q2", model="n")
    assert not report_adoption(campaign, said.append, dry_run=True)
    assert said[4].endswith("games/n.jsonl: cannot be read: Is a directory")
    assert judgment.exists()


def test_a_locked_journal_leaves_its_file_in_place(campaign):
    files = [judged(campaign, "q2", model=model) for model in campaign.models]
    said = []
    with Lock(campaign.root / "games" / "m.jsonl") as lock:
        lock.acquire()
        assert not report_adoption(campaign, said.append)
    assert "is using this journal" in said[0]
    assert said[1].startswith("n: 2 of 6 games imported")
    assert said[2].startswith("1 file: 2 games imported")
    assert [path.exists() for path in files] == [True, False]
