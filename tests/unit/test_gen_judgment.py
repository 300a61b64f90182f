"""A batch as its job plays it: a plan and files in, journals, judgments and records out."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGTERM

import arena.batch.gen_judgment
import arena.client.pace
import arena.journals.journal
import pytest
from arena.batch.gen_judgment import play_batch
from arena.batch.made import publish
from arena.data.judgments import read_judgments
from arena.data.layout import Layout
from arena.journals.batches import Attempt, read_attempts
from arena.journals.journal import read_records
from arena.journals.lock import Lock
from arena.journals.records import BatchPlan, RunStop, Status, Stop, StopKind
from arena.support.errors import DataError, OpenGames
from scripted import KEY, Call, Reply, completion, error, judge
from test_games import PLAIN

from tests.served import SCRIPTS, eventually
from tests.synthetic import read_lines, write_lines

LABELS = ("A>B", "B>>A", "A=B")
BATCH, DIGEST = "0badcafe", "settings-of-today"


def verdict(call: Call) -> Reply:
    """A label that depends on the prompt alone, as at temperature 0."""
    return completion(f"I say [[{LABELS[sum(call.user.encode()) % 3]}]]")


class Case:
    """A bench of a few questions on disk, its models m and n, and one batch."""

    def __init__(self, root: Path):
        self.data, self.root = root / "data", root / "results"
        self.layout = Layout(self.root)
        self.uids = ["q0", "q1", "q2", "q3", "q4"]
        asked = ({"uid": uid, "category": "hard", "prompt": f"What is {uid}?"} for uid in self.uids)
        write_lines(self.data / "question.jsonl", asked)
        for model in ("m", "n", "base"):
            self.answer(model)
        self.run = "run-1"

    def answer(self, model: str, **changed: str) -> None:
        texts = {uid: f"{model} on {uid}" for uid in self.uids} | changed
        lines = ({"uid": uid, "messages": [{"content": text}]} for uid, text in texts.items())
        write_lines(self.answers(model), lines)

    def block(self, folder: str) -> Path:
        """Let nothing be written in a folder of the results."""
        self.root.mkdir()
        (self.root / folder).write_text("a file where the folder should be")
        return self.root / folder

    def answers(self, model: str) -> Path:
        return self.data / f"{model}.jsonl"

    def plan(self, url: str, models=("m",), **changes) -> BatchPlan:
        return BatchPlan(
            batch=BATCH,
            run=self.run,
            models=tuple(models),
            settings=DIGEST,
            requests=DIGEST,
            root=str(self.root),
            questions=str(self.data / "question.jsonl"),
            answers={model: str(self.answers(model)) for model in models},
            opponents={"base": str(self.answers("base"))},
            params=PLAIN | changes,
            judge={
                "name": "judge",
                "server": "external",
                "parallel": 8,
                "endpoints": [{"api_base": url, "api_key_env": "TEST_JUDGE_KEY"}],
            },
            budget={},
            time=time.time(),
        )

    def play(self, server=None, models=("m",), tries_left: int = 0, replay=False, **changes) -> int:
        """Play a batch; its exit status."""
        url = server.url if server else "http://127.0.0.1:9/v1"
        plan = self.plan(url, models, **changes)
        return play_batch(plan, {}, tries_left=tries_left, replay=replay)

    def publish(self, model: str = "m") -> list[dict]:
        """The lines of a model's judgment file."""
        target = self.root / "judgments" / f"{model}.jsonl"
        target.unlink(missing_ok=True)  # as Snakemake does
        publish(self.layout, model, DIGEST, BATCH, target)
        return read_lines(target)

    def judged(self, server=None, **changes) -> list[dict]:
        assert self.play(server, **changes) == 0
        return self.publish()

    def journal(self, model: str = "m") -> list:
        return list(read_records(self.layout.journal(model)))

    def log(self) -> str:
        path = self.layout.log(BATCH)
        return path.read_text() if path.exists() else ""

    def stop(self) -> Stop | None:
        return self.attempts()[-1].stop

    def attempts(self) -> list[Attempt]:
        return read_attempts(self.layout.attempts(BATCH))


@pytest.fixture
def case(tmp_path, monkeypatch) -> Case:
    """With a back-off in hundredths of what users get."""
    monkeypatch.setenv("TEST_JUDGE_KEY", KEY)
    monkeypatch.setattr(arena.client.pace, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(arena.client.pace, "LONGEST_DELAY", 0.1)
    monkeypatch.setattr(arena.batch.gen_judgment, "LOCK_POLL", 0.05)
    return Case(tmp_path)


def uid_of(call: Call) -> str:
    return call.user[len("Q: What is ") :][:2]


def test_the_judgment_file_is_what_arena_hard_autos_reader_looks_for(case):
    with judge(verdict) as server:
        lines = case.judged(server)
    assert [line["uid"] for line in lines] == case.uids
    assert list(lines[0]) == ["uid", "category", "judge", "model", "baseline", "games"]
    first = lines[2]
    assert (first["judge"], first["model"], first["baseline"]) == ("judge", "m", "base")
    for index, game in enumerate(first["games"]):
        assert list(game)[:3] == ["score", "judgment", "prompt"]
        asked = next(call for call in server.calls if call.body["messages"] == game["prompt"])
        text = verdict(asked).content["choices"][0]["message"]["content"]
        assert game["judgment"] == {"answer": text}
        assert f"[[{game['score']}]]" in text
        shown = ["base on q2", "m on q2"][index]
        assert f"A: {shown}\n" in game["prompt"][1]["content"]
        assert (game["state"], game["finish_reason"]) == ("ok", "stop")


def test_our_reader_reads_what_we_write(case):
    """From the reply over the journal and the judgment file to the votes: the same verdict."""
    weighs = "between [[A>>B]] and [[B>>A]]"
    replies = {
        "q1": completion(None, "length", reasoning_content=weighs),
        "q2": completion(None, reasoning_content=f"{weighs}</think> [[A>B]]"),
        "q0": error(400, "bad", "too long", param="input_tokens"),
        "q3": completion(None, refusal=f"I do not choose {weighs}."),
        "q4": completion(f"<think>{weighs}</think>I say [[A=B]]"),
    }
    with judge(lambda call: replies.get(uid_of(call)) or verdict(call)) as server:
        lines = case.judged(server)
    read = list(read_judgments(case.root / "judgments" / "m.jsonl", problems=[]))
    assert [line.uid for line in read] == case.uids
    assert [[game.score for game in line.games] for line in read] == [
        [game["score"] for game in line["games"]] for line in lines
    ]
    states = [line.games[0].state for line in read]
    assert states == ["too_long", "truncated", "unparsed", "rejected", "ok"]
    assert [line.games[0].score for line in read] == [*[None] * 4, "A=B"]
    assert read[3].games[0].answer == f"I do not choose {weighs}."


def test_all_models_of_a_batch_are_played_and_published(case):
    with judge(verdict) as server:
        assert case.play(server, models=("m", "n")) == 0
    for model in ("m", "n"):
        assert {line["model"] for line in case.publish(model)} == {model}
        assert len(case.journal(model)) == 10
    (record,) = case.attempts()
    assert record.start <= record.launched <= record.ready < record.end
    assert record.stop is None
    models = Status.read(case.layout.status(BATCH)).models
    assert {name: one.played for name, one in models.items()} == {"m": 10, "n": 10}


def test_a_second_run_and_a_replay_make_what_the_journals_hold_and_ask_nothing(case):
    with judge(verdict) as server:
        before = case.judged(server)
        case.layout.made("m").unlink()
        case.run = "run-2"
        assert case.judged() == before
        assert "10/10 games (ok 10), from the journal" in case.log()
        assert case.attempts()[-1].launched is None
        case.layout.made("m").unlink()
        case.run = "run-3"
        assert case.play(server, models=("m", "n"), replay=True) == 0
        assert len(server.calls) == 10
    assert case.publish() == before
    with pytest.raises(OpenGames, match=r"^n: "):
        case.publish("n")


def test_other_patterns_read_the_stored_replies_anew(case):
    with judge(lambda call: completion("I say <A=B>, not [[A>B]]")) as server:
        assert case.judged(server)[0]["games"][0]["score"] == "A>B"
        case.run = "run-2"
        anew = case.judged(server, patterns=["<([AB<>=]+)>"])
        assert anew[0]["games"][0]["score"] == "A=B"
        case.run = "run-3"
        none = case.judged(server, patterns=["<<([AB<>=]+)>>"])[0]["games"][0]
    assert len(server.calls) == 10
    assert (none["score"], none["state"]) == (None, "unparsed")
    assert none["reason"] == "no verdict with the current patterns"


@pytest.mark.parametrize(("times", "seeds"), [(0, set()), (1, {5})])
def test_adopted_games_without_a_verdict_are_asked_again_by_setting(case, times, seeds):
    """Adopted games without a verdict: our first request is a second one."""
    with judge(lambda call: completion("hm" if call.again == 0 else "[[A>B]]")) as server:
        case.judged(server)
        adopted = [replace(record, attempts=0).line() for record in case.journal()]
        case.layout.journal("m").write_text("".join(adopted))
        case.run = "run-2"
        case.judged(server, ask_again={"times": times, "seed": 5})
    assert {call.body["seed"] for call in server.calls[10:]} == seeds
    assert len(server.calls) == 10 * (1 + times)


def test_equal_prompts_are_asked_once_and_each_game_has_its_line(case):
    models = ("m", "n")
    for model in models:
        case.answer(model, q1="base on q1")
    with judge(verdict) as server:
        lines = case.judged(server, models=models)
        records = [record for record in case.journal() if record.uid == "q1"]
        for model in models:  # the label without its reply: damaged, so asked again
            damaged = (replace(one, answer="") for one in case.journal(model) if one.uid == "q1")
            case.layout.journal(model).write_text("".join(one.line() for one in damaged))
        before, case.run = len(server.calls), "run-2"
        assert case.judged(server, models=models)[1] == lines[1]
        assert len(server.calls) - before == before
    assert lines[1]["games"][0]["score"] == lines[1]["games"][1]["score"]
    assert sorted((r.game, r.attempts) for r in records) == [(0, 1), (1, 0)]
    shared = next(record for record in records if record.game == 1)
    assert shared.reason == "the same prompt as game 0 of q1"
    assert shared.usage == {"prompt": 0, "cached": 0, "completion": 0}


# ---- what stays open


def test_one_model_that_cannot_finish_leaves_the_others_their_judgments(case):
    case.answer("n", q2="n never gets through")

    def script(call: Call) -> Reply:
        return Reply(500, "") if "never gets through" in call.user else verdict(call)

    with judge(script) as server:
        assert case.play(server, models=("m", "n"), tries_left=1) == 1, "another attempt may help"
        assert case.play(server, models=("m", "n"), tries_left=0) == 0, "it was the last one"
        assert len(case.publish("m")) == 5
        with pytest.raises(
            OpenGames, match=r"^n: 2 of 10 games are open: .*failures: 1[2-9] .*500"
        ):
            case.publish("n")
        asked = len(server.calls)
        server.script = verdict
        case.run = "run-2"
        assert case.play(server, models=("n",)) == 0
        assert len(server.calls) - asked == 2
    assert len(case.publish("n")) == 5


def test_an_unreadable_model_does_not_stop_the_others(case):
    """Nor does a question without an answer stop a model."""
    write_lines(case.answers("m"), [{"uid": "q4", "messages": [{"content": "text"}]}])
    case.answers("n").write_text("")
    with judge(verdict) as server:
        assert case.play(server, models=("m", "n"), tries_left=2) == 0, "no retry can help"
    assert [line["uid"] for line in case.publish("m")] == ["q4"]
    assert "4 of 5 questions left out: an answer is missing" in case.log()
    assert case.stop().kind is StopKind.DATA
    with pytest.raises(OpenGames, match=r"^n: "):
        case.publish("n")


def test_inputs_that_change_while_they_are_judged_are_not_published(case):
    """The answers of another checkpoint are copied over, with their older time of change."""
    before = case.answers("m").stat()

    def script(call: Call) -> Reply:
        if call.number == 5:
            case.answer("m", q0="another text")
            os.utime(case.answers("m"), ns=(before.st_atime_ns, before.st_mtime_ns - 10**12))
        return verdict(call)

    with judge(script) as server:
        assert case.play(server) == 0
        with pytest.raises(DataError, match=r"m\.jsonl changed while"):
            case.publish()
        case.run = "run-2"
        lines = case.judged(server)
        assert len(server.calls) == 12
    assert lines[0]["games"][0]["prompt"][1]["content"].endswith("another text")


def test_judgments_of_an_earlier_attempt_are_kept(case):
    with judge(verdict) as server:
        assert case.play(server) == 0
        made = case.layout.made("m").stat().st_mtime_ns
        assert case.play(server, tries_left=1) == 0
    assert case.layout.made("m").stat().st_mtime_ns == made


def test_the_log_keeps_the_start_and_end_of_each_run(case):
    with judge(verdict) as server:
        case.judged(server)
    text = case.log()
    begun, done, end = (line.split(" ", 1)[1] for line in text.splitlines())
    assert begun == "0badcafe: 0/10 games, from the journal"
    assert done.startswith("0badcafe: done: 10/10 games (ok 10); 10 calls in ")
    assert done.endswith("tokens: 70 prompt (0 cached), 30 completion")
    assert "judgments" in end
    case.run = "run-2"
    case.judged()
    assert case.log().startswith(text)


def test_no_key_in_any_file_we_leave(case, capsys):
    echo = error(401, "invalid_api_key", f"Incorrect API key provided: {KEY}")
    with judge(lambda call: echo if call.number > 5 else verdict(call)) as server:
        assert case.play(server, tries_left=1) == 1
        assert case.stop().kind is StopKind.JUDGE_REFUSES
        server.script = verdict
        case.judged(server)
    for path in case.root.rglob("*"):
        if path.is_file():
            assert KEY not in path.read_text()
    said = capsys.readouterr()
    assert KEY not in said.out + said.err
    assert "***" in case.log()


def test_a_start_that_failed_is_not_tried_again_in_the_run(case):
    stop = RunStop(StopKind.JUDGE_START, "no such weights", "other", "n1", "server.log")
    stop.write(case.layout.run_stop("run-1"))
    with judge(verdict) as server:
        assert case.play(server, tries_left=2) == 0
        assert (server.looks, server.calls) == (0, [])
        with pytest.raises(OpenGames, match=r"no such weights .*batch other on n1, server\.log"):
            case.publish()
        case.run = "run-2"
        assert len(case.judged(server)) == 5


# ---- other processes


def start(case: Case, server, models=("m",)) -> subprocess.Popen:
    """A batch in a process of its own, as its job runs it."""
    path = case.layout.batch(BATCH)
    case.plan(server.url, models).write(path)
    command = [sys.executable, SCRIPTS / "gen_judgment.py", path]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_job_waits_for_the_first_and_then_has_nothing_to_ask(case):
    """Two jobs play the same batch: the games are asked once, and both end well."""
    with judge(verdict) as server:
        both = [start(case, server) for _ in range(2)]
        ends = [(process.communicate(timeout=300)[1], process.returncode) for process in both]
    assert ends == [("", 0), ("", 0)]
    assert len(server.calls) == 10
    assert len(case.journal()) == 10


def test_unlocked_models_are_played_while_one_is_locked(case):
    with judge(verdict) as server, Lock(case.layout.journal("m")) as other:
        assert other.try_acquire() is None
        process = start(case, server, ("m", "n"))
        eventually(lambda: case.layout.made_record("n").exists())
        assert not case.layout.made("m").exists()
        assert len(server.calls) == 10
        other.release()
        process.communicate(timeout=300)
    assert process.returncode == 0
    assert len(server.calls) == 20


@pytest.mark.parametrize(
    ("moment", "number"), [("locks", SIGTERM), ("games", SIGTERM), ("games", SIGINT)]
)
def test_a_signal_is_heard_at_every_moment(case, moment, number):
    """It leaves at once with status 1, its end is on record, its locks are gone."""

    async def slow(call: Call) -> Reply:
        await asyncio.sleep(0 if call.number < 3 else 3600)
        return verdict(call)

    with judge(slow) as server, Lock(case.layout.journal("m")) as other:
        if moment == "locks":
            assert other.try_acquire() is None
        process = start(case, server)
        if moment == "locks":
            eventually(lambda: "m: waiting: " in case.log())
        else:
            journal = case.layout.journal("m")
            eventually(lambda: journal.exists() and len(case.journal()) == 3)
        process.send_signal(number)
        process.communicate(timeout=300)
    assert process.returncode == 1
    assert case.stop().kind is StopKind.STOPPED
    assert number.name in case.stop().text
    assert moment == "locks" or len(case.journal()) == 3
    assert not list(case.root.glob("games/*.lock"))


# ---- disks


def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_stops_the_batch_with_its_cause(case, monkeypatch):
    """After a game, or before any where even the folder cannot be made."""
    with judge(verdict) as server, monkeypatch.context() as full:
        full.setattr(arena.journals.journal, "_write_all", no_room)
        assert case.play(server, tries_left=1) == 1
        assert case.stop().kind is StopKind.JOURNAL
        assert "No space left on device" in case.stop().text
        shutil.rmtree(case.root)
        case.block("games")
        server.calls.clear()
        assert case.play(server, tries_left=1) == 1
    assert server.calls == []
    assert "m.jsonl" in case.stop().text


def test_a_log_that_cannot_be_written_is_no_reason_to_stop(case, capsys):
    case.block("logs")
    with judge(verdict) as server:
        assert len(case.judged(server)) == 5
    assert "0badcafe: done: 10/10 games" in capsys.readouterr().err


def test_judgments_that_cannot_be_written_lose_no_game(case):
    blocked = case.block("made")
    with judge(verdict) as server:
        assert case.play(server, tries_left=1) == 0
        assert len(case.journal()) == 10
        assert "all games are kept" in case.stop().text
        blocked.unlink()
        case.run = "run-2"
        assert len(case.judged(server)) == 5
        assert len(server.calls) == 10


def test_a_programming_error_is_recorded(case, monkeypatch):
    monkeypatch.setattr(arena.batch.models, "judgment_lines", None)
    with judge(verdict) as server, pytest.raises(TypeError):
        case.play(server)
    assert case.stop().kind is StopKind.ERROR
