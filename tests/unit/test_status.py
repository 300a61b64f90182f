"""Where a campaign stands, and what is wrong with it, from files alone."""

import json
import os

import pytest
from arena.campaign import jobs
from arena.campaign.status import Surveyor
from arena.campaign.problems import troubles
from arena.data.layout import Places
from arena.support import slurm

from tests.synthetic import T0, iso, journal_line, life, write_batch, write_journal, write_life


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Four questions; nothing is known of Slurm."""
    monkeypatch.setattr(slurm, "squeue", lambda: (None, None))
    for folder in ("answers", "judgments", "root"):
        (tmp_path / folder).mkdir()
    (tmp_path / "questions.jsonl").write_text("{}\n" * 4)
    return Places(
        root=tmp_path / "root",
        workdir=tmp_path,
        models=("a", "b"),
        baselines=("base",),
        questions=tmp_path / "questions.jsonl",
        answers_dir=tmp_path / "answers",
        judgments_dir=tmp_path / "judgments",
    )


def answer(places, model, lines=4):
    path = places.answers_dir / f"{model}.jsonl"
    path.write_text("{}\n" * lines)
    os.utime(path, (T0 - 1000, T0 - 1000))


def look(places, now=T0 + 100):
    survey = Surveyor(places).survey(now)
    return survey, {row.model: row for row in survey.rows}, [t.text for t in troubles(survey)]


def test_done_partial_missing(places):
    for model in ("base", "a", "b", "c"):
        answer(places, model)
    answer(places, "d", lines=3)
    places = Places(**{**vars(places), "models": ("a", "b", "c", "d", "none")})
    whole = [journal_line(q, g) for q in range(4) for g in (0, 1)]
    write_journal(places.root, "a", whole)
    write_journal(places.root, "b", [*whole[:5], whole[5][:50]])
    (places.judgments_dir / "a.jsonl").write_text("{}\n" * 4)
    survey, rows, wrong = look(places)
    seen = {m: (r.answers.mark, r.mark, r.judged, r.played, r.games, r.at) for m, r in rows.items()}
    assert seen == {
        "a": ("done", "done", 4, 8, 8, "done"),
        "b": ("done", "partial", 2, 5, 8, "no job"),
        "c": ("done", "missing", 0, 0, 8, "no job"),
        "d": ("partial", "missing", 0, 0, 6, "no job"),
        "none": ("missing", "missing", 0, 0, None, "no answers"),
    }
    assert (survey.played, survey.games) == (13, 30)
    (base,) = survey.baselines
    assert (base.answered, base.questions, base.mark) == (4, 4, "done")
    assert wrong == ["none: no answers"]


def test_judged_elsewhere_counts_lines(places):
    answer(places, "base")
    answer(places, "a")
    (places.judgments_dir / "a.jsonl").write_text("{}\n" * 3)
    _, rows, _ = look(places)
    assert (rows["a"].mark, rows["a"].judged, rows["a"].played) == ("done", 3, 6)


def test_answers_newer_than_the_judgments_are_judged_again(places):
    answer(places, "base")
    answer(places, "a")
    write_journal(places.root, "a", [journal_line(0, 0), journal_line(0, 1)])
    judgment = places.judgments_dir / "a.jsonl"
    judgment.write_text("{}\n")
    assert look(places)[1]["a"].mark == "done"
    os.utime(judgment, (T0 - 2000, T0 - 2000))
    assert look(places)[1]["a"].mark == "partial"


def test_judgments_that_are_planned_anew_are_not_done(places):
    answer(places, "a")
    write_journal(places.root, "a", [journal_line(q, g) for q in range(4) for g in (0, 1)])
    judgment = places.judgments_dir / "a.jsonl"
    judgment.write_text("{}\n" * 4)
    os.utime(judgment, (T0 + 10, T0 + 10))
    write_batch(places.root, "r1-01", ["a"], time=iso(T0))
    assert look(places)[1]["a"].mark == "done"
    write_batch(places.root, "r2-01", ["a"], settings="new", time=iso(T0 + 50))
    row = look(places)[1]["a"]
    assert (row.mark, row.at, row.played) == ("missing", "planned", 0)


def test_while_it_plays_a_client_tells_which_games_are_of_todays_answers(places):
    """Two of eight games are of other answers: the journal alone does not tell."""
    answer(places, "a")
    write_batch(places.root, "r-01", ["a"], games={"a": 8})
    write_life(places.root, "r-01", life(0, 1, 5, None))
    log = places.root / "logs" / "gen_judgment" / "a.log"
    log.parent.mkdir(parents=True)
    old = [journal_line(q, g, T0 - 50) for q in range(4) for g in (0, 1)]
    write_journal(places.root, "a", old)
    log.write_text(f"{iso(T0 - 60)} a: 8/8 games (ok 8), from the journal\n")  # of an earlier run
    assert look(places)[1]["a"].played == 8
    log.write_text(f"{iso(T0 + 6)} a: 6/8 games (ok 5, unparsed 1), from the journal\n")
    row = look(places)[1]["a"]
    assert (row.played, row.games, row.judged, row.at) == (6, 8, 3, "judging")
    again = journal_line(3, 0, T0 + 9, state="too_long").replace("0" * 9, "1" * 9)
    write_journal(places.root, "a", [*old, again, journal_line(0, 0, T0 + 9, attempts=2)])
    row = look(places)[1]["a"]
    assert (row.played, row.states) == (7, {"ok": 5, "unparsed": 1, "too_long": 1})


def test_other_patterns_leave_games_what_they_are(places):
    """Only what is asked of the judge makes other games."""
    answer(places, "a")
    write_batch(places.root, "r1-01", ["a"], settings="old", requests="q", time=iso(T0))
    write_batch(places.root, "r2-01", ["a"], settings="new", requests="q", time=iso(T0 + 50))
    write_journal(places.root, "a", [journal_line(1, 0, T0 + 10)])
    assert look(places)[1]["a"].played == 1


def test_games_of_other_settings_do_not_count(places):
    answer(places, "a")
    write_batch(places.root, "r1-01", ["a"], settings="old", time=iso(T0))
    write_batch(places.root, "r2-01", ["a"], settings="new", time=iso(T0 + 50))
    lines = [
        journal_line(0, 0, T0 - 5),  # before all batches: taken to be of these
        journal_line(1, 0, T0 + 10),
        journal_line(2, 0, T0 + 60),
        journal_line(2, 1, T0 + 60),
        journal_line(3, 0, T0 + 10, attempts=0),  # taken over
    ]
    write_journal(places.root, "a", lines)
    assert look(places)[1]["a"].played == 4
    write_batch(places.root, "r3-01", ["a"], settings="old", time=iso(T0 + 70))  # and back
    assert look(places)[1]["a"].played == 3
    write_batch(places.root, "r2-01", ["a"], settings="old", time=iso(T0 + 50))
    assert look(places)[1]["a"].played == 5


def test_the_client_says_how_many_games_it_has(places):
    answer(places, "a")
    log = places.root / "logs" / "gen_judgment" / "a.log"
    log.parent.mkdir(parents=True)
    log.write_text("2026-09-21T14:13:20+00:00 a: 2/6 games (ok 2), 1.0 games/s\n")
    assert look(places)[1]["a"].games == 6  # the baseline lacks an answer
    write_batch(places.root, "r-01", ["a"], games={"a": 7})
    assert look(places)[1]["a"].games == 7


def test_why_a_client_stopped_is_past_when_another_attempt_begins(places):
    log = places.root / "logs" / "gen_judgment" / "a.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        f"{iso(T0)} a: left: 2/6 games (ok 2); 9 calls\n{iso(T0)} a: stopped: full disk\n"
    )
    assert look(places)[1]["a"].stopped == "full disk"
    with log.open("a") as file:
        file.write(f"{iso(T0 + 9)} a: waiting: process 17 on n1 is playing these games\n")
    row = look(places)[1]["a"]
    assert (row.stopped, row.remark[:7]) == (None, "waiting")


def test_validation_is_believed(places):
    rows = [
        {"model": "a", "questions": 9, "answers": 5, "state": "incomplete", "reason": "4 missing"},
        {"model": "b", "questions": 9, "answers": 0, "state": "no_answers", "reason": "no file"},
        {"model": "base", "questions": 9, "answers": 8, "state": "ready", "reason": ""},
    ]
    (places.root / "validation.json").write_text(json.dumps(rows))
    _, found, wrong = look(places)
    assert (found["a"].answers.mark, found["a"].games) == ("partial", 10)
    assert wrong == [
        "baseline base: 8 of 9 answers; questions without one are left out for all",
        "b: no file",
    ]


def test_speed_and_time_left(places):
    answer(places, "a")
    write_batch(places.root, "r-01", ["a"], games={"a": 1000})
    write_life(places.root, "r-01", life(0, 1, 5, None))
    lines = [journal_line(q, 0, T0 + 10 + q, seconds=1) for q in range(50)]
    write_journal(places.root, "a", lines)
    survey, rows, _ = look(places, T0 + 59)
    assert rows["a"].speed == pytest.approx(1.0)
    assert rows["a"].left == pytest.approx(950)
    assert survey.left == pytest.approx(950)
    assert rows["a"].at == "judging"
    write_life(places.root, "r-01", life(0, 1, 5, 58))
    survey, rows, _ = look(places, T0 + 59)
    assert (rows["a"].speed, rows["a"].left, survey.left) == (0, None, None)  # nothing runs


def test_a_model_that_is_done_still_counts_for_the_speed_of_all(places):
    for model in places.models:
        answer(places, model)
    write_batch(places.root, "r-01", ["a", "b"], games={"a": 50, "b": 100})
    write_life(places.root, "r-01", life(0, 1, 5, None))
    for model in places.models:
        write_journal(places.root, model, [journal_line(q, 0, T0 + 10 + q) for q in range(50)])
    before, _, _ = look(places, T0 + 59)
    judgment = places.judgments_dir / "a.jsonl"
    judgment.write_text("{}\n" * 25)
    os.utime(judgment, (T0 + 59, T0 + 59))
    after, rows, _ = look(places, T0 + 59)
    assert (rows["a"].at, rows["a"].speed) == ("done", 0)
    assert after.speed == before.speed == pytest.approx(100 / 51)


def job(ident, state, reason="None"):
    return slurm.Job(ident, state, "n1" if state == "RUNNING" else "", 60, 4800, reason, "", "uuid")


@pytest.mark.parametrize(
    ("record", "queue", "state"),
    [
        (None, [], "planned"),
        (None, [job("1", "PENDING", "Priority")], "queued"),
        (None, [job("1", "RUNNING")], "idle"),
        (life(0, None, None, None, slurm_job_id="1"), [job("1", "RUNNING")], "idle"),
        (life(0, 5, None, None, slurm_job_id="1"), [job("1", "RUNNING")], "starting"),
        (life(0, 5, 9, None, slurm_job_id="1"), [job("1", "RUNNING")], "running"),
        (life(0, 5, 9, None, slurm_job_id="1"), [], "gone"),
        (life(0, 5, 9, None, slurm_job_id="1"), None, "running"),  # Slurm cannot be asked
        (life(0, 5, 9, 70, slurm_job_id="1"), [], "ended"),
        (life(0, 5, 9, 70, slurm_job_id="1", cause="walltime"), [], "failed"),
        (life(0, 5, 9, 70, slurm_job_id="0", cause="walltime"), [job("1", "PENDING")], "queued"),
        (life(0, 5, 9, 70, slurm_job_id="0", cause="walltime"), [job("1", "RUNNING")], "idle"),
    ],
)
def test_state_of_a_batch(places, monkeypatch, record, queue, state):
    monkeypatch.setattr(slurm, "squeue", lambda: (queue, None))
    monkeypatch.setattr(slurm, "batch_of_job", lambda *_: {"1": "r-01"})
    write_batch(places.root, "r-01", ["a"])
    if record:
        write_life(places.root, "r-01", record)
    (row,) = Surveyor(places).survey(T0 + 100).jobs
    assert row.state == state


def test_slurm_is_asked_rarely_and_at_once_about_a_new_job(places, monkeypatch):
    """A job that is younger than the last answer of squeue is not gone."""
    queue, asked, submitted = [job("1", "RUNNING")], [], {"1": "r-01"}
    monkeypatch.setattr(slurm, "squeue", lambda: asked.append(None) or (list(queue), None))
    monkeypatch.setattr(slurm, "batch_of_job", lambda *_: dict(submitted))
    write_batch(places.root, "r-01", ["a"])
    write_batch(places.root, "r-02", ["b"])
    write_life(places.root, "r-01", life(0, 5, 9, None, slurm_job_id="1"))
    surveyor = Surveyor(places)

    def look(second):
        states = [row.state for row in surveyor.survey(T0 + second).jobs]
        return states, len(asked)

    assert look(0) == (["running", "planned"], 1)
    assert look(10) == (["running", "planned"], 1)
    queue.append(job("2", "RUNNING"))
    submitted["2"] = "r-02"
    write_life(places.root, "r-02", life(0, 5, 9, None, slurm_job_id="2"))
    assert look(11) == (["running", "running"], 2)
    queue.clear()
    assert look(40) == (["running", "running"], 2)
    assert look(41) == (["gone", "gone"], 3)
    submitted["3"] = "r-01"
    queue.append(job("3", "PENDING"))
    assert look(42) == (["queued", "gone"], 4)
    assert look(47) == (["queued", "gone"], 4)


def test_a_process_that_is_dead_is_gone(places, monkeypatch):
    import socket
    import subprocess

    process = subprocess.Popen(["sleep", "60"])
    write_batch(places.root, "r-01", ["a"])
    here = {"node": socket.gethostname(), "pid": process.pid}
    write_life(places.root, "r-01", life(0, 5, 9, None, **here))
    assert Surveyor(places).survey(T0).jobs[0].state == "running"
    process.kill()
    process.wait()
    assert Surveyor(places).survey(T0).jobs[0].state == "gone"


def test_each_fault_is_named_with_its_log(places, monkeypatch):
    """One fault a batch, in words, and where to look."""
    models = tuple("abcdefgh")
    places = Places(**{**vars(places), "models": models, "baselines": ()})
    for model in models:
        answer(places, model)
    lives = {
        "a": life(0, 1, None, 60, cause="judge j did not start: no such path", slurm_job_id="1"),
        "b": life(0, 1, 5, None, slurm_job_id="2"),  # gone: Slurm does not know it
        "c": life(0, 1, 5, None, slurm_job_id="3", restarts=[{"time": "", "cause": "died of OOM"}]),
        "d": life(0, 1, None, None, slurm_job_id="4"),
        "e": life(0, 1, 5, 90, slurm_job_id="5", cause="walltime"),
        "f": life(0, 1, 5, 90, slurm_job_id="6"),
        "g": life(0, 1, 5, None, slurm_job_id="7"),
    }
    for number, (model, record) in enumerate(lives.items(), 1):
        write_batch(places.root, f"r-{number:02d}", [model])
        record["server_log"] = f"logs/r-{number:02d}/server.log"
        write_life(places.root, f"r-{number:02d}", record)
    write_batch(places.root, "r-08", ["h"])
    queue = [job(ident, "RUNNING") for ident in "347"] + [job("8", "PENDING", "PartitionTimeLimit")]
    monkeypatch.setattr(slurm, "squeue", lambda: (queue, None))
    monkeypatch.setattr(slurm, "batch_of_job", lambda *_: {"8": "r-08"})
    log = places.root / "logs" / "gen_judgment" / "f.log"
    log.parent.mkdir(parents=True)
    log.write_text("2026-09-21T14:13:20+00:00 f: stopped: a finished game cannot be written\n")
    flaky = [journal_line(q, 0, T0 + 600, attempts=3, state="unparsed") for q in range(5)]
    write_journal(places.root, "g", [*flaky, "{not json\n"])
    found = troubles(Surveyor(places).survey(T0 + 700))
    told = {one.text: (one.grave, one.where) for one in found}
    logs, games = "logs/r-{:02d}/server.log", str(places.root / "logs/gen_judgment/{}.log")
    assert told == {
        "batch r-01 on n1: judge j did not start: no such path": (True, logs.format(1)),
        "batch r-02 on n1: its Slurm job 2 ended without a word (killed, or the node died)": (
            True,
            logs.format(2),
        ),
        "batch r-03 on n1: the judge was started again once, last because died of OOM": (
            False,
            logs.format(3),
        ),
        "c: no game has ended for 12 min": (False, games.format("c")),
        "batch r-04 on n1: the judge has been starting for 12 min": (False, logs.format(4)),
        "batch r-05 on n1: its walltime ended; the next attempt, or the next run, plays the rest": (
            True,
            logs.format(5),
        ),
        "f: a finished game cannot be written": (True, games.format("f")),
        "g: 1 line of its journal cannot be read": (False, str(places.root / "games/g.jsonl")),
        "g: 100% of the games have no verdict (5 unparsed)": (False, games.format("g")),
        "g: 10 calls failed and were made again": (False, games.format("g")),
        "batch r-08: its job 8 will not start: it asks for more time than the partition gives: "
        "set walltime.max_minutes": (True, ""),
    }
    assert [one.grave for one in found] == sorted((one.grave for one in found), reverse=True)


@pytest.mark.parametrize(
    ("odd", "played", "told"),
    [
        (4, 10, []),
        (5, 100, []),
        (6, 100, ["a: 6% of the games have no verdict (6 unparsed)"]),
    ],
)
def test_some_games_without_a_verdict_are_no_fault(places, odd, played, told):
    lines = [
        journal_line(question, 0, state="unparsed" if question < odd else "ok")
        for question in range(played)
    ]
    write_journal(places.root, "a", lines)
    assert [text for text in look(places)[2] if "no verdict" in text] == told


@pytest.mark.parametrize(
    ("again", "played", "told"),
    [
        (4, 20, []),
        (5, 20, ["a: 5 calls failed and were made again"]),
        (5, 101, []),
        (6, 101, ["a: 6 calls failed and were made again"]),
    ],
)
def test_some_repeated_calls_are_no_fault(places, again, played, told):
    write_batch(places.root, "r-01", ["a"], games={"a": 1000})
    write_life(places.root, "r-01", life(0, 1, 5, None))
    lines = [
        journal_line(question, 0, T0 + 90, attempts=2 if question < again else 1)
        for question in range(played)
    ]
    write_journal(places.root, "a", lines)
    assert [text for text in look(places)[2] if "made again" in text] == told


def test_chance_is_judged_by_batches_too_and_models_that_are_done_are_told(places):
    """Little in each of the models is much in their batch, and the judge is one."""
    write_batch(places.root, "r-01", ["a", "b"], games={"a": 100, "b": 100})
    write_life(places.root, "r-01", life(0, 1, 5, 90))
    for model, unlucky in (("a", 6), ("b", 4)):
        lines = [journal_line(q, 0, T0 + 10) for q in range(unlucky, 100)]
        lines += [journal_line(q, 0, T0 + 10, attempts=3, state="unparsed") for q in range(unlucky)]
        write_journal(places.root, model, lines)
        (places.judgments_dir / f"{model}.jsonl").write_text("{}\n")
        os.utime(places.judgments_dir / f"{model}.jsonl", (T0 + 90, T0 + 90))
    _, rows, told = look(places)
    assert {row.mark for row in rows.values()} == {"done"}
    assert "a, b: 20 calls failed and were made again" in told
    assert "a: 6% of the games have no verdict (6 unparsed)" in told  # 10 of 200 in all are no more


@pytest.mark.parametrize("end", [80, None], ids=["ended", "without a word"])
def test_a_used_up_budget_is_told_once_with_what_is_left_of_the_run(places, monkeypatch, end):
    places = Places(**{**vars(places), "models": ("a", "b", "c"), "baselines": ()})
    spent = "the budget of this run is used up: 8 games (budget.games in the config)"
    monkeypatch.setattr(jobs, "_is_gone", lambda *_: True)
    for number, (model, said) in enumerate(
        [("a", f"5 games are open: {spent}. The next run"), ("b", f"{spent}; 8 games left")], 1
    ):
        answer(places, model)
        write_batch(places.root, f"r-{number:02d}", [model], games={model: 8})
        write_life(places.root, f"r-{number:02d}", life(0, 1, 5, end))
        log = places.root / "logs" / "gen_judgment" / f"{model}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{iso(T0 + 70)} {model}: stopped: {said}\n")
    answer(places, "c")
    write_batch(places.root, "r-03", ["c"], games={"c": 8})
    write_journal(places.root, "a", [journal_line(q, 0) for q in range(3)])
    assert look(places)[2] == [f"{spent}; 21 games of 3 models left"]


@pytest.mark.parametrize(
    ("reason", "grave"),
    [
        ("JobHeldUser", True),
        ("AssocGrpGRESMinutes", True),
        ("AssocGrpCPUMinutesLimit", True),
        ("AssocGrpGRESRunMinutes", False),
        ("AssocGrpGRES", False),
        ("ReqNodeNotAvail, UnavailableNodes:n1", False),
        ("PartitionDown", False),
        ("Priority", None),
        ("Resources", None),
    ],
)
def test_what_clears_by_itself_is_only_noted(places, monkeypatch, reason, grave):
    monkeypatch.setattr(slurm, "squeue", lambda: ([job("1", "PENDING", reason)], None))
    monkeypatch.setattr(slurm, "batch_of_job", lambda *_: {"1": "r-01"})
    write_batch(places.root, "r-01", ["a"])
    told = troubles(Surveyor(Places(places.root)).survey(T0))
    assert [one.grave for one in told] == ([] if grave is None else [grave])
    assert all(("will not start" in one.text) == grave for one in told)


@pytest.mark.parametrize(
    ("cause", "said", "told"),
    [
        (
            "the supervisor was killed",
            "8 games are open: full disk",
            ["a: 8 games are open: full disk"],
        ),
        ("the supervisor was killed", None, ["batch r-01 on n1: the supervisor was killed"]),
        ("it did not start", "the judge cannot be asked", ["batch r-01 on n1: it did not start"]),
        (None, "the judge refused", ["a: the judge refused"]),
        (None, None, ["batch r-01 on n1: it ended before its games were played: a"]),
    ],
)
def test_the_first_cause_is_told_and_no_other(places, cause, said, told):
    places = Places(**{**vars(places), "models": ("a",), "baselines": ()})
    answer(places, "a")
    write_batch(places.root, "r-01", ["a"])
    write_life(places.root, "r-01", life(0, 1, 5, 90, cause=cause))
    if said:
        log = places.root / "logs" / "gen_judgment" / "a.log"
        log.parent.mkdir(parents=True)
        log.write_text(f"2026-09-21T14:13:20+00:00 a: stopped: {said}\n")
    assert look(places)[2] == told


def test_a_results_folder_alone_is_enough(tmp_path):
    write_batch(tmp_path, "r-01", ["a", "b"], games={"a": 2, "b": 2})
    write_journal(tmp_path, "a", [journal_line(1, 0), journal_line(1, 1)])
    write_journal(tmp_path, "z", [journal_line(1, 0)])
    survey, rows, wrong = look(Places(tmp_path))
    assert {model: row.mark for model, row in rows.items()} == {
        "a": "done",
        "b": "missing",
        "z": "partial",
    }
    assert wrong == []
    assert survey.baselines == []


@pytest.mark.parametrize(
    ("record", "submitted", "asked"),
    [
        (life(0, 5, 9, None), {}, False),  # of this machine
        (life(0, 5, 9, 70, slurm_job_id="1"), {}, False),  # all have ended
        (life(0, 5, 9, None, slurm_job_id="1"), {}, True),
        (None, {"1": "r-01"}, True),  # it waits
    ],
)
def test_slurm_is_asked_only_of_jobs_that_it_may_have(
    places, monkeypatch, record, submitted, asked
):
    monkeypatch.setattr(slurm, "squeue", lambda: (None, "squeue: no answer"))
    monkeypatch.setattr(slurm, "batch_of_job", lambda *_: submitted)
    places = Places(places.root)
    write_batch(places.root, "r-01", ["a"])
    if record:
        write_life(places.root, "r-01", record)
    told = "Slurm cannot be asked, so waiting jobs are not shown: squeue: no answer"
    assert (told in look(places)[2]) == asked
