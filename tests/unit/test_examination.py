"""What the doctor finds in the embedded example and in small campaigns with known flaws."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from arena.campaign.validation import check_settings
from arena.costs.examination import examine, keep, kept
from arena.costs.examination_page import page, side_by_side
from arena.costs.open_prompts import Examiner
from arena.data import lengths
from arena.data.answers import read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.lengths import lengths_for
from arena.data.questions import read_questions
from arena.setup.load import load_settings
from arena.setup.prompt_check import prompt_differences
from arena.support.errors import DataError

from tests.synthetic import T0, iso, journal_line, life, write_batch, write_life


@pytest.fixture
def campaign(tmp_path, project, monkeypatch):
    """config: dict -> settings, in a folder of its own with the embedded example's data."""
    shutil.copytree(project / "examples", tmp_path / "examples")
    for path in (tmp_path / "examples").rglob("*.jsonl"):
        os.utime(path, (T0 - 100, T0 - 100))
    monkeypatch.chdir(tmp_path)
    given = yaml.safe_load((project / "config/config.yaml").read_text())

    def configured(judge=None, **changes):
        config = given | changes | {"judge": given["judge"] | (judge or {})}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        return load_settings(tmp_path / "config.yaml", [])

    return configured


def look(settings):
    return examine(settings, check_settings(settings), now=T0)


def journal_of(settings, model, games, unparsed=0):
    """A journal that holds the first games of a model, the first of these without a verdict."""
    params = GameSettings.from_dict(settings.judgment_params())
    questions = read_questions(settings.questions)
    base = {m: read_answers(settings.answer(m)).answers for m in settings.baseline_models}
    plan = plan_games(params, questions, read_answers(settings.answer(model)).answers, base)
    lines = []
    for game in plan[:games]:
        line = json.loads(journal_line(0, game.index)) | {"uid": game.uid, "digest": game.digest}
        if len(lines) < unparsed:
            line |= {"state": "unparsed", "label": None, "answer": "Both are fine."}
        lines.append(json.dumps(line) + "\n")
    path = settings.root / "games" / f"{model}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


def test_the_example(campaign):
    found = look(campaign())
    assert (found.models, found.games, found.played) == (4, 94, 0)
    assert (found.answers, found.empty, found.cut) == (47, 1, 0)
    assert found.forecast.jobs == 1
    assert 50_000 < found.forecast.prompt_tokens < 60_000
    assert found.forecast.shared_tokens > found.one_by_one > 0
    assert found.forecast.gpu_hours is None
    assert 500 < found.median < 600 < 700 < found.most < 800 < found.longest < 900
    assert max(len(line) for line in page(found).splitlines()) <= 80


def test_what_is_played_is_not_asked(campaign):
    settings = campaign()
    journal_of(settings, "mid-7b-chat", 10)
    found = look(settings)
    assert (found.games, found.played) == (84, 10)
    assert "84 games of 4 models; 10 more" in page(found)
    journal_of(settings, "mid-7b-chat", 24)
    found = look(settings)
    assert (found.models, found.games) == (3, 70)


def test_a_changed_prompt_asks_all_again(campaign, tmp_path):
    settings = campaign()
    journal_of(settings, "mid-7b-chat", 24)
    (tmp_path / "other.txt").write_text("Say which reply is better.")
    found = look(campaign(judge={"system_prompt": "other.txt"}))
    assert (found.games, found.played) == (94, 0)


def judged(settings, model, unparsed=0):
    """Its judgments, made in a run with these settings."""
    journal_of(settings, model, 24, unparsed)
    write_batch(settings.root, "r-01", [model], settings=settings.digest)
    file = settings.judgments_dir / f"{model}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    line = {"uid": "q", "model": model, "games": [{"state": "ok"}] * 2}
    file.write_text(json.dumps(line) + "\n")
    os.utime(file, (T0 + 100, T0 + 100))


def other_text(path, key):
    """Another text in the first line of a file that is newer than the judgments."""
    first, rest = Path(path).read_text().split("\n", 1)
    assert first.count(key) == 1
    Path(path).write_text(first.replace(key, f"{key}Well, ") + "\n" + rest)
    os.utime(path, (T0 + 200, T0 + 200))


@pytest.mark.parametrize(
    ("change", "games"),
    [
        (lambda s: None, 0),
        (lambda s: other_text(s.answer("mid-7b-chat"), '"answer": "'), 2),
        (lambda s: other_text(s.answer("llama-demo-8b"), '"answer": "'), 2),
        (lambda s: other_text(s.questions, '"prompt": "'), 2),
        (lambda s: os.utime(s.questions, (T0 + 200, T0 + 200)), 0),  # newer, and the same
        (lambda s: {"temperature": 0.5}, 24),
        (lambda s: {"ask_again": {"times": 1}}, 3),
    ],
    ids=["nothing", "answers", "baseline", "questions", "touched", "temperature", "ask again"],
)
@pytest.mark.parametrize("planned", [False, True])  # for these settings, and not judged since
def test_what_changed_since_the_judgments_is_to_play(campaign, change, games, planned):
    only = {"only": ["mid-7b-chat"]}
    settings = campaign(**only)
    judged(settings, "mid-7b-chat", unparsed=3)
    changed = campaign(judge=change(settings), **only)
    if planned:
        again = {"settings": changed.digest, "time": iso(T0 + 300)}
        write_batch(settings.root, "r-02", ["mid-7b-chat"], **again)
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


def test_judgments_of_other_settings_are_made_again(campaign):
    judged(campaign(), "mid-7b-chat")
    assert look(campaign()).games == 70
    found = look(campaign(judge={"temperature": 0.5}))
    assert (found.games, found.models, found.played) == (94, 4, 0)


def test_answers_of_what_is_judged_are_not_read(campaign, monkeypatch):
    judged(campaign(), "mid-7b-chat")
    read = []
    whole = Examiner.open_games
    monkeypatch.setattr(Examiner, "open_games", lambda self, m: read.append(m) or whole(self, m))
    look(campaign())
    assert "mid-7b-chat" not in read
    assert len(read) == 3


def test_equal_answers_are_asked_once(campaign):
    settings = campaign()
    shutil.copy(settings.answer("llama-demo-8b"), settings.answer("copy-of-baseline"))
    found = look(campaign())  # `models: all` finds the new file
    assert found.asked_once == 12  # both games of each question have one prompt
    assert found.games == 94 + 12


def test_prompts_against_the_context(campaign):
    longest = look(campaign(judge={"context": 10_000, "max_tokens": 100})).longest
    room = {"context": longest + 100, "max_tokens": 100}
    assert look(campaign(judge=room)).too_long == []
    found = look(campaign(judge=room | {"context": longest + 99}))
    assert {tokens for _, _, tokens in found.too_long} == {longest}
    text = page(found)
    assert "without a verdict" in text
    games = [uid for _, uid, _ in found.too_long]
    assert len(games) == 2 * len(set(games)) == 2 * text.count(", question ")
    assert look(campaign(judge={"context": None})).context is None


def test_prompts_near_the_limit_are_counted_whole(campaign, monkeypatch):
    """One text of each file is counted, the others go by their characters."""
    settings = campaign()
    examined = look(settings)
    monkeypatch.setattr(lengths, "SAMPLE", 1)
    assert look(settings).longest != examined.longest
    near = look(campaign(judge={"context": examined.longest + 500, "max_tokens": 500}))
    assert near.longest == examined.longest


def test_batches_follow_the_config(campaign):
    found = look(campaign(batch_size=3))
    assert found.forecast.jobs == 2
    assert found.forecast.shared_tokens < look(campaign(batch_size=10)).forecast.shared_tokens
    assert look(campaign(batch_size=1)).forecast.shared_tokens == found.one_by_one


def test_gpus_walltime_and_budget(campaign):
    judge = {"server": "vllm", "path": "/weights", "name": "j"}
    slow = {"start_minutes": 1, "minutes_per_model": 0.001}
    settings = campaign(judge=judge, walltime=slow, budget={"games": 47}, gpu_hour_cost=3)
    found = look(settings)
    assert any("GPUs of a job are taken to be 1" in note for note in found.notes)
    assert any("raise walltime.minutes_per_model" in note for note in found.notes)
    assert "budget.games of 47 covers 50% of what is to do" in found.notes
    one = found.forecast
    needed = (one.longest_s - 60) / 60 / 4  # minutes a model of the batch's four
    for minutes, raised in ((0.99 * needed, True), (1.01 * needed, False)):
        walltime = {"start_minutes": 1, "minutes_per_model": minutes}
        notes = look(campaign(judge=judge, walltime=walltime)).notes
        assert any("raise walltime" in note for note in notes) == raised
    limit = {"max_minutes": 0.99 * one.longest_s / 60}
    (note,) = [
        note for note in look(campaign(judge=judge, walltime=limit)).notes if "longest" in note
    ]
    assert note.endswith("it will ask for: lower batch_size")
    assert one.cost == pytest.approx(3 * one.gpu_hours)
    write_batch(settings.root, "r-01", ["x"], resources={"gpus": 4}, time=iso(T0))
    four = look(settings).forecast
    assert four.busy_s == pytest.approx(one.busy_s / 4)
    assert not any("taken to be" in note for note in look(settings).notes)


def test_nothing_to_play(campaign):
    settings = campaign(only=["mid-7b-chat"])
    journal_of(settings, "mid-7b-chat", 23)
    assert "1 game of 1 model;" in page(look(settings))
    journal_of(settings, "mid-7b-chat", 24)
    assert "nothing: every model has its judgments" in page(look(settings))


def test_prompts_of_a_checkout(campaign, tmp_path):
    """A checkout in the shape of Arena-Hard-Auto's, its texts our own."""
    checkout = tmp_path / "checkout"
    (checkout / "config").mkdir(parents=True)
    (checkout / "utils").mkdir()
    template = "{QUESTION}\n{ANSWER_A}\n{ANSWER_B}"
    entry = {
        "judge_model": "demo-judge",
        "bench_name": "arena-demo",
        "temperature": 0.0,
        "max_tokens": 16000,
        "prompt_template": template,
        "model_list": [],
    }
    (checkout / "config/arena-demo.yaml").write_text(yaml.safe_dump(entry))
    categories = {question.category for question in read_questions(campaign().questions)}
    judged = dict.fromkeys(  # noqa: RUF024 (never changed)
        categories, {"baseline": "llama-demo-8b", "system_prompt": "Judge.\nBe fair."}
    )
    (checkout / "utils/judge_utils.py").write_text(f"JUDGE_SETTINGS = {judged!r}\n")
    same = campaign(arena_hard_dir=str(checkout))
    assert prompt_differences(same) == [f"the judge prompt is that of {checkout}"]
    (tmp_path / "mine.txt").write_text("Judge.\nBe kind.\nBe brief.\n")
    mine = campaign(
        arena_hard_dir=str(checkout),
        judge={"system_prompt": "mine.txt", "temperature": 0.7},
        baseline="mid-7b-chat",
    )
    told = prompt_differences(mine)
    assert len(told) == 2 * len(categories) + 1
    assert told[-1] == "temperature: 0.7, in the checkout 0.0"
    assert any("1 lines of it changed or gone, 2 new; first: 'Be kind.'" in line for line in told)
    assert any("mid-7b-chat, in the checkout llama-demo-8b" in line for line in told)
    (own,) = prompt_differences(campaign())
    assert "not comparable with published ones" in own


def test_a_kept_forecast_is_plain_json(campaign):
    settings = campaign()
    keep(look(settings), settings.root, T0)
    path = settings.root / "forecast.json"
    told = json.loads(path.read_text())
    assert (told["time"], told["games"], told["forecast"]["jobs"]) == (T0, 94, 1)
    for model in ("grand-70b-chat", "mid-7b-chat", "tiny-1b-step1000", "tiny-1b-step8000"):
        journal_of(settings, model, 24)
    keep(look(settings), settings.root, T0 + 9)
    assert json.loads(path.read_text()) == told, "after the run nothing is forecast over it"


def test_a_run_is_compared_with_the_forecast_that_it_began_with(campaign):
    settings = campaign()
    root = settings.root

    def run(name, time):
        write_batch(root, name, ["mid-7b-chat"], time=iso(time))
        write_life(root, name, life(time - T0, None, None, time - T0 + 9))

    with pytest.raises(DataError, match="no forecast was made"):
        kept(root)
    found = look(settings)
    for when in (T0, T0 + 10):
        keep(found, root, when)
    with pytest.raises(DataError, match=r"no batch was begun since this forecast of \d\d "):
        kept(root)
    run("r-01", T0 + 20)
    assert kept(root)["time"] == T0 + 10
    for when in (T0 + 30, T0 + 40):  # looked again, and run no more
        keep(found, root, when)
    assert kept(root)["time"] == T0 + 10
    run("r-02", T0 + 50)
    assert kept(root)["time"] == T0 + 40


@pytest.mark.parametrize("text", ["", "[]", '{"games": 4}', '{"time": 5, "forecast": {"jobs": 1}}'])
def test_a_forecast_of_another_version_is_refused(campaign, text):
    root = campaign().root
    root.mkdir(parents=True)
    (root / "forecast.json").write_text(text)
    with pytest.raises(DataError, match=r"forecast\.json: no forecast of this version"):
        kept(root)


def test_a_closed_pipe_and_a_python_without_packages_end_in_a_line(campaign, project):
    campaign()
    script = str(project / "workflow/scripts/doctor.py")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, script, "--configfile", "config.yaml"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""
    for tool in ("doctor", "ledger", "monitor"):
        bare = [sys.executable, "-S", script.replace("doctor", tool)]
        done = subprocess.run(bare, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith(f"{tool}: No module named")
        assert "Use the Python that runs Snakemake" in done.stderr


def test_side_by_side():
    text = side_by_side([("games", 100, 94), ("cost", None, 2.5), ("hours", 2.0, 3.0)])
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["games", "100", "94", "0.94"],
        ["cost", "–", "2.50", "–"],
        ["hours", "2.00", "3.00", "1.50"],
    ]


def test_an_estimate_is_corrected_by_what_the_judge_counted(campaign):
    """The example's prompts, counted by a judge that finds half as many tokens again."""
    settings = campaign()
    plain = look(settings)
    journal_of(settings, "mid-7b-chat", 24)
    path = settings.root / "games" / "mid-7b-chat.jsonl"
    lengths = lengths_for(None)
    examiner = Examiner(settings, read_questions(settings.questions), lengths, None)
    path.rename(path.with_suffix(".away"))
    ours = {p.uid: [] for p in examiner.open_games("mid-7b-chat").prompts}
    for prompt in examiner.open_games("mid-7b-chat").prompts:
        ours[prompt.uid].append(prompt.tokens)
    lines = [json.loads(line) for line in path.with_suffix(".away").read_text().splitlines()]
    for line in lines:
        line["usage"]["prompt"] = round(1.5 * ours[line["uid"]][line["game"]])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = look(settings)
    assert "times 1.50 by 24 games of this judge" in page(found).replace("\n          ", " ")
    assert found.longest == pytest.approx(1.5 * plain.longest, rel=0.02)
