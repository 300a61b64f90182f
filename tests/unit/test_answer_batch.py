"""What a batch of answers does besides what every batch does."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from arena.batch.answer_files import CHECKED, AnswerFiles
from arena.batch.gen_judgment import play_batch
from arena.batch.judgment import publish
from arena.data.layout import Layout
from arena.journals.attempts import read_attempts
from arena.journals.batch_games import BatchGames
from arena.journals.journal import Journal, Outcome, record_of
from arena.journals.records import BatchPlan, RunStop, StopKind
from arena.support.errors import OpenGames
from scripted import KEY, completion, judge

from tests.synthetic import write_lines
from tests.web import Reply

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
        ([GOOD.format(n) for n in range(CHECKED)], []),
        ([""] * 8 + [GOOD.format(n) for n in range(CHECKED - 8)], ["empty"]),
        ([""] * (CHECKED - 1), []),  # not all of the first are there yet
    ],
)
def test_first_answers_are_looked_at_once(plan: BatchPlan, texts: list, given_up: list) -> None:
    layout = Layout(Path(plan.root))
    files = AnswerFiles(plan, layout)
    model = files.model("m")
    with Journal(layout.journal("m")) as model.journal:
        answer(files, model.journal, texts)
        found = [(name, doubt.kind) for name, doubt, stop in files.warnings([model]) if stop]
        assert found == [("m", kind) for kind in given_up]
        assert len(texts) < CHECKED or list(files.warnings([model])) == []


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


def test_log_and_errors_speak_of_answers(plan: BatchPlan, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    layout = Layout(Path(plan.root))
    with judge(lambda call: completion(GOOD) if call.number < 5 else Reply(401, "")) as server:
        server.names = ("m",)
        endpoints = [{"api_base": server.url, "api_key_env": "TEST_KEY"}]
        external = {"name": "m", "server": "external", "parallel": 1, "endpoints": endpoints}
        plan = replace(plan, run="r", servings=({"models": ["m"], "server": external},))
        write_lines(layout.batch("b"), [plan.to_json()])
        assert play_batch(plan, {}, tries_left=0) == 0
    with pytest.raises(
        OpenGames, match=f"^m: {QUESTIONS - 5} of {QUESTIONS} answers are open"
    ) as why:
        publish(layout, "m", "d", "b", tmp_path / "m.jsonl")
    log = layout.log("b").read_text()
    assert f"5/{QUESTIONS} answers (ok 5)" in log
    assert not re.search(r"\b(games?|judges?|judgments?|verdicts?)\b", log + str(why.value))


def test_a_checkpoint_that_cannot_be_served_stops_no_other_batch(
    plan: BatchPlan,
) -> None:
    layout = Layout(Path(plan.root))
    command = "echo 'Model architectures [X] are not supported' >&2; false  # {host}:{port}"
    server = {"name": "m", "server": "vllm", "path": "none", "command": command, "setup": ""}
    plan = replace(plan, run="r", servings=({"models": ["m"], "server": server},))
    write_lines(layout.batch("b"), [plan.to_json()])
    assert play_batch(plan, {}, tries_left=2) == 0, "no retry can help"
    (attempt,) = read_attempts(layout.attempts("b"))
    assert attempt.stop and attempt.stop.kind is StopKind.JUDGE_START
    assert RunStop.read(layout.run_stop("r")) is None
