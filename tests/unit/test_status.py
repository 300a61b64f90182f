"""Where a campaign stands, and what is wrong with it, from files alone."""

import json
import os
import re
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from arena.batch.made import Made, read_input
from arena.campaign.problems import problems
from arena.campaign.status import Campaign, StatusReader
from arena.data.layout import Layout
from arena.journals.records import Stop, StopKind
from arena.support import slurm

from tests.synthetic import (
    T0,
    attempt,
    iso,
    journal_line,
    settings_of,
    write_attempt,
    write_batch,
    write_journal,
    write_status,
)


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """Four questions; nothing is known of Slurm."""
    monkeypatch.setattr(slurm, "squeue", lambda: (None, None))
    for folder in ("model_answer", "judgments", "root"):
        (tmp_path / folder).mkdir()
    write_lines(tmp_path / "question.jsonl", 4, -1000)
    return made(tmp_path, ("a", "b"))


@pytest.fixture
def root(campaign):
    return campaign.layout.root


@pytest.fixture
def queue(campaign, monkeypatch):
    """What squeue says."""
    queue = []
    monkeypatch.setattr(slurm, "squeue", lambda: (queue, None))
    return queue


def made(folder, models, baselines=("base",)):
    root, names = folder / "root", {name: name for name in baselines}
    settings = settings_of(folder, root=root, models=tuple(models), baselines=names)
    return Campaign(Layout(root), settings)


def of_models(campaign, models, baselines=()):
    """The campaign with other models, which all have answers."""
    campaign = made(campaign.layout.root.parent, models, baselines)
    for model in models:
        answer(campaign, model)
    return campaign


def answer(campaign, model, lines=4):
    write_lines(campaign.settings.answer(model), lines, -1000)


def judge(campaign, model):
    """Judgments of today's inputs."""
    settings = campaign.settings
    write_lines(settings.judgment(model), 4, 0)
    inputs = {role: read_input(path) for role, path in settings.roles(model).items()}
    size = Path(settings.judgment(model)).stat().st_size
    Made(settings.digest, inputs, size, "r").write(campaign.layout.made_record(model))


def write_lines(path, lines, at):
    Path(path).write_text("{}\n" * lines)
    os.utime(path, (T0 + at, T0 + at))


def played(campaign, model, games=8, end=T0, **keys):
    """The first games of a model, two a question, with one end."""
    lines = [journal_line(game // 2, game % 2, end, **keys) for game in range(games)]
    write_journal(campaign.layout.root, model, lines)
    return lines


def look(campaign, now=T0 + 100):
    status = StatusReader(campaign).read(now)
    return status, {row.model: row for row in status.rows}, [t.text for t in problems(status)]


def test_done_partial_missing(campaign, root):
    campaign = of_models(campaign, "abcd", ("base",))
    for model, lines in (("base", 4), ("d", 3)):
        answer(campaign, model, lines)
    campaign = made(root.parent, ("a", "b", "c", "d", "none"))
    whole = played(campaign, "a", 6)  # its baseline has no answer to the fourth question
    write_journal(root, "b", [*whole[:5], whole[5][:50]])
    judge(campaign, "a")
    status, rows, wrong = look(campaign)
    seen = {m: (r.answers.mark, r.mark, r.judged, r.played, r.games, r.at) for m, r in rows.items()}
    assert seen == {
        "a": ("done", "done", 3, 6, 6, "done"),
        "b": ("done", "partial", 2, 5, 8, "no job"),
        "c": ("done", "missing", 0, 0, 8, "no job"),
        "d": ("partial", "missing", 0, 0, 6, "no job"),
        "none": ("missing", "missing", 0, 0, None, "no answers"),
    }
    assert (status.totals["played"], status.totals["games"]) == (11, 28)
    (base,) = status.baselines
    assert (base.answered, base.questions, base.mark) == (4, 4, "done")
    assert len(wrong) == 1 and wrong[0].startswith("none: ")


@pytest.mark.parametrize("ready", [5, None])
def test_a_running_batch_counts_only_games_of_todays_answers(campaign, root, ready):
    """Two of eight games are of other answers: the journal alone does not tell."""
    answer(campaign, "a")
    write_batch(root, "r-01", ["a"], attempt(0, 1, ready, None), games={"a": 8})
    played(campaign, "a", end=T0 - 50)
    told = {"a": (8, {"ok": 5, "unparsed": 1}, None)}
    write_status(root, "r-01", T0 - 60, told)  # of an earlier attempt
    assert look(campaign)[1]["a"].played == 8
    write_status(root, "r-01", T0 + 6, told)
    row = look(campaign)[1]["a"]
    assert (row.played, row.games, row.judged) == (6, 8, 3)
    assert row.at == ("judging" if ready else "starting")


@pytest.mark.parametrize(("requests", "count"), [({}, 4), ({"requests": "q"}, 5)])
def test_games_of_other_requests_do_not_count(campaign, root, requests, count):
    """Other settings with the same requests, such as patterns, do."""
    answer(campaign, "a")
    write_batch(root, "r1-01", ["a"], settings="old", time=iso(T0), **requests)
    write_batch(root, "r2-01", ["a"], settings="new", time=iso(T0 + 50), **requests)
    lines = [
        journal_line(0, 0, T0 - 5),  # before all batches: taken to be of these
        journal_line(1, 0, T0 + 10),
        journal_line(2, 0, T0 + 60),
        journal_line(2, 1, T0 + 60),
        journal_line(3, 0, T0 + 10, attempts=0),  # taken over
    ]
    write_journal(root, "a", lines)
    assert look(campaign)[1]["a"].played == count


def test_requests_of_a_game_are_those_of_the_attempt_that_asked_it(campaign, root):
    """Two batches, each asked for again by a later run, which leaves one time of planning."""
    answer(campaign, "a")
    former = attempt(0, 1, 2, 40, run="r1")
    later = attempt(81, 82, 83, 99, run="r3", earlier=[former])
    write_batch(root, "0a", ["a"], later, settings="old", run="r3", time=iso(T0 + 80))
    newest = attempt(50, 51, 52, 70, run="r2")
    write_batch(root, "0b", ["a"], newest, settings="new", run="r4", time=iso(T0 + 100))
    times = (10, 20, 30, 60, 90)  # three of the old requests, one of the new, one of the old
    write_journal(root, "a", [journal_line(q, 0, T0 + t) for q, t in enumerate(times)])
    assert look(campaign)[1]["a"].played == 1
    write_batch(root, "0a", ["a"], settings="old", run="r5", time=iso(T0 + 110))
    assert look(campaign)[1]["a"].played == 4


def test_the_next_attempt_clears_why_a_model_was_given_up(campaign, root):
    write_batch(root, "r-01", ["a"], attempt(0, 1, 5, 60))
    write_status(root, "r-01", T0 + 60, {"a": (6, {"ok": 2}, ("open_games", "full disk"))})
    row = look(campaign)[1]["a"]
    assert (row.stop, row.games) == (Stop(StopKind.OPEN_GAMES, "full disk"), 6)
    write_attempt(root, "r-01", attempt(70, None, None, None, earlier=[attempt(0, 1, 5, 60)]))
    assert look(campaign)[1]["a"].stop is None


def test_the_validation_is_used(campaign):
    rows = [
        {"model": "a", "questions": 9, "answers": 5, "state": "incomplete", "reason": "4 missing"},
        {
            "model": "b",
            "questions": 9,
            "answers": 0,
            "state": "no_answers",
            "reason": "none of these",
        },
        {"model": "base", "questions": 9, "answers": 8, "state": "ready", "reason": ""},
    ]
    for model in ("a", "b", "base"):
        answer(campaign, model)
    campaign.layout.validation.write_text(json.dumps({"models": rows}))
    _, found, wrong = look(campaign)
    assert (found["a"].answers.mark, found["a"].games) == ("partial", 10)
    assert len(wrong) == 2 and "8 of 9" in wrong[0] and wrong[1] == "b: none of these"
    blocked = Campaign(campaign.layout, replace(campaign.settings, baseline_gaps="block"))
    grave = problems(StatusReader(blocked).read(T0))[0]
    assert grave.grave and grave.text.endswith("8 of 9 questions"), "and not that they are left out"


def test_the_validation_is_ignored_for_changed_files(campaign):
    """Answers that have come, gone or grown, and judgments of others that adopt moved away."""
    reasons = {"a": "no_answers", "b": "ready", "c": "ready", "d": "foreign_judgments"}
    rows = [
        {"model": model, "questions": 4, "answers": 3 * (model != "a"), "state": state}
        for model, state in reasons.items()
    ]
    campaign = made(campaign.layout.root.parent, reasons)
    campaign.layout.validation.write_text(json.dumps({"models": rows}))
    os.utime(campaign.layout.validation, (T0, T0))
    for model in "acd":
        answer(campaign, model)
    os.utime(campaign.settings.answer("c"), (T0 + 5, T0 + 5))
    write_lines(campaign.settings.judgment("d"), 4, 0)
    status, found, wrong = look(campaign)
    assert [row.answers.answered for row in found.values()] == [4, 0, 4, 3]
    assert status.totals["with_answers"] == 3 and any(text.startswith("d:") for text in wrong)
    Path(campaign.settings.judgment("d")).unlink()
    assert not any(text.startswith("d:") for text in look(campaign)[2])


def test_a_model_that_is_left_out_has_no_open_games(campaign, root):
    campaign = of_models(campaign, "abc")
    write_batch(root, "r-01", ["b", "c"], attempt(0, 1, 5, 90), games={"b": 8, "c": 8})
    played(campaign, "b", 6)
    played(campaign, "c", 8)
    broken = {"questions": 4, "answers": 4, "state": "broken"}
    rows = [{"model": model, "reason": f"{model}.jsonl:4: torn", **broken} for model in "abc"]
    campaign.layout.validation.write_text(json.dumps({"models": rows}))
    status, found, wrong = look(campaign)
    assert (status.totals["played"], status.totals["games"]) == (14, 14)
    assert {(row.at, row.done) for row in found.values()} == {("left out", False)}
    assert wrong == [f"{model}: {model}.jsonl:4: torn" for model in "abc"], "and none of the batch"


def test_many_models_without_answers_are_one_message(campaign):
    models = [f"m{number}" for number in range(9)]
    campaign = made(campaign.layout.root.parent, models, ())
    rows = [{"model": one, "state": "no_answers", "reason": f"no {one}.jsonl"} for one in models]
    campaign.layout.validation.write_text(json.dumps({"models": rows}))
    (wrong,) = look(campaign)[2]
    assert wrong.startswith("m0, m1, m2 and 6 more: ")


def test_a_failed_job_is_no_problem_once_its_models_are_judged(campaign, root):
    campaign = of_models(campaign, "a")
    failed = attempt(0, 1, None, 60, cause="no such path", kind="judge_start")
    write_batch(root, "r-01", ["a"], failed)
    status, _, wrong = look(campaign)
    assert ([job.state for job in status.jobs], len(wrong)) == (["failed"], 1)
    judge(campaign, "a")  # adopted, or played by a later run
    status, _, wrong = look(campaign)
    assert ([job.state for job in status.jobs], wrong) == (["ended"], [])


def test_other_results_folders_are_found(campaign):
    """A rehearsal and other judges: what runs may be there, and not where one looks."""
    results = campaign.layout.root.parent / "results"
    folders = {name: results / name for name in ("rehearsal/b/j", "b/other", "c/j", "b/answers")}
    for folder in folders.values():
        (folder / "batches").mkdir(parents=True)

    def beside(folder, settings):
        found = Campaign(Layout(folder), settings).beside()
        return {str(one.relative_to(results)) for one in found}

    assert beside(results / "b/j", campaign.settings) == {"rehearsal/b/j", "b/other", "c/j"}
    assert beside(folders["rehearsal/b/j"], campaign.settings) == {"b/other", "c/j"}
    assert beside(results / "b/j", None) == {"rehearsal/b/j", "b/other"}
    assert beside(Path("/results"), None) == set(), "of a container"


def test_speed_and_time_left(campaign, root):
    """A model that is done still counts for the speed of all."""
    campaign = of_models(campaign, "ab")
    write_batch(root, "r-01", ["a", "b"], attempt(0, 1, 5, None), games={"a": 1000, "b": 50})
    for model in "ab":
        lines = [journal_line(q, 0, T0 + 10 + q, seconds=1) for q in range(50)]
        write_journal(root, model, lines)
    judge(campaign, "b")
    status, rows, _ = look(campaign, T0 + 59)
    assert [row.at for row in rows.values()] == ["judging", "done"]
    assert (rows["a"].speed, rows["a"].left, rows["b"].speed) == pytest.approx((1, 950, 0))
    assert (status.totals["games_per_second"], status.totals["seconds_left"]) == (2, 475)
    write_attempt(root, "r-01", attempt(0, 1, 5, 58))
    status, rows, _ = look(campaign, T0 + 59)
    seen = rows["a"].speed, rows["a"].left, status.totals["seconds_left"]
    assert seen == (0, None, None)  # nothing runs


def job(ident, state, reason="None", batch=None):
    node = "n1" if state == "RUNNING" else ""
    return slurm.Job(ident, state, node, 60, 4800, reason, "", batch)


MINE = {"slurm_job_id": "1"}
FORMER = {"slurm_job_id": "0", "run": "q"}


@pytest.mark.parametrize(
    ("record", "queue", "state"),
    [
        (None, [], "planned"),
        (None, [job("1", "PENDING", "Priority", "r-01")], "queued"),
        (None, [job("1", "RUNNING", batch="r-01")], "idle"),
        (None, [job("10", "PENDING", batch="r-01"), job("9", "RUNNING", batch="r-01")], "queued"),
        (attempt(0, None, None, None, **MINE), [job("1", "RUNNING")], "idle"),
        (attempt(0, 5, None, None, **MINE), [job("1", "RUNNING")], "starting"),
        (attempt(0, 5, 9, None, **MINE), [job("1", "RUNNING")], "running"),
        (attempt(0, 5, 9, None, **MINE), [], "gone"),
        (attempt(0, 5, 9, None, **MINE), None, "running"),  # Slurm cannot be asked
        (attempt(0, 5, 9, 70, **MINE), [], "ended"),
        (attempt(0, 5, 9, None, **MINE), [job("10", "PENDING", batch="r-01")], "queued"),
        (attempt(0, 5, 9, 70, **FORMER), [], "planned"),
        (attempt(0, 5, 9, None, **FORMER), [], "planned"),
        (attempt(0, 5, 9, None, slurm_job_id="1", run="q"), [job("1", "RUNNING")], "running"),
    ],
)
def test_state_of_a_batch(campaign, root, monkeypatch, record, queue, state):
    monkeypatch.setattr(slurm, "squeue", lambda: (queue, None))
    write_batch(root, "r-01", ["a"], record)
    (row,) = StatusReader(campaign).read(T0 + 100).jobs
    assert row.state == state


def test_slurm_is_asked_rarely_and_at_once_about_a_new_job(campaign, root, monkeypatch):
    """A job that is younger than the last answer of squeue is not gone."""
    queue, asked = [job("1", "RUNNING")], []
    monkeypatch.setattr(slurm, "squeue", lambda: asked.append(None) or (list(queue), None))
    write_batch(root, "r-01", ["a"], attempt(0, 5, 9, None, slurm_job_id="1"))
    write_batch(root, "r-02", ["b"])
    reader = StatusReader(campaign)

    def look(second):
        states = [row.state for row in reader.read(T0 + second).jobs]
        return states, len(asked)

    assert look(0) == (["running", "planned"], 1)
    assert look(10) == (["running", "planned"], 1)
    queue.append(job("2", "RUNNING"))
    write_attempt(root, "r-02", attempt(0, 5, 9, None, slurm_job_id="2"))
    assert look(11) == (["running", "running"], 2)
    queue.clear()
    assert look(40) == (["running", "running"], 2)
    assert look(41) == (["gone", "gone"], 3)
    write_attempt(root, "r-01", attempt(0, 5, 9, 42, slurm_job_id="1", cause="walltime"))
    queue.append(job("3", "PENDING", batch="r-01"))
    assert look(42) == (["queued", "gone"], 4)
    assert look(47) == (["queued", "gone"], 4)


@pytest.mark.parametrize(
    ("word", "told"),
    [("NODE_FAIL", "NODE_FAIL"), ("TIMEOUT", "next run"), ("FAILED", "Slurm job 1 vanished")],
)
def test_slurm_is_asked_how_a_vanished_job_ended(campaign, root, monkeypatch, word, told):
    """The accounting may be behind: it is asked again until it knows, but not at every look."""
    asked, known = [], {}
    monkeypatch.setattr(slurm, "squeue", lambda: ([], None))
    monkeypatch.setattr(slurm, "ended", lambda ids: asked.append(list(ids)) or dict(known))
    for model, ident in (("a", "1"), ("b", "2")):
        write_batch(root, f"r-0{ident}", [model], attempt(0, 5, 9, None, slurm_job_id=ident))
    reader = StatusReader(campaign)

    def look(second):
        return [one.text for one in problems(reader.read(T0 + second)) if "r-01" in one.text]

    assert "Slurm job 1 vanished" in look(0)[0]
    known["1"] = [("PREEMPTED", T0 - 90, T0 - 50), (word, T0, T0 + 60)]
    assert "Slurm job 1 vanished" in look(20)[0]
    (text,) = look(31)
    assert told in text
    known["2"] = [(word, T0, T0 + 60)]
    look(62)
    look(93)
    assert asked == [["1", "2"], ["1", "2"], ["2"]]


@pytest.mark.parametrize(
    ("word", "kind"), [("TIMEOUT", "walltime"), ("FAILED", "killed"), (None, "killed")]
)
def test_slurm_says_why_a_batch_was_killed(campaign, root, monkeypatch, word, kind):
    """The keeper saw that it was, and no more; under cgroups Slurm's SIGTERM never reached it."""
    ended = {"1": [(word, T0, T0 + 60)]} if word else {}
    monkeypatch.setattr(slurm, "ended", lambda ids: ended if "1" in ids else {})
    killed = attempt(0, 5, 9, 60, slurm_job_id="1", kind="killed", cause="it was killed")
    write_batch(root, "r-01", ["a"], killed)
    (row,) = StatusReader(campaign).read(T0 + 61).jobs
    assert (row.state, row.stop.kind) == ("failed", kind)


def test_a_process_that_is_dead_is_gone(campaign, root):
    process = subprocess.Popen(["sleep", "600"])
    here = {"node": socket.gethostname(), "pid": process.pid}
    write_batch(root, "r-01", ["a"], attempt(0, 5, 9, None, **here))
    assert StatusReader(campaign).read(T0).jobs[0].state == "running"
    process.kill()
    process.wait()
    assert StatusReader(campaign).read(T0).jobs[0].state == "gone"


def test_each_fault_is_named_with_its_log(campaign, root, queue, monkeypatch):
    """One fault a batch, in words, and where to look."""
    campaign = of_models(campaign, "abcdefgh")
    attempts = {
        "a": attempt(0, 1, None, 60, cause="no such path", kind="judge_start", slurm_job_id="1"),
        "b": attempt(0, 1, 5, None, slurm_job_id="2"),  # gone: Slurm does not know it
        "c": attempt(0, 1, 5, None, slurm_job_id="3", restarts=[{"cause": "died of OOM"}]),
        "d": attempt(0, 1, None, None, slurm_job_id="4"),
        "e": attempt(0, 1, 5, 90, slurm_job_id="5", cause="its time ended", kind="walltime"),
        "f": attempt(0, 1, 5, 90, slurm_job_id="6"),
        "g": attempt(0, 1, 5, None, slurm_job_id="7"),
    }
    logs = {"journal": str(campaign.layout.journal("g")), "": ""}
    for number, (model, record) in enumerate(attempts.items(), 1):
        name = f"r-{number:02d}"
        logs[model] = f"logs/{name}/server.log"
        write_batch(root, name, [model], record | {"server_log": logs[model]})
        campaign.layout.log(name).touch()
        logs[model.upper()] = str(campaign.layout.log(name))
    write_batch(root, "r-08", ["h"])
    queue += [job(ident, "RUNNING") for ident in "347"]
    queue.append(job("8", "PENDING", "PartitionTimeLimit", "r-08"))
    monkeypatch.setattr(slurm, "ended", lambda _: {})
    write_status(root, "r-06", T0 + 90, {"f": (8, {}, ("journal", "disk full"))})
    write_status(root, "r-07", T0 + 600, {"g": (8, {"unparsed": 5}, None)}, remark="code 502")
    flaky = [journal_line(q, 0, T0 + 600, attempts=3, state="unparsed") for q in range(5)]
    write_journal(root, "g", [*flaky, "{not json\n"])
    found = problems(StatusReader(campaign).read(T0 + 700))
    expected = [
        (r"r-01 on n1: no such path", True, "a"),
        (r"r-02 on n1: its Slurm job 2 vanished", True, "b"),
        (r"r-03 on n1: .* 1 time.* died of OOM", False, "c"),
        (r"^c: .* 12 min", False, "C"),
        (r"r-04 on n1: .* 12 min", False, "d"),
        (r"r-05 on n1: its time ended; .*next run", True, "e"),
        (r"^f: disk full", True, "F"),
        (r"^g: 1 line ", False, "journal"),
        (r"^g: 100% .*\(5 unparsed\)", False, "journal"),
        (r"^g: 10 calls .* code 502", False, "G"),
        (r"r-08: its job 8 .*\(PartitionTimeLimit\)", True, ""),
    ]
    for pattern, grave, log in expected:
        (one,) = (one for one in found if re.search(pattern, one.text))
        assert (one.grave, one.where) == (grave, logs[log])
    assert len(found) == len(expected)
    assert [one.grave for one in found] == sorted((one.grave for one in found), reverse=True)


def test_the_cause_of_the_last_attempt_is_shown_during_the_next(campaign, root, queue):
    """And nothing else of it, from the moment at which a job waits for the next."""
    campaign = of_models(campaign, "a")
    write_batch(root, "r-01", ["a"])
    first = attempt(0, 5, 9, 70, cause="8 are open", kind="open_games", slurm_job_id="1", run="r")
    former = attempt(0, 5, 9, 70, cause="(NODE_FAIL)", kind="slurm", slurm_job_id="0", run="q")
    write_status(root, "r-01", T0 + 70, {"a": (8, {}, ("open_games", "8 are open"))})

    def seen(record, state="RUNNING"):
        queue[:] = [job("2", state, batch="r-01")]
        write_attempt(root, "r-01", record)
        status, _, wrong = look(campaign)
        return status.jobs[0].elapsed(T0 + 100), ["8 are open" in text for text in wrong]

    assert seen(first, "PENDING") == (None, [True])
    assert seen(first) == (60, [True])
    second = attempt(75, 80, None, None, slurm_job_id="2", run="r")
    assert seen(second | {"earlier": [former, first]}) == (25, [True])
    assert seen(second | {"earlier": [former]}) == (25, [])


def test_a_model_whose_games_are_finished_waits_for_its_batch_to_end(campaign, root):
    campaign = of_models(campaign, "ab")
    write_batch(root, "r-01", ["a", "b"], attempt(0, 1, 5, None), games={"a": 8, "b": 8})
    played(campaign, "a", end=T0 + 20)
    played(campaign, "b", 4, end=T0 + 690)
    assert look(campaign, T0 + 700)[2] == []
    write_attempt(root, "r-01", attempt(0, 1, 5, 700, cause="4 are open", kind="open_games"))
    assert [row.at for row in look(campaign, T0 + 700)[1].values()] == ["publishing", "failed"]


def test_answers_that_are_being_made_are_no_problem(campaign, root):
    """Until they are finished, and not published some time later."""
    stage = root.parent / "answers"
    making = SimpleNamespace(root=stage, writers={})
    campaign = Campaign(campaign.layout, replace(campaign.settings, models="a", answers=making))
    servings = [{"models": [model]} for model in ("base", "a")]
    write_batch(stage, "r-02", ["base", "a"], games={"base": 4, "a": 4}, servings=servings)
    states = {"a": "to_answer", "base": "baseline"}
    rows = [{"model": model, "answers": 0, "state": state} for model, state in states.items()]
    campaign.layout.validation.write_text(json.dumps({"models": rows}))

    def seen(now):
        status, rows, wrong = look(campaign, now)
        return rows["a"].at, status.baselines[0].answered, status.stage.rows[1].at, wrong

    assert seen(T0) == ("answering", 0, "planned", [])
    write_attempt(stage, "r-02", attempt(0, 1, 5, None))
    played(Campaign(Layout(stage)), "base", 3, T0 + 390)
    assert seen(T0 + 400) == ("answering", 3, "answering", []), "a waits for a server of its own"
    write_attempt(stage, "r-02", attempt(0, 1, 5, 450, cause="no GPU", kind="judge_start"))
    assert seen(T0 + 450)[:2] == ("no answers", 0), "nothing writes their files any more"
    assert "baseline base: answers to 0 of 4 questions" in "".join(seen(T0 + 450)[3])
    for model in ("base", "a"):
        write_journal(stage, model, [journal_line(q, 0, T0 + 400) for q in range(4)])
    write_attempt(stage, "r-02", attempt(0, 1, 5, 500))
    assert seen(T0 + 501) == ("answering", 4, "publishing", [])
    assert seen(T0 + 900)[3][0].startswith("base, a: all answers are in the journals, but")


def test_a_model_that_is_given_up_is_shown_at_once(campaign, root):
    for model in ("base", "a", "b"):
        answer(campaign, model)
    write_batch(root, "r-01", ["a", "b"], attempt(0, 1, 5, None))
    stop = ("open_games", "2 games do not go through")
    write_status(root, "r-01", T0 + 90, {"a": (8, {"ok": 6}, stop), "b": (8, {"ok": 2}, None)})
    assert look(campaign)[2] == ["a: 2 games do not go through"]


@pytest.mark.parametrize(("odd", "games", "told"), [(4, 10, 0), (5, 100, 0), (6, 100, 1)])
def test_a_few_games_without_a_verdict_are_no_problem(campaign, root, odd, games, told):
    states = ["unparsed"] * odd + ["ok"] * (games - odd)
    lines = [journal_line(q, 0, state=state) for q, state in enumerate(states)]
    write_journal(root, "a", lines)
    wrong = [text for text in look(campaign)[2] if "unparsed" in text]
    assert ["6%" in text for text in wrong] == [True] * told


def test_missing_verdicts_are_counted_by_batch_too(campaign, root):
    """Little in each of the models is much in their batch, and the judge is one."""
    campaign = of_models(campaign, "ab")
    write_batch(root, "r-01", ["a", "b"], attempt(0, 1, 5, 90), games={"a": 100, "b": 100})
    for model, unlucky in (("a", 6), ("b", 4)):
        lines = [journal_line(q, 0, T0 + 10) for q in range(unlucky, 100)]
        lines += [journal_line(q, 0, T0 + 10, attempts=3, state="unparsed") for q in range(unlucky)]
        write_journal(root, model, lines)
        judge(campaign, model)
    _, rows, told = look(campaign)
    assert {row.mark for row in rows.values()} == {"done"}
    assert any(text.startswith("a, b: 20 calls") for text in told)
    assert any(re.match(r"a: 6% .*\(6 unparsed\)", text) for text in told)  # 10 of 200: no more


@pytest.mark.parametrize(
    ("reason", "grave"),
    [
        *(("JobHeldUser", [True]), ("AssocGrpGRESMinutes", [True])),
        *(("AssocGrpCPUMinutesLimit", [True]), ("AssocGrpGRESRunMinutes", [False])),
        *(("AssocGrpGRES", [False]), ("ReqNodeNotAvail, UnavailableNodes:n1", [False])),
        *(("PartitionDown", [False]), ("Priority", []), ("Resources", [])),
    ],
)
def test_pending_reasons_that_clear_by_themselves_warn(campaign, root, queue, reason, grave):
    queue.append(job("1", "PENDING", reason, "r-01"))
    write_batch(root, "r-01", ["a"])
    told = problems(StatusReader(Campaign(campaign.layout)).read(T0))
    assert [one.grave for one in told] == grave


@pytest.mark.parametrize(
    ("cause", "said", "told"),
    [
        # What the batch says of its models they say better.
        (("open_games", "of 1 model"), ("open_games", "8 are open"), ["a: 8 are open"]),
        # What ends a batch is told once, whatever its models say of it.
        (("judge_died", "it died"), ("judge_died", "the judge died"), ["r-01 on n1: it died"]),
        (("error", "our fault"), None, ["r-01 on n1: our fault"]),
        # Two causes are two lines.
        (("judge_died", "it died"), ("held", "by 7"), ["r-01 on n1: it died", "a: by 7"]),
        (None, ("open_games", "it refused"), ["a: it refused"]),
        (None, None, ["r-01 on n1: "]),
    ],
)
def test_each_cause_is_shown_once(campaign, root, cause, said, told):
    campaign = of_models(campaign, "a")
    keys = {"kind": cause[0], "cause": cause[1]} if cause else {}
    write_batch(root, "r-01", ["a"], attempt(0, 1, 5, 90, **keys))
    if said:
        write_status(root, "r-01", T0 + 90, {"a": (8, {}, said)})
    for text, beginning in zip(look(campaign)[2], told, strict=True):
        assert text.removeprefix("batch ").startswith(beginning)


def test_a_results_folder_alone_is_enough(tmp_path):
    write_batch(tmp_path, "r-01", ["a", "b"], games={"a": 2, "b": 2})
    write_journal(tmp_path, "a", [journal_line(1, 0), journal_line(1, 1)])
    write_journal(tmp_path, "z", [journal_line(1, 0)])
    status, rows, wrong = look(Campaign(Layout(tmp_path)))
    marks = {model: row.mark for model, row in rows.items()}
    assert marks == {"a": "done", "b": "missing", "z": "partial"}
    assert (wrong, status.baselines) == ([], [])


def test_problems_of_the_answers_stage_name_answers_and_servers(tmp_path):
    root = tmp_path / "answers"
    restarted = attempt(0, 1, 5, None, restarts=[{"cause": "it died"}])
    write_batch(root, "r-01", ["a"], restarted, games={"a": 9})
    write_batch(root, "r-02", ["b"], attempt(0, 1, 5, 90), games={"b": 9})
    write_journal(root, "a", [journal_line(q, 0, attempts=3, state="unparsed") for q in range(5)])
    wrong = look(Campaign(Layout(root)), T0 + 9000)[2]
    assert len(wrong) == 5 and "no answer " in "".join(wrong)
    assert not re.search("judge|game|batch", "".join(wrong))


@pytest.mark.parametrize(
    ("record", "others", "asked"),
    [
        (attempt(0, 5, 9, None), None, False),  # of this machine
        (attempt(0, 5, 9, 70, slurm_job_id="1"), None, False),  # all have ended
        (attempt(0, 5, 9, None, slurm_job_id="1"), None, True),
        (attempt(0, 5, 9, 70, slurm_job_id="1", cause="it died"), None, True),  # a retry may wait
        (None, None, True),  # it may wait
        (None, attempt(0, 5, 9, 70), False),  # for its turn on this machine
    ],
)
def test_slurm_is_asked_only_of_jobs_that_it_may_have(
    campaign, root, monkeypatch, record, others, asked
):
    monkeypatch.setattr(slurm, "squeue", lambda: (None, "squeue: no answer"))
    campaign = Campaign(campaign.layout)
    write_batch(root, "r-01", ["a"], record)
    if others:
        write_batch(root, "r-02", ["a"], others)
    assert any("squeue: no answer" in text for text in look(campaign)[2]) == asked


def test_a_replay_of_complete_journals_is_no_job(campaign, root, monkeypatch):
    """It hides neither the batch that had the games nor the run that played them."""
    monkeypatch.setattr(slurm, "squeue", lambda: pytest.fail("asked"))
    answer(campaign, "a")
    write_batch(root, "0a1b2c3d", ["a"], attempt(0, 5, 9, 70, run="r1", slurm_job_id="1"), run="r1")
    write_batch(root, "replay-4e5f6a7b", ["a"], run="r2", time=iso(T0 + 80))
    status, rows, _ = look(campaign)
    assert [rows["a"].batch, *(job.batch.name for job in status.jobs)] == ["0a1b2c3d"] * 2
