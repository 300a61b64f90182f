"""What is forecast of the embedded example, of small campaigns, and of known rates."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from arena.batch.made import Made, read_input
from arena.campaign.campaign import Campaign
from arena.campaign.status import StatusReader
from arena.campaign.validation import check_settings
from arena.costs.forecast import against_used, forecast, keep, measured
from arena.costs.forecast_page import page, side_by_side
from arena.costs.ledger import COLUMNS
from arena.costs.open_prompts import PromptCounter
from arena.data import lengths
from arena.data.answers import read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.layout import Layout
from arena.data.questions import read_questions
from arena.setup.load import load_settings
from arena.setup.prompt_check import prompt_differences
from arena.support.errors import DataError

from tests.synthetic import (
    T0,
    attempt,
    iso,
    journal_line,
    write,
    write_batch,
    write_journal,
    write_jsonl,
)

MID = "mid-7b-chat"


@pytest.fixture
def campaign(tmp_path, project, monkeypatch):
    """config: dict -> settings, in a folder of its own with the embedded example's data."""
    shutil.copytree(project / "examples", tmp_path / "examples")
    for path in (tmp_path / "examples").rglob("*.jsonl"):
        os.utime(path, (T0 - 100, T0 - 100))
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
    write_jsonl(Layout(settings.root).journal(model), lines)


def played_batch(settings, games=40, gpus=4):
    """A batch of another model: 20 s of start, 30 s idle, 5 s a game on four GPUs."""
    begun = attempt(0, 0, 20, 50 + 5 * games, gpus=gpus)
    write_batch(settings.root, "r-00", ["x"], begun, resources={"gpus": gpus})
    lines = [journal_line(q, 0, T0 + 40 + 5 * q, seconds=5) for q in range(games)]
    write_journal(settings.root, "x", lines)


def test_the_example(campaign):
    found = look(campaign())
    assert (found.models, found.games, found.played, found.jobs) == (4, 94, 0, 1)
    assert 50_000 < found.prompt_tokens < 60_000
    assert (found.rates, found.completion_tokens, found.held_s, found.gpu_hours) == (None,) * 4
    assert 500 < found.median < 600 < 800 < found.longest < 900
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
    rates = measured(pd.DataFrame(rows))
    means = {"reply": 40, "game_s": 0.11, "job_s": 23, "gpus": (42 * 2 + 61 * 4) / 103}
    assert rates == pytest.approx({"games": 100, "batches": 2, **means})
    assert measured(pd.DataFrame([ledger_row(games=19, busy_s=1.0)])) is None


def test_hours_come_from_what_was_measured(campaign):
    settings = campaign(batch_size=3, gpu_hour_cost=2)
    played_batch(settings, games=19)
    assert look(settings).held_s is None
    played_batch(settings, games=40)
    found = look(settings)
    assert (found.jobs, found.completion_tokens) == (2, 94 * 20)
    assert found.held_s == pytest.approx(2 * 50 + 94 * 5)
    assert found.longest_s == pytest.approx(50 + 70 * 5)  # three of the four models
    assert found.gpu_hours == pytest.approx(4 * found.held_s / 3600)
    assert found.cost == pytest.approx(2 * found.gpu_hours)
    assert "measured on 40 games of 1 earlier batch of this judge" in page(found)


def test_what_is_played_is_not_asked(campaign, tmp_path):
    settings = campaign()
    journal_of(settings, 10)
    found = look(settings)
    assert (found.games, found.played) == (84, 10)
    assert "84 games of 4 models; 10 more" in page(found)
    journal_of(settings, 24)
    found = look(settings)
    assert (found.models, found.games) == (3, 70)
    (tmp_path / "other.txt").write_text("Say which reply is better.")
    found = look(campaign(judge={"system_prompt": "other.txt"}))
    assert (found.games, found.played) == (94, 0)


def judged(settings, unparsed=0):
    """Judgments of a model, made in a run with these settings."""
    journal_of(settings, 24, unparsed)
    write_batch(settings.root, "r-01", [MID], settings=settings.digest)
    line = {"uid": "q", "model": MID, "games": [{"state": "ok"}] * 2}
    file = write_jsonl(Path(settings.judgment(MID)), [line])
    os.utime(file, (T0 + 100, T0 + 100))


def other_text(path, key='"answer": "'):
    """Another text in the first line of a file that is newer than the judgments."""
    text = Path(path).read_text()
    assert text.split("\n")[0].count(key) == 1
    Path(path).write_text(text.replace(key, f"{key}Well, ", 1))
    os.utime(path, (T0 + 200, T0 + 200))


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
@pytest.mark.parametrize("planned", [False, True])  # for these settings, and not judged since
def test_what_changed_since_the_judgments_is_to_play(campaign, change, games, planned):
    settings = campaign(only=[MID])
    judged(settings, unparsed=3)
    changed = campaign(judge=change(settings), only=[MID])
    if planned:
        again = {"settings": changed.digest, "time": iso(T0 + 300)}
        write_batch(settings.root, "r-02", [MID], **again)
    assert look(changed).games == games


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
    judged(settings)
    inputs = {role: read_input(path) for role, path in settings.roles(MID).items()}
    size = Path(settings.judgment(MID)).stat().st_size
    Made(settings.digest, inputs, size, "r").write(Layout(settings.root).made_record(MID))
    write_batch(settings.root, "r-02", [MID], settings="other", time=iso(T0 + 400))
    os.utime(settings.questions, (T0 + 300, T0 + 300))

    def found(now):
        rows = StatusReader(Campaign(Layout(now.root), now)).read().rows
        return [row.mark == "done" for row in rows if row.model == MID], look(now).games

    assert found(settings) == ([True], 70)
    assert found(campaign(judge={"temperature": 0.5})) == ([False], 94)
    other_text(settings.answer(MID))
    assert found(settings) == ([False], 72)


def test_prompts_against_the_context(campaign):
    longest = look(campaign(judge={"context": 10_000, "max_tokens": 100})).longest
    room = {"context": longest + 100, "max_tokens": 100}
    assert look(campaign(judge=room)).too_long == []
    found = look(campaign(judge=room | {"context": longest + 99}))
    assert {tokens for _, _, tokens in found.too_long} == {longest}
    games = [uid for _, uid, _ in found.too_long]
    assert len(games) == 2 * len(set(games)) == 2 * page(found).count(", question ")
    assert look(campaign(judge={"context": None})).context is None


def test_prompts_near_the_limit_are_counted_whole(campaign, monkeypatch):
    """One text of each file is counted, the others go by their characters."""
    settings = campaign()
    examined = look(settings)
    monkeypatch.setattr(lengths, "SAMPLE", 1)
    assert look(settings).longest != examined.longest
    near = look(campaign(judge={"context": examined.longest + 500, "max_tokens": 500}))
    assert near.longest == examined.longest


def test_walltime_and_budget(campaign):
    played_batch(campaign())
    needed = look(campaign()).longest_s / 60
    for minutes, raised in ((0.99 * needed, True), (1.01 * needed, False)):
        walltime = {"start_minutes": 1, "minutes_per_model": (minutes - 1) / 4}
        notes = look(campaign(walltime=walltime)).notes
        assert any("raise walltime.minutes_per_model" in note for note in notes) == raised
    limit = {"max_minutes": 0.99 * needed}
    (note,) = look(campaign(walltime=limit)).notes
    assert "lower batch_size" in note and "minutes_per_model" not in note
    games, hours = look(campaign(budget={"games": 47, "tokens": 10**9, "gpu_hours": 0.001})).notes
    assert "budget.games of 47 covers 50%" in games and "budget.gpu_hours" in hours


def test_nothing_to_play(campaign):
    settings = campaign(only=[MID])
    journal_of(settings, 23)
    assert "1 game of 1 model;" in page(look(settings))
    journal_of(settings, 24)
    assert "nothing" in page(look(settings))


def test_prompts_of_a_checkout(campaign, tmp_path):
    """A checkout in the shape of Arena-Hard-Auto's, its texts our own."""
    checkout = tmp_path / "checkout"
    entry = {"judge_model": "demo-judge", "bench_name": "arena-demo", "model_list": []}
    entry |= {"prompt_template": "{QUESTION}\n{ANSWER_A}\n{ANSWER_B}"}
    entry |= {"temperature": 0.0, "max_tokens": 16000}
    write(checkout / "config/arena-demo.yaml", yaml.safe_dump(entry))
    categories = {question.category for question in read_questions(campaign().questions)}
    theirs = {"baseline": "llama-demo-8b", "system_prompt": "Judge.\nBe fair."}
    judged = {category: theirs for category in categories}
    write(checkout / "utils/judge_utils.py", f"JUDGE_SETTINGS = {judged!r}\n")
    (same,) = prompt_differences(campaign(arena_hard_dir=str(checkout)))
    assert same.endswith(f"is that of {checkout}")
    (tmp_path / "mine.txt").write_text("Judge.\nBe kind.\nBe brief.\n")
    judge = {"system_prompt": "mine.txt", "temperature": 0.7}
    told = prompt_differences(campaign(judge, arena_hard_dir=str(checkout), baseline=MID))
    assert len(told) == 2 * len(categories) + 1
    assert re.match("temperature: 0.7, .* 0.0", told[-1])
    assert any("by 3 lines" in line and "Be kind." in line for line in told)
    assert any(re.search(f"{MID}, .* llama-demo-8b", line) for line in told)
    (own,) = prompt_differences(campaign())
    assert "not comparable" in own


def test_a_run_is_compared_with_its_forecast(campaign):
    settings = campaign(gpu_hour_cost=1)
    layout = Layout(settings.root)
    with pytest.raises(DataError, match=r"forecast\.json: no forecast; run"):
        against_used(layout, T0, None)
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
        assert told[key] == pytest.approx([getattr(found, key), used])


@pytest.mark.parametrize("text", ["", "[]", '{"games": 4}', '{"time": "x", "games": 4}'])
def test_what_is_no_forecast_is_refused(campaign, text):
    layout = Layout(campaign().root)
    write(layout.forecast, text)
    with pytest.raises(DataError, match=r"forecast\.json: no forecast"):
        against_used(layout, T0, None)


def test_a_closed_pipe_and_a_python_without_packages_end_in_a_line(campaign, project):
    campaign()
    script = str(project / "workflow/scripts/forecast.py")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, script, "--configfile", "config.yaml"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""
    for tool in ("forecast", "ledger", "monitor"):
        bare = [sys.executable, "-S", script.replace("forecast", tool)]
        done = subprocess.run(bare, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert re.match(f"{tool}: No module named .*(.|\n)* runs Snakemake", done.stderr)


def test_side_by_side():
    text = side_by_side([("games", 100, 94), ("cost", None, 2.5), ("hours", 2.0, 3.0)])
    lines = [line.split() for line in text.splitlines()[1:]]
    assert lines[:2] == [["games", "100", "94", "0.94"], ["cost", "–", "2.50", "–"]]
    assert lines[2:] == [["hours", "2.00", "3.00", "1.50"]]


def test_an_estimate_is_corrected_by_what_the_judge_counted(campaign):
    """The example's prompts, counted by a judge that finds half as many tokens again."""
    settings = campaign()
    plain = look(settings)
    prompts = dict(PromptCounter(settings, None).open_games(MID)[0])
    journal_of(settings, 24, prompt=lambda uid: round(1.5 * prompts[uid]))
    found = look(settings)
    assert "times 1.50 by 24 games of this judge" in page(found).replace("\n          ", " ")
    assert found.longest == pytest.approx(1.5 * plain.longest, rel=0.02)
