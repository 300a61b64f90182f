"""The judge server from outside: real processes, real HTTP, the demo judge with vLLM's habits."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import psutil
import pytest
from arena.serving.judge_process import Process
from arena.serving.server_records import GIVEN_UP, BatchRecord

from tests.served import DEMO, SCRIPTS, Served, adopts_orphans, eventually

LITTER = pytest.param("--litter", marks=adopts_orphans)


@pytest.fixture
def serve(tmp_path):
    """Start judge servers; all are gone after the test, whatever it did."""
    started = []

    def start(judge=None, batch="r1-01", env=None, before=(), **limits):
        served = Served(tmp_path, judge or {}, batch, **limits)
        started.append(served)
        return served.start(before, **(env or {}))

    yield start
    for served in started:
        served.__exit__()


def restarted(served, times=1):
    eventually(lambda: len(served.record["restarts"]) >= times, what="a restart")
    served.ready()
    return [restart["cause"] for restart in served.record["restarts"]]


def hang_up(served, text):
    """Ask in the background and do not wait for a reply."""
    threading.Thread(target=served.ask, args=(text,), daemon=True).start()


# The start


def test_launched_by_the_first_request_with_the_key(serve):
    served = serve()
    assert oct(served.file.stat().st_mode)[-3:] == "600"
    assert served.entry["pid"] == served.process.pid
    assert len(served.entry["key"]) >= 32
    assert served.entry["url"].startswith("http://127.0.0.1:")
    assert served.get(key="guess")[0] == 401
    assert served.get(key="")[0] == 401
    assert served.processes() == []
    assert served.record["launched"] is None
    status, reply = served.get()
    assert (status, reply["error"]["type"]) == (503, "judge_starting")
    served.ready()
    assert served.get()[1]["data"][0]["id"] == "toy"
    assert served.get(key="guess")[0] == 401
    eventually(lambda: served.record["ready"])
    assert served.record["start"] <= served.record["launched"] <= served.record["ready"]


def test_says_how_many_requests_the_cache_has_room_for(serve):
    served = serve({"command": f"{DEMO} --cache-tokens 96000"})
    assert served.entry["capacity"] == {"parallel": None, "priority": False}
    served.ready()
    told = {"parallel": 72, "priority": False, "cache_tokens": 96000}
    assert served.entry["capacity"] == told
    assert oct(served.file.stat().st_mode)[-3:] == "600"


def test_ends_with_nothing_left(serve):
    served = serve()
    port = int(served.entry["url"].split(":")[2].split("/")[0])
    served.ready()
    assert len(served.processes()) == 2  # keeper and judge
    assert served.stop(8) == 0
    assert served.processes() == []
    assert served.entry == {}  # the file is Snakemake's to remove
    assert served.record["end"] and served.record["cause"] is None
    socket.create_server(("127.0.0.1", port)).close()


def test_never_asked_never_launched(serve):
    served = serve()
    assert served.stop() == 0
    assert served.record["launched"] is None
    assert "launching" not in served.log


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--fail oom", "the GPU is out of memory (exit status 1): use more GPUs"),
        ("--fail cache", "the weights leave too little GPU memory for the cache"),
        ("--fail path", "the judge's weights are not there (exit status 1): check judge.path"),
        ("--no-such-option", "the command has an option that this server does not know"),
        ("--fail crash", "exit status 1"),
        ("--fail quiet --exit-status 0", "exit status 0, unasked"),
        ("--fail quiet --exit-status 137", "raise mem_mb"),
    ],
)
def test_a_start_that_fails_is_final_and_says_why(serve, words, said):
    served = serve({"command": f"{DEMO} {words}", "ready_minutes": 1})
    message = served.failure()
    assert message.startswith("judge toy did not start: ")
    assert said in message
    assert str(served.logs / "server.log") in message or "quiet" in words
    assert served.record["end"] and served.record["ready"] is None
    assert served.record["cause"] == message.split("\n")[0]
    assert served.processes() == []
    assert served.stop() == 1


def test_the_message_ends_with_the_end_of_the_log(serve):
    served = serve({"command": "seq 1 400; echo last words; exit 4  # {host}"})
    lines = served.failure().split("\n")
    assert lines[-1] == "  last words"
    assert lines[-2] == "  400"
    assert len(lines) == 17
    assert "exit status 4" in lines[0]


@pytest.mark.parametrize(
    "judge", [{"setup": "module load no-such-thing"}, {"command": "no-such-program {host}"}]
)
def test_missing_programs_point_to_setup(serve, judge):
    assert "check judge.setup" in serve(judge).failure()


def test_setup_runs_before_the_command(serve):
    setup = "export CONTEXT=1234\nshopt -s expand_aliases"
    served = serve(
        {"setup": setup, "command": DEMO + " --context $CONTEXT --cache-tokens ${CONTEXT}"}
    )
    assert served.ready().get()[1]["data"][0]["max_model_len"] == 1234


def test_a_failed_start_is_remembered_for_its_run(serve):
    first = serve({"command": f"{DEMO} --fail oom"})
    first.failure()
    marker = first.root / "batches" / "r1.judge_failed"
    assert "out of memory" in json.loads(marker.read_text())["cause"]
    second = serve({}, batch="r1-02")  # would start
    message = second.failure()
    assert "not tried again in this run" in message
    assert "out of memory" in message and "r1-01" in message
    assert second.processes() == [] and "launching" not in second.log
    serve({}, batch="r2-01").ready()  # another run tries again


def test_a_matter_of_the_node_is_not_remembered(serve):
    served = serve({"command": "echo RuntimeError: No CUDA GPUs are available; exit 1 # {host}"})
    assert "the GPU cannot be used" in served.failure()
    assert not (served.root / "batches" / "r1.judge_failed").exists()


def test_what_may_pass_is_tried_once_more_and_never_remembered(serve, tmp_path):
    once = f"mkdir {tmp_path}/died && {{ echo OSError: Stale file handle; exit 5; }}"
    served = serve({"command": f"{once}; {DEMO}"})
    eventually(served.is_ready, what="a judge that starts the second time")
    served = serve({"command": "exit 5 # {host}"}, batch="r1-02")
    assert "exit status 5" in served.failure()
    assert served.log.count("launching toy") == 2
    assert not (served.root / "batches" / "r1.judge_failed").exists()


def test_a_judge_of_another_name_is_refused(serve):
    served = serve({"command": DEMO.replace("{name}", "other")})
    assert "serves other, not toy" in served.failure()
    assert served.processes() == []


def test_a_start_has_a_deadline(serve):
    served = serve({"command": f"{DEMO} --load-seconds 600"}, start=1)
    assert "not ready after" in served.failure()
    assert served.processes() == []


def test_settings_that_cannot_work_end_it_at_once(serve):
    served = serve({"command": "serve {pathh}"})
    assert served.process.wait(10) == 1
    assert "unknown placeholder {pathh}" in served.log
    assert "did you mean 'path'" in served.log
    assert "unknown placeholder" in served.record["cause"]
    assert not served.file.exists()


def test_a_name_cannot_become_a_shell_word(serve, tmp_path):
    name = f"a b'; touch {tmp_path}/broken; $(touch {tmp_path}/broken)"
    served = serve({"name": name})
    served.ready()
    assert served.get()[1]["data"][0]["id"] == name
    assert not (tmp_path / "broken").exists()


# Faults while it serves


@pytest.mark.parametrize(
    ("marker", "cause"),
    [
        ("die=3", "exit status 3"),
        ("die=0", "exit status 0, unasked: so vLLM ends when its engine has died"),
        ("kill", "killed by signal 9"),
        ("hang", "it hangs: no answer for 5 s"),
        ("engine", "its engine is dead: /health says 500"),
        ("engine=api", "its engine is dead: a call for one token gets 500"),
    ],
)
def test_restarts_on_the_same_port(serve, tmp_path, marker, cause):
    served = serve({"command": f"{DEMO} --fault-log {tmp_path}/faults.jsonl"})
    before = served.ready().entry
    hang_up(served, f"<<judge:{marker}>>")
    assert cause in restarted(served)[0]
    assert served.entry == before
    assert served.ask(f"<<judge:{marker}>>")[0] == 200  # struck once, remembered over the restart
    assert served.record["end"] is None
    assert served.stop() == 0


def test_a_death_at_the_first_game_is_no_failed_start(serve, tmp_path):
    """Clients may be quicker than the supervisor: it is killed before its models are listed."""
    program = tmp_path / "judge.py"
    program.write_text(DIES_AT_THE_FIRST_GAME)
    command = f"{sys.executable} {program} {{port}} {tmp_path}/died {{host}} || exit 5"
    served = serve({"command": command})
    served.get()
    eventually(lambda: '"GET /v1/models HTTP/1.0" 503' in served.log, what="a look at its models")
    hang_up(served, "a game")
    assert restarted(served)[0] == "exit status 5"
    assert not (tmp_path / "batches" / "r1.judge_failed").exists()


DIES_AT_THE_FIRST_GAME = """
import json, os, pathlib, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

died = pathlib.Path(sys.argv[2])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ready = died.exists() or self.path == "/health"
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": "toy"}]}).encode())

    def do_POST(self):
        died.touch()
        os._exit(1)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_an_engine_that_is_stuck_is_restarted(serve, tmp_path):
    once = (
        f"test -e {tmp_path}/seen && exec {DEMO}; touch {tmp_path}/seen; exec {DEMO} --seconds 3600"
    )
    served = serve({"command": once}, stuck=1)
    served.ready()
    hang_up(served, "a game that never ends")
    assert restarted(served) == ["its engine is stuck: no token for 1 s"]


def test_a_busy_engine_is_left_alone(serve):
    served = serve({"command": f"{DEMO} --slots 1 --seconds 0.5"}, stuck=3)
    served.ready()
    for number in range(10):  # 5 s of work, a token every half second
        hang_up(served, f"game {number}")
    eventually(lambda: "prompt_tokens_total" in served.get("/metrics")[1])
    metrics = lambda: served.get("/metrics")[1]  # noqa: E731
    eventually(lambda: 'num_requests_running{model_name="toy"} 1' in metrics())
    eventually(lambda: 'num_requests_running{model_name="toy"} 0' in metrics())
    assert served.record["restarts"] == []


def test_gives_up_after_max_restarts(serve, tmp_path):
    served = serve({"max_restarts": 2})
    for times in (1, 2):
        served.ready()
        hang_up(served, f"<<judge:die>> {times}")
        restarted(served, times)
    hang_up(served, "<<judge:die>> 3")
    message = served.failure()
    assert message.startswith("judge toy died: ") and "given up after 2 restarts" in message
    assert not (tmp_path / "batches" / "r1.judge_failed").exists()  # it had started well
    assert served.record["end"]
    assert served.stop() == 1


HANGS_IN_A_DRIVER = f"""
import runpy, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from arena.serving import judge_process
judge_process.end_descendants = lambda grace: [4711]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_judge_whose_processes_do_not_end_is_not_restarted(serve, tmp_path):
    """They hold its GPU; another node may do."""
    served = serve(before=(sys.executable, "-c", HANGS_IN_A_DRIVER))
    served.ready()
    hang_up(served, "<<judge:die>>")
    assert "not restarted: its processes [4711] do not end" in served.failure()
    assert not (tmp_path / "batches" / "r1.judge_failed").exists()
    assert served.stop() == 1
    assert "not even SIGKILL ends 4711" in served.log


@adopts_orphans
def test_children_in_sessions_of_their_own_end_with_a_judge_that_is_killed(serve, tmp_path):
    served = serve({"command": f"{DEMO} --litter --fault-log {tmp_path}/faults.jsonl"})
    served.ready()
    litter = int(served.log.split("started worker ")[1].split()[0])
    hang_up(served, "<<judge:kill>>")
    restarted(served)
    assert litter not in served.processes()
    assert len(served.processes()) == 3  # keeper, judge and its new worker
    assert served.stop() == 0
    assert served.processes() == []


# The end


@pytest.mark.parametrize("habit", ["--deaf --load-seconds 600", "--clingy", LITTER])
def test_sigterm_ends_all_in_seconds(serve, habit):
    served = serve({"command": f"{DEMO} {habit}"})
    served.get()
    if "deaf" in habit:
        eventually(lambda: len(served.processes()) == 2)
    else:
        served.ready()
        hang_up(served, "<<judge:stall>>")
        eventually(lambda: 'running{model_name="toy"} 1' in served.get("/metrics")[1])
    assert served.stop(1 + 7) == 0  # grace, and what a busy machine takes
    assert served.processes() == []
    assert "Traceback" not in served.log


@pytest.mark.parametrize("habit", ["--load-seconds 600 --deaf", LITTER])
def test_a_killed_supervisor_leaves_nothing(serve, habit):
    served = serve({"command": f"{DEMO} {habit}"})
    served.get()
    eventually(lambda: len(served.processes()) >= 2)
    if "litter" in habit:
        served.ready()
    served.process.kill()
    eventually(lambda: served.processes() == [], what="nothing left")
    assert not served.file.exists()
    assert served.record["cause"] == "the supervisor was killed"
    assert served.record["end"]


def test_a_retry_has_its_files_to_itself(serve):
    """The judge of a killed supervisor needs seconds to end; by then the next life has begun."""
    old = serve()
    old.ready()
    left = old.processes()
    keeper = psutil.Process(old.process.pid).children()[0]
    keeper.suspend()  # for as long as the next life takes to begin
    old.process.kill()
    new = serve()
    eventually(lambda: new.entry.get("pid") == new.process.pid, what="a file of its own")
    keeper.resume()
    eventually(lambda: not any(map(psutil.pid_exists, left)), what="the end of the old judge")
    assert new.entry["pid"] == new.record["pid"] == new.process.pid
    assert (new.record["end"], new.record["cause"]) == (None, None)
    new.ready()


@pytest.mark.parametrize(
    ("state", "end", "told"),
    [
        ("NODE_FAIL", None, "Slurm ended the job (NODE_FAIL)"),
        ("NODE_FAIL", GIVEN_UP, "Slurm ended the job (NODE_FAIL)"),
        ("TIMEOUT", GIVEN_UP, "walltime"),
        ("FAILED", GIVEN_UP, GIVEN_UP),  # by Snakemake, inside the job
        ("NODE_FAIL", "the judge did not start", "the judge did not start"),
    ],
)
def test_the_next_attempt_asks_slurm_why_the_last_one_ended(
    tmp_path, monkeypatch, state, end, told
):
    (tmp_path / "sacct").write_text(f"#!/bin/sh\necho '{state}|1000|2000'\n")
    (tmp_path / "sacct").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    began = datetime.fromtimestamp(1500, UTC).isoformat()
    former = {"slurm_job_id": "7", "start": began, "end": end and began, "cause": end}
    (tmp_path / "batch.json").write_text(json.dumps(former))
    record = BatchRecord(tmp_path / "batch.json", "r-01", 1, tmp_path / "server.log")
    (earlier,) = record.entry["earlier"]
    assert earlier["cause"] == told


def test_ends_when_its_server_file_is_taken_away(serve):
    """As Snakemake does where it gives a batch up; it then waits for the service to end."""
    served = serve()
    served.ready()
    served.file.unlink()
    eventually(lambda: served.process.poll() is not None, what="its end")
    assert served.processes() == []
    assert served.record["cause"] == GIVEN_UP
    assert not served.file.exists()


@pytest.mark.parametrize("killed", [False, True])
def test_the_keys_of_an_external_judge_leave_the_disk(serve, killed):
    there = {"api_base": "http://127.0.0.1:9/v1", "api_key_env": "THEIR_KEY"}
    judge = {"server": "external", "command": None, "endpoints": [there]}
    served = serve(judge, env={"THEIR_KEY": "a-key-of-theirs"})
    eventually(lambda: served.record["ready"])
    assert served.entry["key"] == "a-key-of-theirs"
    if killed:
        served.process.kill()
        eventually(lambda: served.processes() == [], what="nothing left")
        assert not served.file.exists()
        assert served.record["cause"] == "the supervisor was killed"
    else:
        assert served.stop() == 0
        assert (served.processes(), served.entry) == ([], {})
        assert served.record["end"] and served.record["cause"] is None


@adopts_orphans
def test_a_killed_keeper_leaves_nothing(serve):
    served = serve({"command": f"{DEMO} --litter"})
    served.ready()
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(served.process.pid)], capture_output=True, text=True
    )
    old = served.processes()
    os.kill(int(listed.stdout.split()[0]), signal.SIGKILL)
    assert "killed by signal 9" in restarted(served)[0]
    assert not set(old) & set(served.processes())


def test_ends_when_the_process_that_started_it_is_gone(serve):
    served = serve(before=("sh", "-c", '"$@" & wait', "sh"))
    served.ready()
    pid = served.entry["pid"]
    assert pid != served.process.pid
    served.process.kill()  # as Snakemake may be
    eventually(lambda: served.processes() == [])
    assert served.record["cause"] == "the process that started the supervisor is gone"


def test_walltime_is_a_cause_of_its_own(serve):
    served = serve(env={"SLURM_JOB_END_TIME": str(int(time.time()) + 20), "SLURM_JOB_ID": "77"})
    assert served.stop() == 0
    assert served.record["cause"] == "walltime"
    assert served.record["slurm_job_id"] == "77"


@pytest.mark.parametrize(
    ("step", "job", "seen", "told"),
    [("4", "4,5", "0", "4"), ("", "4,5", "0,1", "4,5"), ("", "", "0,1", "0,1"), ("", "", "", None)],
)
def test_gpus_are_told_as_the_node_numbers_them(tmp_path, monkeypatch, step, job, seen, told):
    monkeypatch.setenv("SLURM_STEP_GPUS", step)
    monkeypatch.setenv("SLURM_JOB_GPUS", job)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    record = BatchRecord(tmp_path / "batch.json", "b", 1, tmp_path / "server.log")
    assert record.entry["gpu_ids"] == told


def test_former_attempts_are_kept(serve):
    first = serve()
    first.stop()
    second = serve()
    second.stop()
    third = serve()
    assert [entry["pid"] for entry in third.record["earlier"]] == [
        first.process.pid,
        second.process.pid,
    ]
    assert "earlier" not in third.record["earlier"][1]


# The key


def test_the_key_is_on_no_command_line_and_in_no_log(serve):
    served = serve({"command": 'echo "my key is $VLLM_API_KEY"; ' + DEMO})
    served.ready()
    key = served.entry["key"]
    for pid in (*served.processes(), served.process.pid):
        assert key not in "".join(psutil.Process(pid).cmdline())
    assert "my key is ***" in served.log
    served.stop()
    for path in served.root.rglob("*"):
        assert path.is_dir() or key not in path.read_text(), path


def test_no_half_of_a_key_where_a_line_is_cut():
    async def copied() -> str:
        keeper = SimpleNamespace(stdout=asyncio.StreamReader())
        process = Process(keeper, "key-of-this-job")
        cut = b"x" * 9_990 + b"key-of-this-job\n" + b"y" * 20_000 + b"key-of-"
        for piece in (cut, b"this-job\n"):
            keeper.stdout.feed_data(piece)
            while keeper.stdout._buffer:  # until it is read
                await asyncio.sleep(0)
        keeper.stdout.feed_eof()
        await process._log
        return "\n".join(process.tail)

    assert set(asyncio.run(copied())) == set("xy*\n")


def test_any_program_that_serves_the_api_can_stand_in(serve, tmp_path):
    program = tmp_path / "other server.py"
    program.write_text(OTHER)
    served = serve(
        {"command": f"{sys.executable} '{program}' {{port}} {{name}} {{gpus}} ${{HOME}} {{host}}"}
    )
    served.ready()
    assert served.get()[1]["data"][0] == {"id": "toy", "gpus": "1", "home": os.environ["HOME"]}
    assert served.stop() == 0
    assert served.processes() == []


OTHER = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/v1/models"  # it has no /health
        body = json.dumps({"data": [{"id": sys.argv[2], "gpus": sys.argv[3], "home": sys.argv[4]}]})
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(body.encode())


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
