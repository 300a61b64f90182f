"""What is forecast of the embedded example, of small campaigns, and of known rates."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from arena.batch.made import Made, read_input
from arena.campaign.status import Campaign, StatusReader
from arena.campaign.validation import check_settings
from arena.costs import forecast as costs
from arena.costs.forecast import against_used, forecast, keep, page
from arena.costs.ledger import COLUMNS
from arena.data.answers import read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.layout import Layout
from arena.data.questions import read_questions
from arena.setup.config import load_settings
from arena.support.errors import DataError

from tests.served import SCRIPTS
from tests.synthetic import (
    T0,
    attempt,
    iso,
    journal_line,
    write,
    write_batch,
    write_journal,
    write_lines,
)

MID = "mid-7b-chat"


@pytest.fixture
def campaign(tmp_path, project, monkeypatch):
    """config: dict -> settings, in a folder of its own with the embedded example's data."""
    shutil.copytree(project / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    given = yaml.safe_load((project / "config/config.yaml").read_text()) | {"answers": None}

    def configured(judge=None, **changes):
        config = given | changes | {"judge": given["judge"] | (judge or {})}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        return load_settings(tmp_path / "config.yaml", [])

    return configured


def look(settings):
    return forecast(settings, check_settings(settings), T0 + 5000)


def journal_of(settings, games, unparsed=0, model=MID, prompt=lambda uid: 100):
    """A journal that holds the first games of a model, the first of these without a verdict."""
    params = GameSettings.from_dict(settings.judgment_params())
    questions = read_questions(settings.questions)
    base = {m: read_answers(settings.answer(m)).answers for m in settings.baseline_models}
    plan = plan_games(params, questions, read_answers(settings.answer(model)).answers, base)
    lines = []
    for number, game in enumerate(plan[:games]):
        line = json.loads(journal_line(0, game.index, usage=(prompt(game.uid), 40, 20)))
        if number < unparsed:
            line |= {"state": "unparsed", "label": None, "answer": "Both are fine."}
        lines.append(line | {"uid": game.uid, "digest": game.digest})
    write_lines(Layout(settings.root).journal(model), lines)


def played_batch(settings, games=40, gpus=4):
    """A batch of another model: 20 s of start, 30 s idle, 5 s a game on four GPUs."""
    begun = attempt(0, 0, 20, 50 + 5 * games, gpus=gpus)
    write_batch(settings.root, "r-00", ["x"], begun, resources={"gpus": gpus})
    lines = [journal_line(q, 0, T0 + 40 + 5 * q, seconds=5) for q in range(games)]
    write_journal(settings.root, "x", lines)


def test_the_example(campaign):
    found = look(campaign())
    assert (found["models"], found["games"], found["played"], found["jobs"]) == (4, 94, 0, 1)
    assert 50_000 < found["prompt_tokens"] < 60_000
    assert {found[key] for key in ("rates", "completion_tokens", "held_s", "gpu_hours")} == {None}
    assert 500 < found["median"] < 600 < 800 < found["longest"] < 900
    assert max(len(line) for line in page(found).splitlines()) <= 80


def test_rates_are_means_of_games_and_of_jobs():
    def ledger_row(**keys):
        return dict.fromkeys(COLUMNS, 0) | {"batch": "r-01", "jobs": 1, "source": "record"} | keys

    one = {"games": 60, "completion_tokens": 1000, "busy_s": 8.0, "start_s": 30.0, "idle_s": 4.0}
    two = {"games": 40, "completion_tokens": 3000, "busy_s": 3.0, "start_s": 50.0, "idle_s": 8.0}
    rows = [
        ledger_row(**one, gpu_hours=42 * 2 / 3600),
        ledger_row(**two, gpu_hours=61 * 4 / 3600, jobs=3),
        ledger_row(batch="total", games=100, busy_s=11.0),
        ledger_row(games=0, start_s=99.0),  # its judge never answered: no measure of a job
    ]
    rates = costs.measured(pd.DataFrame(rows))
    means = {"reply": 40, "game_s": 0.11, "job_s": 23, "gpus": (42 * 2 + 61 * 4) / 103}
    assert rates == pytest.approx({"games": 100, "batches": 2, **means})
    assert costs.measured(pd.DataFrame([ledger_row(games=19, busy_s=1.0)])) is None


def test_hours_come_from_what_was_measured(campaign):
    settings = campaign(batch_size=3, gpu_hour_cost=2)
    played_batch(settings, games=19)
    assert look(settings)["held_s"] is None
    played_batch(settings, games=40)
    found = look(settings)
    assert (found["jobs"], found["completion_tokens"]) == (2, 94 * 20)
    assert found["held_s"] == pytest.approx(2 * 50 + 94 * 5)
    assert found["longest_s"] == pytest.approx(50 + 70 * 5)  # three of the four models
    assert found["gpu_hours"] == pytest.approx(4 * found["held_s"] / 3600)
    assert found["cost"] == pytest.approx(2 * found["gpu_hours"])
    assert "measured on 40 games of 1 earlier batch of this judge" in page(found)


def other_text(path, key='"answer": "'):
    """Another text in the first line of a file."""
    text = Path(path).read_text()
    assert text.split("\n")[0].count(key) == 1
    Path(path).write_text(text.replace(key, f"{key}Well, ", 1))


@pytest.mark.parametrize(
    ("change", "games"),
    [
        (lambda s: None, 0),
        (lambda s: other_text(s.answer(MID)), 2),
        (lambda s: other_text(s.answer("llama-demo-8b")), 2),
        (lambda s: other_text(s.questions, '"prompt": "'), 2),
        (lambda s: os.utime(s.questions, (T0 + 200, T0 + 200)), 0),  # newer, and the same
        (lambda s: {"temperature": 0.5}, 24),
        (lambda s: {"ask_again": {"times": 1}}, 3),
    ],
    ids=["nothing", "answers", "baseline", "questions", "touched", "temperature", "ask again"],
)
def test_what_changed_since_the_judgments_is_to_play(campaign, change, games):
    settings = campaign(only=[MID])
    journal_of(settings, 24, unparsed=3)
    assert look(campaign(judge=change(settings), only=[MID]))["games"] == games


@pytest.mark.parametrize(
    ("judge", "same"),
    [
        ({"ask_again": {"times": 1}}, True),
        ({"patterns": [r"\[\[([AB<>=]+)\]\]"]}, True),
        ({"temperature": 0.5}, False),
        ({"max_tokens": 77}, False),
    ],
)
def test_settings_that_only_read_replies_leave_requests_what_they_are(campaign, judge, same):
    now, then = campaign(judge=judge), campaign()
    assert now.digest != then.digest
    assert (now.requests_digest == then.requests_digest) == same


def test_what_judgments_were_made_of_is_told_by_content(campaign):
    """Where there is a record of it, no time of a file and no later plan counts."""
    settings = campaign()
    journal_of(settings, 24)
    line = {"uid": "q", "model": MID, "games": [{"state": "ok"}] * 2}
    write_lines(Path(settings.judgment(MID)), [line])
    inputs = {role: read_input(path) for role, path in settings.roles(MID).items()}
    size = Path(settings.judgment(MID)).stat().st_size
    Made(settings.digest, inputs, size, "r").write(Layout(settings.root).made_record(MID))
    write_batch(settings.root, "r-02", [MID], settings="other", time=iso(T0 + 400))
    os.utime(settings.questions, (T0 + 300, T0 + 300))

    def found(now):
        rows = StatusReader(Campaign(Layout(now.root), now)).read().rows
        return [row.mark == "done" for row in rows if row.model == MID], look(now)["games"]

    assert found(settings) == ([True], 70)
    assert found(campaign(judge={"temperature": 0.5})) == ([False], 94)
    other_text(settings.answer(MID))
    assert found(settings) == ([False], 72)


def test_prompts_against_the_context(campaign):
    longest = look(campaign(judge={"context": 10_000, "max_tokens": 100}))["longest"]
    room = {"context": longest + 100, "max_tokens": 100}
    assert look(campaign(judge=room))["too_long"] == []
    found = look(campaign(judge=room | {"context": longest + 99}))
    assert {tokens for _, _, tokens in found["too_long"]} == {longest}
    games = [uid for _, uid, _ in found["too_long"]]
    assert len(games) == 2 * len(set(games)) == 2 * page(found).count(", question ")
    assert look(campaign(judge={"context": None}))["context"] is None


def test_prompts_near_the_limit_are_counted_whole(campaign, monkeypatch):
    """One text of each file is counted, the others go by their characters."""
    settings = campaign()
    examined = look(settings)
    monkeypatch.setattr(costs, "SAMPLE", 1)
    assert look(settings)["longest"] != examined["longest"]
    near = look(campaign(judge={"context": examined["longest"] + 500, "max_tokens": 500}))
    assert near["longest"] == examined["longest"]


def test_walltime_and_budget(campaign):
    played_batch(campaign())
    needed = look(campaign())["longest_s"] / 60
    for minutes, raised in ((0.99 * needed, True), (1.01 * needed, False)):
        walltime = {"start_minutes": 1, "minutes_per_model": (minutes - 1) / 4}
        notes = look(campaign(walltime=walltime))["notes"]
        assert any("raise walltime.minutes_per_model" in note for note in notes) == raised
    limit = {"max_minutes": 0.99 * needed}
    (note,) = look(campaign(walltime=limit))["notes"]
    assert "lower batch_size" in note and "minutes_per_model" not in note
    budget = {"games": 47, "tokens": 10**9, "gpu_hours": 0.001}
    games, hours = look(campaign(budget=budget))["notes"]
    assert "budget.games of 47 covers 50%" in games and "budget.gpu_hours" in hours


def test_nothing_to_play(campaign):
    settings = campaign(only=[MID])
    journal_of(settings, 23)
    assert "1 game of 1 model;" in page(look(settings))
    journal_of(settings, 24)
    assert "nothing" in page(look(settings))


def test_a_run_is_compared_with_its_forecast(campaign):
    settings = campaign(gpu_hour_cost=1)
    layout = Layout(settings.root)
    for text in ("", "[]", '{"games": 4}', '{"time": "x", "games": 4}'):
        with pytest.raises(DataError, match=r"forecast\.json: no forecast; run"):
            against_used(layout, T0, None)
        write(layout.forecast, text)
    played_batch(settings)
    found = look(settings)
    keep(found, layout, T0 + 10_000)
    with pytest.raises(DataError, match=r"forecast\.json: .*since .* of \d\d "):
        against_used(layout, T0 + 20_000, None)
    begun, models = attempt(11_000, None, None, 14_600, gpus=1), settings.models
    write_batch(layout.root, "r-01", list(models), begun, run="r1", time=iso(T0 + 11_000))
    for model in models:
        journal_of(settings, 24, model=model)
    keep(look(settings), layout, T0 + 12_000)  # with nothing to play nothing is forecast over it
    told = {what: numbers for what, *numbers in against_used(layout, T0 + 20_000, 3)}
    assert told["games"] == [94, 0]  # the journals' games are of an older time
    assert told["jobs"] == [1, 1]
    for key, used in (("gpu_hours", 1), ("cost", 3), ("held_s", 3600)):
        assert told[key] == pytest.approx([found[key], used])


def test_a_closed_pipe_and_a_python_without_packages_end_in_a_line(campaign):
    campaign()
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, SCRIPTS / "forecast.py", "--configfile", "config.yaml"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""
    for tool in ("forecast", "journal", "monitor", "show_games"):
        bare = [sys.executable, "-S", SCRIPTS / f"{tool}.py"]
        done = subprocess.run(bare, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "msgspec" in line and "runs Snakemake" in line


def test_side_by_side():
    text = costs.side_by_side([("games", 100, 94), ("cost", None, 2.5), ("hours", 2.0, 3.0)])
    lines = [line.split() for line in text.splitlines()[1:]]
    assert lines[:2] == [["games", "100", "94", "0.94"], ["cost", "–", "2.50", "–"]]
    assert lines[2:] == [["hours", "2.00", "3.00", "1.50"]]


def test_an_estimate_is_corrected_by_what_the_judge_counted(campaign):
    """The example's prompts, counted by a judge that finds half as many tokens again."""
    settings = campaign()
    plain = look(settings)
    prompts = dict(costs.PromptCounter(settings, [MID], None).open_games(MID)[0])
    journal_of(settings, 24, prompt=lambda uid: round(1.5 * prompts[uid]))
    found = look(settings)
    assert "times 1.50 by 24 games of this judge" in page(found).replace("\n          ", " ")
    assert found["longest"] == pytest.approx(1.5 * plain["longest"], rel=0.02)


def test_an_estimate_is_exact_for_few_and_close_for_many():
    def told(texts):
        return costs.estimate(texts, lambda text: len(text.split()))

    assert (told(["one two", "three"]), told([]), told(["", ""])) == ([2, 1], [], [0, 0])
    many = told(["word " * n for n in range(1, 1001)])
    assert sum(many) == pytest.approx(sum(range(1, 1001)), rel=0.02)


@pytest.mark.parametrize(
    ("judge", "context"),
    [
        ({"context": 4096, "command": "--max-model-len 99"}, (4096, "judge.context")),
        ({"command": "vllm serve {path} --max-model-len 16384"}, (16384, "judge.command")),
        ({"command": "vllm serve {path} --max-model-len='8192' -q"}, (8192, "judge.command")),
        ({"command": "vllm serve {path} --max-model-len \\\n 8192; exit"}, (8192, "judge.command")),
        ({"path": "/nowhere"}, (None, "unknown; set judge.context")),
        ({}, (None, "unknown; set judge.context")),
    ],
)
def test_context(judge, context):
    assert costs.context_of(judge) == context


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ('{"max_position_embeddings": 131072}', 131072),
        ('{"text_config": {"max_position_embeddings": 8192}}', 8192),
        ("{torn", None),
        ("[]", None),
        ("{}", None),
    ],
)
def test_context_of_the_judges_files(tmp_path, text, context):
    (tmp_path / "config.json").write_text(text)
    assert costs.context_of({"path": str(tmp_path)})[0] == context


def test_a_context_in_other_words_is_not_the_models_own(tmp_path):
    write(tmp_path / "config.json", '{"max_position_embeddings": 131072}')
    judge = {"path": str(tmp_path), "command": "vllm serve {path} --max-model-len 16k"}
    assert costs.context_of(judge) == (None, "judge.command")


def test_the_judges_own_tokenizer(tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="comes with vLLM only")
    words = {"[UNK]": 0, "a": 1, "b": 2}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    count, _, is_judges = costs.counter_for(str(tmp_path))
    assert (count("a b c d"), is_judges) == (4, True)
