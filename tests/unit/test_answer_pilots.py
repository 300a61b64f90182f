"""Answers that were made for a pilot are completed, and nothing else is touched."""

from dataclasses import replace
from pathlib import Path

import pytest
from arena.batch.answer_plan import make_answer_plan, set_aside
from arena.batch.made import Made
from arena.batch.models import AnswerFiles
from arena.data.layout import Layout
from arena.journals.journal import Journal, Outcome, record_of
from arena.setup.resolve import resolve
from arena.setup.settings import Settings

from tests.checkpoints import adapter, checkpoint
from tests.synthetic import read_lines, write_lines

NUMBER = 12


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    asked = [
        {"uid": f"q{n:02d}", "category": "ab"[n % 2], "prompt": f"{n}?"} for n in range(NUMBER)
    ]
    (tmp_path / "data/b/model_answer").mkdir(parents=True)
    write_lines(tmp_path / "data/b/question.jsonl", asked)
    return tmp_path


def settings(temperature: float = 0.0, **config: object) -> Settings:
    answers = {"server": "demo", "models": {"m": None}, "temperature": temperature}
    judge = {"name": "j", "server": "demo"}
    told = {"bench": "b", "models": ["m"], "baseline": "base", "answers": answers, "judge": judge}
    return resolve(told | config)


def make(today: Settings, refused: tuple[str, ...] = ()) -> list[str]:
    """What a run does; the questions that were asked."""
    plan = make_answer_plan(today, today.asked())
    if "m" not in plan.models:
        return []
    assert today.answers
    layout, path = Layout(today.answers.root), Path(today.answer("m"))
    if "m" in plan.only:
        set_aside(layout, "m", path)
    (batch,) = {**plan.batches, **plan.replays}
    files = AnswerFiles(replace(plan.describe(batch, today), run="run"), layout)
    assert files.digest("m") == plan.digests["m"]  # as rule answer publishes it
    model, asked = files.model("m"), []
    with Journal(layout.journal("m"), {game.digest for game in model.games}) as model.journal:
        for game in model.games:
            if game.digest in model.journal.records:
                continue
            outcome = Outcome("ok", "answer", f"{today.answers.writers['m'].sampling}", "stop")
            if game.uid in refused:
                outcome = Outcome("too_long", reason="does not fit")
            asked.append(game.uid)
            model.journal.append(record_of(game, outcome, None, calls=1, again=0, seconds=1.0))
        assert plan.left == {"m": len(asked)}  # as the run's screen says
        write_lines(path, list(files.lines(model)))
        write_lines(layout.made("m"), list(files.lines(model)))
    size = path.stat().st_size
    Made(files.digest("m"), model.inputs, size, "run").write(layout.made_record("m"))
    return asked


def answered(today: Settings) -> list[str]:
    return [line["uid"] for line in read_lines(Path(today.answer("m")))]


def test_each_question_is_asked_once_whatever_the_pilots(bench: Path) -> None:
    of_a, of_b = settings(categories="a"), settings(categories="b")
    whole = settings()
    asked = make(of_a)
    assert asked == [f"q{n:02d}" for n in range(0, NUMBER, 2)] and make(of_a) == []
    few = settings(questions=4)
    more = make(few)
    assert set(more) == {one.uid for one in few.asked()} - set(asked)
    assert set(answered(few)) == {*asked, *more}  # what was there stays
    assert make(of_a) == make(few) == []
    rest = make(whole)
    assert sorted(asked + more + rest) == answered(whole) == [f"q{n:02d}" for n in range(NUMBER)]
    assert [make(one) for one in (of_a, of_b, few, whole)] == [[]] * 4
    assert len(answered(whole)) == NUMBER


def test_a_refused_question_is_asked_no_more(bench: Path) -> None:
    pilot, whole = settings(questions=4), settings()
    first = pilot.asked()[0].uid
    make(pilot, refused=(first,))
    assert not make_answer_plan(pilot, pilot.asked()).models and first not in answered(pilot)
    assert len(make(whole)) == NUMBER - 4 and not make_answer_plan(whole, whole.asked()).models
    assert len(answered(whole)) == NUMBER - 1


def test_answers_of_other_settings_are_never_mixed(bench: Path) -> None:
    make(settings(questions=4))
    other = settings(temperature=0.5)
    assert make(other) == [] and len(answered(other)) == 4
    (note,) = make_answer_plan(other, other.asked()).notes
    assert note.startswith("m: ")
    Path(other.answer("m")).unlink()
    assert len(make(other)) == NUMBER


def test_redone_for_a_pilot_and_then_completed(bench: Path) -> None:
    redo = {"answers": {"server": "demo", "models": {"m": None}, "temperature": 0.0, "redo": ["m"]}}
    make(settings(questions=4))
    pilot, whole = settings(questions=4, **redo), settings(**redo)
    assert len(make(pilot)) == 4 and make(pilot) == []
    assert len(make(whole)) == NUMBER - 4 and make(whole) == []
    assert len(answered(whole)) == NUMBER


def test_redo_asks_the_questions_of_this_run_only(bench: Path) -> None:
    """An empty answer outside of the pilot is not redone yet; one to another bench never is."""
    make(settings())
    lines = read_lines(Path(settings().answer("m")))
    for line in (lines[1], lines[-1]):
        line["messages"][-1]["content"]["answer"] = ""
    write_lines(Path(settings().answer("m")), [*lines, lines[1] | {"uid": "another bench's"}])
    redo = {"answers": {"server": "demo", "models": {"m": None}, "redo": {"empty": True}}}
    assert make(settings(categories="a", **redo)) == []
    assert make(settings(**redo)) == ["q01", "q11"]


def test_adapters_that_are_asked_in_another_way_do_not_share_a_server(bench: Path) -> None:
    """The client has one sampling for all models of a server."""
    base = checkpoint(bench / "base")
    folders = {name: str(adapter(bench / name, base)) for name in "xyz"}
    today = replace(settings(answers={"models": folders}), selected=tuple("xyz"))
    writers = today.answers.writers
    writers["y"] = replace(writers["y"], sampling={"max_tokens": 9})
    assert list(make_answer_plan(today, today.asked()).batches.values()) == [("x", "z"), ("y",)]
