"""Where a campaign stands, and what is wrong with it, from files alone."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from arena.campaign.campaign import Campaign
from arena.campaign.problems import problems
from arena.campaign.status import StatusReader
from arena.data.layout import Layout
from arena.journals.records import RunStop, Stop, StopKind
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


def judge(campaign, model, lines=4, at=10**9):
    """at: seconds after T0."""
    write_lines(campaign.settings.judgment(model), lines, at)


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
    whole = played(campaign, "a")
    write_journal(root, "b", [*whole[:5], whole[5][:50]])
    judge(campaign, "a")
    status, rows, wrong = look(campaign)
    seen = {m: (r.answers.mark, r.mark, r.judged, r.played, r.games, r.at) for m, r in rows.items()}
    assert seen == {
        "a": ("done", "done", 4, 8, 8, "done"),
        "b": ("done", "partial", 2, 5, 8, "no job"),
        "c": ("done", "missing", 0, 0, 8, "no job"),
        "d": ("partial", "missing", 0, 0, 6, "no job"),
        "none": ("missing", "missing", 0, 0, None, "no answers"),
    }
    assert (status.played, status.games) == (13, 30)
    (base,) = status.baselines
    assert (base.answered, base.questions, base.mark) == (4, 4, "done")
    assert len(wrong) == 1 and wrong[0].startswith("none: ")


def test_judged_elsewhere_counts_lines(campaign):
    answer(campaign, "a")
    judge(campaign, "a", 3)
    row = look(campaign)[1]["a"]
    assert (row.mark, row.judged, row.played) == ("done", 3, 6)


def test_judgments_that_are_older_than_answers_or_plan_are_not_done(campaign, root):
    answer(campaign, "base")
    answer(campaign, "a")
    played(campaign, "a")
    judge(campaign, "a", at=-2000)
    assert look(campaign)[1]["a"].mark == "partial"
    judge(campaign, "a", at=10)
    settings = campaign.settings.digest
    write_batch(root, "r1-01", ["a"], settings=settings, time=iso(T0))
    assert look(campaign)[1]["a"].mark == "done"
    write_batch(root, "r2-01", ["a"], settings="new", time=iso(T0 + 50))
    row = look(campaign)[1]["a"]
    assert (row.mark, row.at, row.played) == ("missing", "planned", 0)


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
    """Without the digest of requests, that of all settings tells; other patterns ask the same."""
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
    write_batch(root, "r3-01", ["a"], settings="old", time=iso(T0 + 70), **requests)  # and back
    assert look(campaign)[1]["a"].played == (5 if requests else 3)


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
        {"model": "b", "questions": 9, "answers": 0, "state": "no_answers", "reason": "no file"},
        {"model": "base", "questions": 9, "answers": 8, "state": "ready", "reason": ""},
    ]
    campaign.layout.validation.write_text(json.dumps({"models": rows}))
    answer(campaign, "a")
    answer(campaign, "base")
    _, found, wrong = look(campaign)
    assert (found["a"].answers.mark, found["a"].games) == ("partial", 10)
    assert len(wrong) == 2 and "8 of 9" in wrong[0] and wrong[1] == "b: no file"


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
    judge(campaign, "d")
    status, found, wrong = look(campaign)
    assert [row.answers.answered for row in found.values()] == [4, 0, 4, 3]
    assert (status.with_answers, any(text.startswith("d:") for text in wrong)) == (3, True)
    Path(campaign.settings.judgment("d")).unlink()
    assert not any(text.startswith("d:") for text in look(campaign)[2])


def test_a_model_that_is_left_out_has_no_open_games(campaign, root):
    campaign = of_models(campaign, "abc")
    write_batch(root, "r-01", ["b", "c"], attempt(0, 1, 5, 90), games={"b": 8, "c": 8})
    played(campaign, "b", 6)
    played(campaign, "c", 8)
    for model in "bc":
        judge(campaign, model, at=-2000)  # older than the answers
    broken = {"questions": 4, "answers": 4, "state": "broken"}
    rows = [{"model": model, "reason": f"{model}.jsonl:4: torn", **broken} for model in "abc"]
    campaign.layout.validation.write_text(json.dumps({"models": rows}))
    status, found, wrong = look(campaign)
    assert (status.played, status.games) == (14, 14)
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
    write_batch(root, "r-01", ["a"], failed, settings=campaign.settings.digest)
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


def test_speed_and_time_left(campaign, root):
    answer(campaign, "a")
    write_batch(root, "r-01", ["a"], attempt(0, 1, 5, None), games={"a": 1000})
    lines = [journal_line(q, 0, T0 + 10 + q, seconds=1) for q in range(50)]
    write_journal(root, "a", lines)
    status, rows, _ = look(campaign, T0 + 59)
    assert rows["a"].at == "judging"
    assert (rows["a"].speed, rows["a"].left, status.left) == pytest.approx((1, 950, 950))
    write_attempt(root, "r-01", attempt(0, 1, 5, 58))
    status, rows, _ = look(campaign, T0 + 59)
    assert (rows["a"].speed, rows["a"].left, status.left) == (0, None, None)  # nothing runs


def test_a_model_that_is_done_still_counts_for_the_speed_of_all(campaign, root):
    keys = {"games": {"a": 50, "b": 100}, "settings": campaign.settings.digest}
    write_batch(root, "r-01", ["a", "b"], attempt(0, 1, 5, None), **keys)
    for model in campaign.settings.models:
        answer(campaign, model)
        lines = [journal_line(q, 0, T0 + 10 + q) for q in range(50)]
        write_journal(root, model, lines)
    before, _, _ = look(campaign, T0 + 59)
    judge(campaign, "a", 25, at=59)
    after, rows, _ = look(campaign, T0 + 59)
    assert (rows["a"].at, rows["a"].speed) == ("done", 0)
    assert after.speed == before.speed == pytest.approx(100 / 51)


def job(ident, state, reason="None", batch=None):
    node = "n1" if state == "RUNNING" else ""
    return slurm.Job(ident, state, node, 60, 4800, reason, "", batch)


OLD = {"slurm_job_id": "0", "cause": "walltime"}
MINE = {"slurm_job_id": "1"}
FORMER = {"slurm_job_id": "0", "run": "q"}


@pytest.mark.parametrize(
    ("record", "queue", "state"),
    [
        (None, [], "planned"),
        (None, [job("1", "PENDING", "Priority", "r-01")], "queued"),
        (None, [job("1", "RUNNING", batch="r-01")], "idle"),
        (attempt(0, None, None, None, **MINE), [job("1", "RUNNING")], "idle"),
        (attempt(0, 5, None, None, **MINE), [job("1", "RUNNING")], "starting"),
        (attempt(0, 5, 9, None, **MINE), [job("1", "RUNNING")], "running"),
        (attempt(0, 5, 9, None, **MINE), [], "gone"),
        (attempt(0, 5, 9, None, **MINE), None, "running"),  # Slurm cannot be asked
        (attempt(0, 5, 9, 70, **MINE), [], "ended"),
        (attempt(0, 5, 9, 70, cause="walltime", **MINE), [], "failed"),
        (attempt(0, 5, 9, 70, **OLD), [job("1", "PENDING", batch="r-01")], "queued"),
        (attempt(0, 5, 9, 70, **OLD), [job("1", "RUNNING", batch="r-01")], "idle"),
        (attempt(0, 5, 9, None, **MINE), [job("10", "PENDING", batch="r-01")], "queued"),
        (attempt(0, 5, 9, 70, **FORMER), [], "planned"),
        (attempt(0, 5, 9, None, **FORMER), [], "planned"),
        (attempt(0, 5, 9, 70, cause="walltime", **FORMER), [], "planned"),
        (attempt(0, 5, 9, None, slurm_job_id="1", run="q"), [job("1", "RUNNING")], "running"),
    ],
)
def test_state_of_a_batch(campaign, root, monkeypatch, record, queue, state):
    monkeypatch.setattr(slurm, "squeue", lambda: (queue, None))
    write_batch(root, "r-01", ["a"], record)
    (row,) = StatusReader(campaign).read(T0 + 100).jobs
    assert row.state == state


def test_of_two_jobs_of_a_batch_the_newer_is_shown(campaign, root, queue):
    queue += [job("10", "PENDING", batch="r-01"), job("9", "COMPLETING", batch="r-01")]
    write_batch(root, "r-01", ["a"])
    (row,) = StatusReader(campaign).read(T0 + 100).jobs
    assert (row.job_id, row.state) == ("10", "queued")


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


def test_unpublished_judgments_are_a_problem_only_some_time_after_the_job(campaign, root):
    answer(campaign, "a")
    played(campaign, "a", end=T0 + 40)
    write_batch(root, "r-01", ["a"], attempt(0, 5, 9, 42))
    _, rows, wrong = look(campaign, T0 + 100)
    assert rows["a"].at == "publishing" and not any(text.startswith("a: ") for text in wrong)
    assert any(text.startswith("a: ") for text in look(campaign, T0 + 400)[2])


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
    process = subprocess.Popen(["sleep", "60"])
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
    """Else Slurm's words are on the screen for the seconds between two attempts only."""
    queue.append(job("2", "PENDING", batch="r-01"))
    write_batch(root, "r-01", ["a"])
    first = attempt(0, 5, 9, 70, cause="(TIMEOUT)", kind="walltime", slurm_job_id="1", run="r")
    former = attempt(0, 5, 9, 70, cause="(NODE_FAIL)", kind="slurm", slurm_job_id="0", run="q")

    def told(record):
        write_attempt(root, "r-01", record)
        told = [one.text for one in problems(StatusReader(campaign).read(T0 + 100))]
        return ["(TIMEOUT)" in text for text in told if "r-01" in text]

    second = attempt(75, 80, None, None, slurm_job_id="2", run="r")
    assert told(first) == [True]
    queue[:] = [job("2", "RUNNING")]
    assert told(second | {"earlier": [former, first]}) == [True]
    assert told(second | {"earlier": [former]}) == []


def test_a_model_that_is_given_up_is_shown_at_once(campaign, root):
    for model in ("base", "a", "b"):
        answer(campaign, model)
    write_batch(root, "r-01", ["a", "b"], attempt(0, 1, 5, None))
    stop = ("open_games", "2 games do not go through")
    write_status(root, "r-01", T0 + 90, {"a": (8, {"ok": 6}, stop), "b": (8, {"ok": 2}, None)})
    assert look(campaign)[2] == ["a: 2 games do not go through"]
    (quiet,) = look(campaign, T0 + 400)[2][1:]
    assert re.match("b: .* 7 min", quiet)


@pytest.mark.parametrize(("odd", "games", "told"), [(4, 10, 0), (5, 100, 0), (6, 100, 1)])
def test_a_few_games_without_a_verdict_are_no_problem(campaign, root, odd, games, told):
    states = ["unparsed"] * odd + ["ok"] * (games - odd)
    lines = [journal_line(q, 0, state=state) for q, state in enumerate(states)]
    write_journal(root, "a", lines)
    wrong = [text for text in look(campaign)[2] if "unparsed" in text]
    assert ["6%" in text for text in wrong] == [True] * told


def test_missing_verdicts_are_counted_by_batch_too(campaign, root):
    """Little in each of the models is much in their batch, and the judge is one."""
    keys = {"games": {"a": 100, "b": 100}, "settings": campaign.settings.digest}
    write_batch(root, "r-01", ["a", "b"], attempt(0, 1, 5, 90), **keys)
    for model, unlucky in (("a", 6), ("b", 4)):
        lines = [journal_line(q, 0, T0 + 10) for q in range(unlucky, 100)]
        lines += [journal_line(q, 0, T0 + 10, attempts=3, state="unparsed") for q in range(unlucky)]
        write_journal(root, model, lines)
        judge(campaign, model, at=90)
    _, rows, told = look(campaign)
    assert {row.mark for row in rows.values()} == {"done"}
    assert any(text.startswith("a, b: 20 calls") for text in told)
    assert any(re.match(r"a: 6% .*\(6 unparsed\)", text) for text in told)  # 10 of 200: no more


@pytest.mark.parametrize("known", ["run", "batch", "model"])
def test_a_used_up_budget_is_shown_once_with_the_open_games(campaign, root, known):
    campaign = of_models(campaign, "abc")
    spent = "used up: 8 games"
    for number, model in enumerate(campaign.settings.models, 1):
        write_batch(root, f"r-{number:02d}", [model], games={model: 8})
    for number, model in enumerate("ab", 1):
        stop = {"cause": spent, "kind": "budget"} if known == "batch" else {}
        write_attempt(root, f"r-{number:02d}", attempt(0, 1, 5, 80, **stop))
        write_status(root, f"r-{number:02d}", T0 + 80, {model: (8, {}, ("budget", spent))})
    if known == "run":
        stop = RunStop(Stop(StopKind.BUDGET, spent), "r-01", "n1", None)
        stop.write(campaign.layout.run_stop("r"))
    write_journal(root, "a", [journal_line(q, 0) for q in range(3)])
    (text,) = look(campaign)[2]
    assert re.match(f"{spent}.* 21 games of 3 models", text)


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
        (("journal", "of 1 model"), ("journal", "full disk"), ["a: full disk"]),
        # What ends a batch is told once, whatever its models say of it.
        (("judge_died", "it died"), ("judge_died", "the judge died"), ["r-01 on n1: it died"]),
        (("error", "our fault"), None, ["r-01 on n1: our fault"]),
        # Two causes are two lines.
        (("judge_died", "it died"), ("held", "by 7"), ["r-01 on n1: it died", "a: by 7"]),
        (None, ("open_games", "it refused"), ["a: it refused"]),
        (None, None, ["r-01 on n1: "]),
        ((None, "it was killed"), None, ["r-01 on n1: it was killed"]),  # of the first version
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
