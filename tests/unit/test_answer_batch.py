"""What a batch of answers does besides what every batch does."""

from pathlib import Path

import pytest
from arena.batch.answer_files import LOOKED_AT, AnswerFiles
from arena.data.layout import Layout
from arena.journals.batch_games import BatchGames
from arena.journals.journal import Journal, Outcome, record_of
from arena.journals.records import BatchPlan

from tests.synthetic import write_lines

QUESTIONS = 30
GOOD = "Ice floats because it is less dense than water, as number {} of many answers says."


@pytest.fixture
def plan(tmp_path: Path) -> BatchPlan:
    questions = tmp_path / "question.jsonl"
    asked = [{"uid": f"q{n:02d}", "category": "c", "prompt": f"Why {n}?"} for n in range(QUESTIONS)]
    write_lines(questions, asked)
    one = {"judge": "m", "writer": "d", "sampling": {}, "system_prompt": None}
    one |= {"end_think_token": None, "toy": False}
    params = {"writers": {"m": one}, "stop_doubtful": True, "redone": {}}
    root = str(tmp_path / "answers")
    return BatchPlan("b", models=("m",), root=root, questions=str(questions), params=params)


def answer(files: AnswerFiles, journal: Journal, texts: list[str]) -> None:
    """Journal replies to the first questions."""
    games = files.model("m").games
    for game, text in zip(games, texts, strict=False):
        label = files.settings["m"].verdict(text)
        outcome = Outcome("ok" if label else "unparsed", label, text, "stop")
        journal.append(record_of(game, outcome, None, calls=1, again=0, seconds=1.0))


@pytest.mark.parametrize(
    ("texts", "given_up"),
    [
        ([GOOD.format(n) for n in range(LOOKED_AT)], []),
        ([""] * 8 + [GOOD.format(n) for n in range(LOOKED_AT - 8)], ["empty"]),
        ([""] * (LOOKED_AT - 1), []),  # not all of the first are there yet
    ],
)
def test_first_answers_are_looked_at_once(plan: BatchPlan, texts: list, given_up: list) -> None:
    layout = Layout(Path(plan.root))
    files = AnswerFiles(plan, layout)
    model = files.model("m")
    with Journal(layout.journal("m")) as model.journal:
        answer(files, model.journal, texts)
        found = [(name, doubt.kind) for name, doubt, stop in files.doubtful([model]) if stop]
        assert found == [("m", kind) for kind in given_up]
        assert len(texts) < LOOKED_AT or list(files.doubtful([model])) == []


def test_what_is_dropped_is_asked_no_more_and_keeps_what_it_has(plan: BatchPlan) -> None:
    layout = Layout(Path(plan.root))
    files = AnswerFiles(plan, layout)
    model = files.model("m")
    with Journal(layout.journal("m")) as journal:
        answer(files, journal, [GOOD] * 3)
        games = BatchGames(files.settings["m"], {"m": model.games}, {"m": journal})
        assert (games.total(), games.played()) == (QUESTIONS, 3)
        assert not any(map(games.is_dropped, games.prompts))
        games.drop("m")
        assert (games.total(), games.played()) == (3, 3)
        assert all(map(games.is_dropped, games.prompts))
