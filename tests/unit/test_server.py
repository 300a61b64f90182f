"""The judge server from outside: real processes, real HTTP, the demo judge with vLLM's habits."""

import asyncio
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from arena.judge.process import Process, ServerLog

from tests.served import DEMO, SCRIPTS, Served, adopts_orphans, eventually

LITTER = pytest.param("--litter", marks=adopts_orphans)


@pytest.fixture
def serve(tmp_path):
    """Start programs with a judge; all are gone after the test, whatever it did."""
    started = []

    def start(judge=None, before=(), **options):
        served = Served(tmp_path, judge or {}, **options)
        started.append(served)
        return served.start(before)

    yield start
    for served in started:
        served.close()


# The start


def test_nothing_is_launched_unasked(serve):
    served = serve(launch=False)
    assert served.told["state"] == "not needed"
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", served.port))  # nobody else gets it meanwhile
    assert served.stop() == 0
    assert served.processes() == []
    assert served.record["launched"] is None and served.log == ""


def test_serves_this_job_alone(serve):
    served = serve().ready()
    assert served.told["url"].startswith("http://127.0.0.1:")
    assert len(served.told["key"]) >= 32
    assert served.get()[1]["data"][0]["id"] == "toy"
    assert served.get(key="guess")[0] == served.get(key="")[0] == 401
    assert served.record["start"] <= served.record["launched"] <= served.record["ready"]


@pytest.mark.parametrize(
    ("options", "before", "ready"),
    [("--cache-tokens 96000", None, 72), ("--cache-tokens 20000 # --max-num-seqs 16", 24, 15)],
)
def test_says_how_many_requests_the_cache_has_room_for(serve, options, before, ready):
    served = serve({"command": f"{DEMO} {options}"}, launch=False)
    assert served.told["parallel"] == before
    served.launch()
    assert served.ready().told["parallel"] == ready


def test_ends_with_nothing_left(serve):
    served = serve().ready()
    assert len(served.processes()) == 2  # keeper and judge
    assert served.stop() == 0
    assert served.processes() == [] and served.told["state"] == "ended"
    assert served.told["end_on_disk"] is None  # it is the program's to write
    assert served.record["end"] and served.record["cause"] is None
    socket.create_server(("127.0.0.1", served.port)).close()


NO_GPU = "echo RuntimeError: No CUDA GPUs are available; exit 1 # {host}"


# judge_start: a matter of the settings; judge_here: of this node or this moment. What may pass is
# tried once more.
@pytest.mark.parametrize(
    ("command", "said", "kind", "restarts"),
    [
        (f"{DEMO} --fail oom", "the GPU is out of memory (exit status 1): use", "judge_start", 0),
        (f"{DEMO} --fail cache", "too little GPU memory for the KV cache", "judge_start", 0),
        (f"{DEMO} --fail path", "weights were not found (exit status 1)", "judge_start", 0),
        (f"{DEMO} --no-such-option", "has an option that this server does", "judge_start", 0),
        (f"{DEMO} --fail quiet --exit-status 137", "raise mem_mb", "judge_start", 0),
        (f"{DEMO} --fail crash", "exit status 1", "judge_here", 1),  # nobody knows why
        (f"{DEMO} --fail quiet --exit-status 0", "exit status 0", "judge_here", 1),
        (NO_GPU, "the GPU cannot be used", "judge_here", 0),
        ("module load no-such-thing # {host}", "check judge.setup", "judge_start", 0),
        (DEMO.replace("{name}", "other"), "serves other, not toy", "judge_start", 0),
        (f"VLLM_API_KEY=of-another-job {DEMO}", "this job's key", "judge_here", 0),
        (f"{DEMO} --load-seconds 600", "not ready after", "judge_start", 0),  # as long anywhere
    ],
)
def test_a_start_that_fails_is_final_and_says_why(serve, command, said, kind, restarts):
    limit = {"ready_minutes": 1 / 60} if "600" in command else {}
    served = serve({"command": command} | limit)
    message = served.failure()
    assert message.startswith("judge toy did not start: ") and said in message
    assert (served.told["kind"], served.told["state"]) == (kind, "ended")
    assert served.processes() == []
    assert served.record["launched"] and served.record["ready"] is None
    assert len(served.restarts) == restarts
    assert served.stop() == 0


def test_what_passes_is_tried_once_more_in_the_same_job(serve, tmp_path):
    once = f"mkdir {tmp_path}/died && {{{{ echo OSError: Stale file handle; exit 5; }}}}"
    served = serve({"command": f"{once}; {DEMO}", "max_restarts": 0}).ready()
    assert len(served.restarts) == 1 and "Stale file handle" in served.restarts[0]
    served.hang_up("<<judge:die>>")
    assert "given up after 1 restart" in served.failure()
    assert served.log.count("launching toy") == 2


def test_the_message_ends_with_the_end_of_the_log(serve):
    served = serve({"command": "seq 1 400; echo last words; exit 4  # {host}"})
    lines = served.failure().split("\n")
    assert lines[-2:] == ["  400", "  last words"]
    assert len(lines) == 17
    assert "exit status 4" in lines[0]
    assert str(served.logs / "server.log") in lines[1]


def test_setup_runs_before_the_command_and_may_be_slow(serve):
    """As with imports from a busy file system: longer than any limit but that of the start."""
    setup, command = "export CONTEXT=1234\nsleep 4", f"echo $CONTEXT ${{CONTEXT}}; {DEMO}"
    served = serve({"setup": setup, "command": command}, hang=0.5, stuck=0.5)
    eventually(lambda: "toy is ready" in served.log)
    start = served.log.split("toy is ready")[0]
    assert "\n1234 1234\n" in start and start.count("launching toy") == 1


def test_a_port_that_another_has_taken_is_told(serve):
    served = serve(launch=False)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", served.port))
        other.listen()
        served.launch()
        assert "port is already in use" in served.failure()
    assert served.told["kind"] == "judge_here"


def test_a_name_cannot_become_a_shell_word(serve, tmp_path):
    name = f"a b'; touch {tmp_path}/broken; $(touch {tmp_path}/broken)"
    served = serve({"name": name}).ready()
    assert served.get()[1]["data"][0]["id"] == name
    assert not (tmp_path / "broken").exists()


# Faults while it serves


@pytest.mark.parametrize(
    ("marker", "limits", "cause"),
    [
        ("die=3", {}, "exit status 3"),
        ("die=0", {}, "exit status 0, but it was not stopped"),
        ("kill", {}, "killed by signal 9"),
        ("hang", {"hang": 8.0}, "it hangs: no reply for 8 s"),
        # Only the health check looks: either check may be the first to find that it is dead.
        ("engine", {"engine": 600.0}, "its engine is dead: /health returns 500"),
        ("engine=api", {}, "its engine is dead: a call for one token returns 500"),
    ],
)
def test_restarts_on_the_same_port(serve, tmp_path, marker, limits, cause):
    served = serve({"command": f"{DEMO} --fault-log {tmp_path}/faults.jsonl"}, **limits).ready()
    served.hang_up(f"<<judge:{marker}>>")
    assert cause in served.restarted()[0]
    assert served.states == ["not needed", "ready", "restarting", "ready"]
    assert served.ask(f"<<judge:{marker}>>")[0] == 200  # struck once, remembered over the restart
    assert served.record["end"] is None
    assert served.stop() == 0


def test_an_engine_that_is_stuck_is_restarted(serve):
    served = serve(stuck=1).ready()
    served.hang_up("<<judge:stall>>")
    assert served.restarted() == ["its engine is stuck: no token for 1 s"]


def test_a_busy_engine_is_left_alone(serve):
    served = serve({"command": f"{DEMO} --slots 1 --seconds 0.5"}, stuck=8).ready()
    with ThreadPoolExecutor(24) as games:  # 12 s of work, tokens every half second
        replies = list(games.map(served.ask, map("game {}".format, range(24))))
    assert [status for status, _ in replies] == [200] * 24
    assert served.restarts == []


def test_gives_up_after_max_restarts(serve):
    served = serve({"max_restarts": 2})
    for times in (1, 2):
        served.ready().hang_up(f"<<judge:die>> {times}")
        served.restarted(times)
    served.hang_up("<<judge:die>> 3")
    message = served.failure()
    assert message.startswith("judge toy died: ") and "given up after 2 restarts" in message
    assert (served.told["kind"], served.told["state"]) == ("judge_died", "ended")
    assert served.processes() == []
    assert served.stop() == 0


def test_a_restart_that_fails_is_no_failed_start(serve, tmp_path):
    told = "echo torch.OutOfMemoryError: CUDA out of memory"
    once = f"mkdir {tmp_path}/seen 2> /dev/null || exit 5; {told}; exec {DEMO}"
    served = serve({"command": once, "max_restarts": 1}).ready()
    served.hang_up("<<judge:die>>")
    assert served.failure().startswith("judge toy died: exit status 5")
    assert served.told["kind"] == "judge_died"


HANGS_IN_A_DRIVER = f"""
import runpy, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from arena.judge import process
process.end_descendants = lambda grace, other_sessions: [4711]
sys.argv = ["tests.served", sys.argv[-1]]
runpy.run_module("tests.served", run_name="__main__")
"""


def test_a_judge_whose_processes_do_not_end_is_not_restarted(serve):
    """They hold its GPU; another node may do."""
    served = serve(before=(sys.executable, "-c", HANGS_IN_A_DRIVER)).ready()
    served.hang_up("<<judge:die>>")
    assert "not restarted: its processes [4711] do not end" in served.failure()
    assert "SIGKILL does not end process 4711" in served.log
    assert served.stop() == 0


@adopts_orphans
def test_children_in_sessions_of_their_own_end_with_a_judge_that_is_killed(serve, tmp_path):
    served = serve({"command": f"{DEMO} --litter --fault-log {tmp_path}/faults.jsonl"}).ready()
    litter = int(served.log.split("started worker ")[1].split()[0])
    served.hang_up("<<judge:kill>>")
    served.restarted()
    assert litter not in served.processes()
    assert len(served.processes()) == 3  # keeper, judge and its new worker
    assert served.stop() == 0
    assert served.processes() == []


# The end


@pytest.mark.parametrize("habit", ["--deaf --load-seconds 600", "--clingy", LITTER])
def test_sigterm_ends_all_soon_after_the_grace(serve, habit):
    served = serve({"command": f"{DEMO} {habit}"})
    if "deaf" in habit:
        eventually(lambda: "deaf to SIGTERM" in served.log)
    else:
        served.ready().hang_up("<<judge:stall>>")
        eventually(lambda: 'running{model_name="toy"} 1' in served.get("/metrics")[1])
    assert served.stop() == 0
    assert served.processes() == []
    assert served.errors == "" and "Traceback" not in served.log


@pytest.mark.parametrize("habit", ["--load-seconds 600 --deaf", LITTER])
def test_kill_9_leaves_nothing(serve, habit):
    served = serve({"command": f"{DEMO} {habit}"})
    eventually(lambda: ("started worker" if "litter" in habit else "deaf to") in served.log)
    served.process.kill()
    eventually(lambda: served.processes() == [], what="nothing left")
    assert served.record["kind"] == "killed"
    assert served.record["end"]


def test_a_retry_has_its_record_to_itself(serve):
    """The judge of a killed program needs seconds to end; by then the next attempt has begun."""
    old = serve().ready()
    left = old.processes()
    keeper = psutil.Process(old.process.pid).children()[0]
    keeper.suspend()  # for as long as the next attempt takes to begin
    old.process.kill()
    new = serve(launch=False)
    keeper.resume()
    eventually(lambda: not set(left) & set(new.processes()), what="the end of the old judge")
    assert new.record["pid"] == new.process.pid
    assert (new.record["end"], new.record["cause"]) == (None, None)
    assert [entry["pid"] for entry in new.record["earlier"]] == [old.process.pid]


def test_a_launch_that_is_cancelled_leaves_nothing(tmp_path):
    async def cancelled() -> set[asyncio.Task]:
        log = ServerLog(tmp_path / "server.log", "key")
        launch = asyncio.create_task(Process.launch("sleep 600", os.environ, log, None, 1.0))
        await asyncio.sleep(0)
        time.sleep(0.5)  # a busy loop, while the keeper starts the server
        launch.cancel()
        return (await asyncio.wait({launch}, timeout=300))[0]

    assert asyncio.run(cancelled()), "it waits for the server to end by itself"


@adopts_orphans
def test_a_killed_keeper_leaves_nothing(serve):
    served = serve({"command": f"{DEMO} --litter"}).ready()
    old = served.processes()
    (keeper,) = psutil.Process(served.process.pid).children()
    keeper.kill()
    assert "killed by signal 9" in served.restarted()[0]
    assert not set(old) & set(served.processes())


# The key


def test_the_key_is_on_no_command_line_and_on_no_disk(serve):
    served = serve({"command": 'echo "my key is $VLLM_API_KEY"; ' + DEMO}).ready()
    key = served.told["key"]
    for pid in (*served.processes(), served.process.pid):
        assert key not in "".join(psutil.Process(pid).cmdline())
    assert "my key is ***" in served.log
    served.stop()
    assert key not in served.errors
    for path in served.root.rglob("*"):
        assert path.is_dir() or key not in path.read_text(), path


def test_no_half_of_a_key_where_a_line_is_cut(tmp_path):
    async def copied() -> str:
        log, output = ServerLog(tmp_path / "server.log", "key-of-this-job"), asyncio.StreamReader()
        copying = asyncio.create_task(log.copy(output))
        cut = b"x" * 9_990 + b"key-of-this-job\n" + b"y" * 20_000 + b"key-of-"
        for piece in (cut, b"this-job\n"):
            output.feed_data(piece)
            while output._buffer:  # until it is read
                await asyncio.sleep(0)
        output.feed_eof()
        await copying
        log.close()
        return log.path.read_text()

    assert set(asyncio.run(copied())) == set("xy*\n")


def test_any_program_that_serves_the_api_can_stand_in(serve, tmp_path):
    program = tmp_path / "other server.py"
    program.write_text(OTHER)
    command = f"{sys.executable} '{program}' {{port}} {{name}} {{gpus}} ${{WORD}} {{host}}"
    served = serve({"command": command, "env": {"WORD": "env"}}).ready()
    assert served.get()[1]["data"][0] == {"id": "toy", "gpus": "1", "word": "env"}
    assert served.stop() == 0
    assert served.processes() == []


OTHER = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/v1/models"  # it has no /health
        body = json.dumps({"data": [{"id": sys.argv[2], "gpus": sys.argv[3], "word": sys.argv[4]}]})
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(body.encode())


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
