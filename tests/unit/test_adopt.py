"""Judgments that others made: what is taken, what stays open, and what happens to the file."""

import dataclasses
import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from arena.data.games import plan_games
from arena.data.judgments import is_foreign
from arena.data.questions import Question
from arena.journals.adopt import adopt, adopt_all, move_aside, report_adoption
from arena.journals.journal import Journal, read_records
from arena.journals.lock import Lock
from arena.journals.replay import open_games
from arena.support.errors import JournalError
from test_games import PLAIN, answers, settings

UIDS = ("q1", "q2", "q3")
QUESTIONS = [Question(uid, "hard", f"What is {uid}?", n) for n, uid in enumerate(UIDS, 1)]
OURS = answers(**{uid: f"mine {uid}" for uid in UIDS})
THEIRS = {"base": answers(**{uid: f"base {uid}" for uid in UIDS})}
GAMES = plan_games(settings(), QUESTIONS, OURS, THEIRS)
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


def older_shape(uid: str, **changes) -> dict:
    games = [
        {
            "user_prompt": prompt(uid, index)[1]["content"],
            "judgment": f"I say [[{label}]]",
            "score": label,
        }
        for index, label in enumerate(("B>A", "A>B"))
    ]
    return {"question_id": uid, "model": "m", "judge": "judge", "games": games} | changes


def scripts_shape(uid: str) -> dict:
    return {"question_id": uid, "games": [{"judgment": "[[B>A]]"}, {"judgment": "[[A>B]]"}]}


@pytest.fixture
def take(tmp_path):
    """Write lines to a file, adopt it; returns what became of it and the journal's records."""

    def write_and_adopt(*lines):
        path = tmp_path / "m.jsonl"
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("".join(f"{text}\n" for text in texts))
        journal_path = tmp_path / "games" / "m.jsonl"
        with Journal(journal_path) as journal:
            known = set(journal.records)
            result = adopt(path, "m", settings(), GAMES, CATEGORIES, known, journal.append)
        return result, {(r.uid, r.game): r for r in read_records(journal_path)}

    return write_and_adopt


@pytest.mark.parametrize("shape", [first_shape, older_shape, scripts_shape])
def test_every_shape_is_taken_under_todays_digests(take, shape):
    result, records = take(*(shape(uid) for uid in UIDS))
    assert result.taken == {"ok": 6}
    assert result.open == 0
    assert [(g.digest, g.key) for g in GAMES] == [
        (r.digest, (r.uid, r.game)) for r in records.values()
    ]
    assert [records["q1", 0].label, records["q1", 1].label] == ["B>A", "A>B"]


def test_a_taken_game_was_played_and_not_spent(take, tmp_path):
    _, records = take(first_shape("q1"))
    record = records["q1", 0]
    assert (record.attempts, record.seconds) == (0, 0.0)
    assert record.usage == {"prompt": 0, "cached": 0, "completion": 0}
    assert record.reason == "adopted from m.jsonl"
    assert record.answer == "I say [[B>A]]"


def test_a_file_cut_short_leaves_the_rest_open(take):
    result, _ = take(first_shape("q1"), json.dumps(first_shape("q2"))[:-30])
    assert (result.taken.total(), result.open) == (2, 4)
    assert [line.number for line in result.bad_lines] == [2]


@pytest.mark.parametrize(
    ("games", "taken", "why"),
    [
        ([None, None], 0, {"null": 2}),
        ([{"judgment": "[[A>B]]"}], 1, {}),
        ([{"judgement": "[[A>B]]"}, None], 1, {"null": 1}),
        ([{"score": "so it is [[A>B]]"}, {"score": None}], 1, {"unreadable": 1}),
        ([{"judgment": "$ERROR$"}, {"judgment": {"answer": "\n\n"}}], 0, {"unreadable": 2}),
        ([{"judgment": {"answer": None}}, {"judgment": 7}], 0, {"unreadable": 2}),
        ([{"score": "A>B"}, {"score": "A>>A"}], 2, {}),
        (["text", []], 0, {"null": 2}),
    ],
)
def test_flawed_games(take, games, taken, why):
    result, _ = take(first_shape("q1", games=games))
    assert (result.taken.total(), dict(result.left)) == (taken, why)
    assert result.open == 6 - taken


def test_only_the_verdict_is_stored_as_a_reply_that_says_so(take):
    _, records = take(first_shape("q1", games=[{"score": "a>b"}, {"score": "A>>A"}]))
    first, second = records["q1", 0], records["q1", 1]
    assert (first.label, first.answer) == ("A>B", "[[A>B]]")
    assert first.reason == "adopted from m.jsonl; the file holds its verdict only"
    assert (second.state, second.label, second.answer) == ("unparsed", None, "A>>A")


def test_a_reply_without_a_verdict_was_paid_for(take):
    cut = {"judgment": "and so", "finish_reason": "length"}
    result, records = take(first_shape("q1", games=[{"judgment": "who knows"}, cut]))
    assert result.taken == {"unparsed": 1, "truncated": 1}
    assert records["q1", 0].reason == "adopted from m.jsonl; no verdict in the reply"


def test_the_text_counts_where_the_stored_score_differs(take):
    _, records = take(first_shape("q1", games=[{"judgment": "[[A>B]]", "score": "B>A"}]))
    assert records["q1", 0].label == "A>B"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"baseline": "gpt-4-0314"}, "baseline"),
        ({"judge": "another"}, "judge"),
        ({"uid": "q9"}, "question"),
    ],
)
def test_a_line_about_something_else_is_left_out(take, changes, why):
    result, records = take(first_shape("q1") | changes)
    assert (dict(result.left), records) == ({why: 2}, {})


def test_another_prompt_is_left_out(take):
    line = first_shape("q1")
    line["games"][0]["prompt"][0] = {"role": "system", "content": "Judge harshly."}
    line["games"][1]["prompt"] = ["Judge.", "another question"]
    result, _ = take(line)
    assert dict(result.left) == {"prompt": 2}


def test_stored_prompts_may_be_plain_texts(take):
    line = first_shape("q1")
    for index, game in enumerate(line["games"]):
        game["prompt"] = [message["content"] for message in prompt("q1", index)]
    assert take(line)[0].taken.total() == 2


def test_a_renamed_model_is_known_by_its_prompts_and_by_nothing_else(take):
    with_prompts, without = first_shape("q1", model="old"), older_shape("q2", model="old")
    for game in without["games"]:
        del game["user_prompt"]
    result, _ = take(with_prompts, without)
    assert (result.taken.total(), dict(result.left)) == (2, {"model": 2})


def test_a_toy_is_never_taken_for_a_judge(take):
    line = first_shape("q1")
    line["games"][0]["toy"] = True
    assert dict(take(line)[0].left) == {"judge": 1}


def test_our_own_file_without_its_journal_keeps_its_states(take):
    line = first_shape("q1")
    line["games"][0] |= {"state": "too_long", "score": None, "judgment": {"answer": ""}}
    _, records = take(line)
    assert (records["q1", 0].state, records["q1", 0].answer) == ("too_long", None)


def test_conflict_markers_and_doubled_lines(take):
    line = first_shape("q1")
    result, records = take("<<<<<<< HEAD", line, "=======", line, ">>>>>>> theirs")
    assert [line.number for line in result.bad_lines] == [1, 3, 5]
    assert (result.taken.total(), dict(result.left)) == (2, {"known": 2})
    assert len(records) == 2


def test_adopting_twice_takes_nothing_twice(take):
    take(first_shape("q1"))
    result, records = take(first_shape("q1"), first_shape("q2"))
    assert (result.taken.total(), dict(result.left)) == (2, {"known": 2})
    assert (result.open, len(records)) == (2, 4)


def test_the_summary_says_it_all(take):
    result, _ = take(
        scripts_shape("q1"), first_shape("q2", baseline="x"), "torn", first_shape("q3", judge="y")
    )
    assert result.lines() == [
        "m: 2 of 6 games taken (ok 2), 4 left to ask",
        "  2 left out against another baseline",
        "  2 left out by another judge",
        "  2 taken on trust: the file stores no prompts to compare",
        f"  {result.path}:3: not JSON: Expecting value at column 1",
    ]


def test_moving_aside_never_overwrites(tmp_path):
    when = datetime(2026, 3, 4, 5, 6, 7)
    for text in ("first", "second"):
        (tmp_path / "m.jsonl").write_text(text)
        if text == "first":
            moved = move_aside(tmp_path / "m.jsonl", tmp_path / "adopted", when)
            assert moved.name == "m.adopted-20260304-050607.jsonl"
        else:
            with pytest.raises(JournalError, match="is there already"):
                move_aside(tmp_path / "m.jsonl", tmp_path / "adopted", when)
    assert moved.read_text() == "first"
    assert (tmp_path / "m.jsonl").read_text() == "second"


@pytest.mark.parametrize(("times", "asked"), [(0, 0), (1, 1)])
def test_an_adopted_game_without_a_verdict_was_asked_once(take, tmp_path, times, asked):
    line = first_shape("q1")
    line["games"][0] |= {"judgment": {"answer": "I cannot decide."}, "score": None}
    take(line, first_shape("q2"), first_shape("q3"))
    with Journal(tmp_path / "games" / "m.jsonl") as journal:
        again = settings(ask_again={"times": times, "seed": 5})
        todo = open_games(GAMES, journal, again)
        assert len(todo) == asked
        assert [again.request(game, journal.times_asked(game.digest))["seed"] for game in todo] == (
            [5] * asked
        )


def test_a_file_is_foreign_without_a_journal_or_without_our_states(tmp_path):
    path, journal = tmp_path / "m.jsonl", tmp_path / "games" / "m.jsonl"
    assert not is_foreign(path, journal)
    path.write_text(json.dumps(first_shape("q1")) + "\n")
    assert is_foreign(path, journal)
    journal.parent.mkdir()
    journal.write_text("{}\n")
    assert is_foreign(path, journal)
    ours = first_shape("q1")
    ours["games"][0]["state"] = "ok"
    path.write_text(json.dumps(ours) + "\n")
    assert not is_foreign(path, journal)


@dataclasses.dataclass
class Campaign:
    """What adopt_all needs of `Settings`."""

    folder: Path
    models: tuple[str, ...] = ("m",)

    @property
    def root(self) -> Path:
        return self.folder / "results"

    @property
    def questions(self) -> Path:
        return self.folder / "question.jsonl"

    def answer(self, model: str) -> str:
        return str(self.folder / "model_answer" / f"{model}.jsonl")

    def opponents(self) -> list[tuple[str, str]]:
        return [("base", self.answer("base"))]

    def judgment(self, model: str) -> str:
        return str(self.folder / "model_judgment" / f"{model}.jsonl")

    def judgment_params(self) -> dict:
        return PLAIN


@pytest.fixture
def campaign(tmp_path) -> Campaign:
    campaign = Campaign(tmp_path)
    (tmp_path / "model_answer").mkdir()
    (tmp_path / "model_judgment").mkdir()
    lines = [{"uid": q.uid, "category": q.category, "prompt": q.prompt} for q in QUESTIONS]
    campaign.questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for model, texts in (("m", OURS), ("base", THEIRS["base"])):
        lines = [
            {"uid": a.uid, "messages": [{"content": {"answer": a.text}}]} for a in texts.values()
        ]
        Path(campaign.answer(model)).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return campaign


def test_a_campaign_is_adopted_once(campaign):
    judgment = Path(campaign.judgment("m"))
    judgment.write_text(json.dumps(first_shape("q2")) + "\n")
    (dry,) = adopt_all(campaign, dry_run=True)
    assert (dry.taken.total(), dry.open, dry.moved_to) == (2, 4, None)
    assert judgment.exists()
    assert not campaign.root.exists()
    (result,) = adopt_all(campaign)
    assert (result.taken.total(), result.open) == (2, 4)
    assert not judgment.exists()
    assert result.moved_to.parent == campaign.root / "adopted"
    assert json.loads(result.moved_to.read_text())["uid"] == "q2"
    assert list(adopt_all(campaign)) == []


def test_a_dry_run_knows_the_journal_and_leaves_it_alone(campaign):
    judgment = Path(campaign.judgment("m"))
    judgment.write_text(json.dumps(first_shape("q2")) + "\n")
    list(adopt_all(campaign))
    torn = campaign.root / "games" / "m.jsonl"
    torn.write_text(torn.read_text() + '{"digest"')
    before = torn.read_bytes()
    judgment.write_text("".join(json.dumps(first_shape(uid)) + "\n" for uid in ("q2", "q3")))
    (dry,) = adopt_all(campaign, dry_run=True)
    assert (dry.taken.total(), dict(dry.left), dry.open) == (2, {"known": 2}, 2)
    assert torn.read_bytes() == before


def test_a_file_without_answers_stays(campaign):
    shutil.rmtree(campaign.folder / "model_answer")
    (campaign.folder / "model_answer").mkdir()
    Path(campaign.answer("base")).write_text("")
    judgment = Path(campaign.judgment("m"))
    judgment.write_text(json.dumps(first_shape("q2")) + "\n")
    said = []
    assert not report_adoption(campaign, said.append)
    assert "cannot be adopted without the answers" in said[0]
    assert said[1] == "0 files: 0 games taken, 0 left out, 0 left to ask"
    assert judgment.exists()


def test_a_journal_in_use_keeps_its_file_only(campaign):
    campaign.models = ("m", "n")
    shutil.copy(campaign.answer("m"), campaign.answer("n"))
    for model in campaign.models:
        Path(campaign.judgment(model)).write_text(json.dumps(first_shape("q2", model=model)) + "\n")
    said = []
    with Lock(campaign.root / "games" / "m.jsonl") as lock:
        assert lock.try_acquire() is None
        assert not report_adoption(campaign, said.append)
    assert "is still playing these games" in said[0]
    assert said[1].startswith("n: 2 of 6 games taken")
    assert said[2].startswith("1 file: 2 games taken")
    assert [Path(campaign.judgment(model)).exists() for model in "mn"] == [True, False]
