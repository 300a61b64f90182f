"""What a batch of answers does besides what every batch does."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import arena.client.pace
import pytest
from arena.batch.gen_judgment import play_batch
from arena.batch.made import publish
from arena.batch.models import CHECKED, AnswerFiles
from arena.data.layout import Layout
from arena.journals.batch_games import BatchGames
from arena.journals.batches import read_attempts
from arena.journals.journal import Journal, Outcome, record_of
from arena.journals.records import BatchPlan, RunStop, Status, StopKind
from arena.support.errors import OpenGames
from scripted import KEY, Call, Reply, completion, judge

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
        assert [doubt.kind for doubt in files.doubts(model) if doubt.is_grave] == given_up
        assert len(texts) < CHECKED or not files.doubts(model)


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


@pytest.fixture
def play(plan: BatchPlan, monkeypatch) -> Callable[..., int]:
    """Play a batch whose models are served one after the other; its exit status."""
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr(arena.client.pace, "FIRST_DELAY", 0.01)

    def run(script: Callable[[Call], Reply], models: str = "m", **params: object) -> int:
        one = plan.params["writers"]["m"]
        params = {
            **plan.params,
            "writers": {name: one | {"judge": name} for name in models},
        } | params
        with judge(script, names=tuple(models)) as server:
            endpoints = [{"api_base": server.url, "api_key_env": "TEST_KEY"}]
            external = {"server": "external", "parallel": 1, "endpoints": endpoints}
            servings = tuple(
                {"models": [name], "server": external | {"name": name}} for name in models
            )
            played = replace(plan, run="r", models=tuple(models), params=params, servings=servings)
            played.write(Layout(Path(plan.root)).batch("b"))
            return play_batch(played, {}, tries_left=1)

    return run


def test_models_that_cannot_finish_leave_the_others_their_answers(plan, play) -> None:
    """Of `k` the old answers are missing, and no attempt helps; `m` may be finished by another."""
    layout = Layout(Path(plan.root))

    def script(call: Call) -> Reply:
        fails = call.body["model"] == "m" and call.user == "Why 7?"
        return Reply(500, "") if fails else completion(GOOD.format(call.number))

    assert play(script, "kmn", redone={"k": ["q01"]}) == 1
    assert [layout.made_record(name).exists() for name in "kmn"] == [False, False, True]
    models = Status.read(layout.status("b")).models
    assert [models[name].stop.kind for name in "km"] == [StopKind.DATA, StopKind.OPEN_GAMES]


def test_a_pilot_whose_last_answer_is_one_of_the_first_is_looked_at_too(plan, play) -> None:
    """Nothing is left to be stopped, so it is a warning."""
    layout = Layout(Path(plan.root))
    assert play(lambda call: completion(GOOD), pilot={"questions": CHECKED}) == 0
    assert f"m: warning: {CHECKED} of {CHECKED} answers begin " in layout.log("b").read_text()
    assert Status.read(layout.status("b")).models["m"].stop is None


def test_log_and_errors_speak_of_answers(plan: BatchPlan, play, tmp_path: Path) -> None:
    layout = Layout(Path(plan.root))
    assert play(lambda call: completion(GOOD) if call.number < 5 else Reply(401, "")) == 1
    left = f"^m: {QUESTIONS - 5} of {QUESTIONS} answers are open"
    with pytest.raises(OpenGames, match=left) as why:
        publish(layout, "m", "d", "b", tmp_path / "m.jsonl")
    log = layout.log("b").read_text()
    assert f"5/{QUESTIONS} answers (ok 5)" in log
    assert not re.search(r"\b(games?|judges?|judgments?|verdicts?)\b", log + str(why.value))


def test_a_checkpoint_that_cannot_be_served_stops_no_other_batch(plan: BatchPlan) -> None:
    layout = Layout(Path(plan.root))
    command = "echo 'Model architectures [X] are not supported' >&2; false  # {host}:{port}"
    server = {"name": "m", "server": "vllm", "path": "none", "command": command, "setup": ""}
    plan = replace(plan, run="r", servings=({"models": ["m"], "server": server},))
    plan.write(layout.batch("b"))
    assert play_batch(plan, {}, tries_left=2) == 0, "no retry can help"
    (attempt,) = read_attempts(layout.attempts("b"))
    assert attempt.stop and attempt.stop.kind is StopKind.JUDGE_START
    assert RunStop.read(layout.run_stop("r")) is None
