"""The monitor as a person runs it: pages, widths, JSON, a terminal, and files in the making."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from types import SimpleNamespace

import pytest
from arena.campaign.status import Campaign, StatusReader
from arena.campaign.status_view import SORTS, chosen, screen
from arena.data.layout import Layout
from arena.support import slurm
from arena.support.table import Style, visible

from tests.served import SCRIPTS, eventually, run_script
from tests.synthetic import attempt, journal_line, write_attempt, write_batch, write_journal

RUN = "20260921"


@pytest.fixture
def root(tmp_path):
    """Three models in two batches: one done, one playing, one whose judge did not start."""
    root = tmp_path / "results" / "some-bench-of-ours" / "some-judge"
    long, playing = "base-model-with-a-long-name-step-000100", {"slurm_job_id": "41"}
    failed = {"cause": "did not start: out of memory", "slurm_job_id": "42"}
    write_batch(root, f"{RUN}-01", [long, "b"], attempt(0, 1, 5, None, **playing), games={"b": 8})
    write_batch(root, f"{RUN}-02", ["c"], attempt(0, 1, None, 9, **failed), games={"c": 8})
    write_journal(root, long, [journal_line(q, g) for q in range(4) for g in (0, 1)])
    write_journal(root, "b", [journal_line(q, 0, state="unparsed") for q in range(3)])
    return root


SCRIPT = str(SCRIPTS / "monitor.py")


def run(*arguments, encoding="utf-8", cwd=None):
    """Without a PATH there is no squeue: only the files speak."""
    env = {"PATH": "", "PYTHONIOENCODING": encoding}
    return run_script("monitor.py", *arguments, env=env, cwd=cwd)


def text_of(root, *arguments, **keys):
    done = run("--results", root, *arguments, **keys)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def json_of(root, *arguments):
    return json.loads(text_of(root, "--json", *arguments))


@pytest.mark.parametrize("width", [80, 160])
def test_a_page_fits_its_width_and_says_all(root, width):
    text = text_of(root, "--width", width)
    lines = text.splitlines()
    assert [line for line in lines if len(line) > width and not line.startswith("  see")] == []
    assert "\x1b" not in text  # no colours in a file
    assert re.search(f"some-bench.* some-judge(.|\n)*JOBS of run {RUN}:", text)
    assert re.search(r"^◐ b +–/–.* 0/4( partial)? +3/8 ", text, re.M)
    assert re.search(r"^· c +–/–.* 0/4( missing)? +0/8 ", text, re.M)
    assert "11 of 24" not in text  # the model without a known number counts as played
    assert f"✗ batch {RUN}-02 on n1: did not start: out of memory\n  see server.log" in text
    assert ("too_long" in text) == (width == 160)


def test_the_end_of_a_log_is_shown_line_by_line_and_its_path_once(root):
    cause = "did not start\nEnd of its log, server.log:\n  one\n  two"
    write_attempt(root, f"{RUN}-02", attempt(0, 1, None, 9, cause=cause))
    text = text_of(root)
    assert re.search(r"did not start\n +End of .*server\.log:\n +one\n +two\n", text)
    assert text.count("server.log") == 1


def test_ascii_and_no_colour(root):
    write_attempt(root, f"{RUN}-02", attempt(0, 1, None, 9, cause="d’oh"))
    for given, encoding in ((["--ascii"], "utf-8"), ([], "ascii"), ([], "latin-1")):
        for more in ([], ["--json"]):
            assert text_of(root, *given, *more, encoding=encoding).isascii()
    assert "\x1b[38;5;172m" in text_of(root, "--color", "always")


def test_a_toy_is_called_so_by_its_batch_alone(root):
    assert "a toy" not in text_of(root)
    write_batch(root, f"{RUN}-03", ["d"], judge={"server": "demo"})
    assert re.search(r"judge some-judge \(a toy.*\)  \d", text_of(".", cwd=root))
    assert json_of(root)["toy"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--results", "nosuch"], "monitor: --results nosuch: no such folder"),
        (["--watch", "nan"], "argument --watch: .*'nan'"),
        (["--sort", "name"], "argument --sort: .*" + ".*".join(SORTS)),
        ([], "config/config.yaml: No such file(.|\n)*--results"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, arguments, words):
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode > 0, done.stdout) == (True, "")
    assert re.search(words, done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("wrong", "right"), [("..", "some-judge"), ("games", "")])
def test_a_folder_that_holds_no_results_is_refused_with_the_one_that_is_near(root, wrong, right):
    done = run("--results", root / wrong)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(f"results_dir.*did you mean .*{right}", done.stderr)


def row(model, answered=12, **keys):
    """A row of which only what filters and sorts look at is known."""
    known = {"mark": "partial", "at": "judging", "batch": None, "states": {}, "no_verdict": 0}
    known |= {"played": 0, "speed": 0.0, "left": None} | keys
    return SimpleNamespace(model=model, answers=SimpleNamespace(answered=answered), **known)


ROWS = [
    row("c", mark="missing", at="queued", batch="r-02", answered=None),
    row("b-2", played=3, speed=0.1, left=500.0, states={"ok": 2, "unparsed": 1}, no_verdict=1),
    row("b-10", at="stopped", played=7, batch="r-02", states={"ok": 7}, answered=11),
    row("a", mark="done", at="done", played=9, speed=0.2, left=5.0, states={"ok": 5}, no_verdict=4),
]


@pytest.mark.parametrize(
    ("filters", "sort", "models"),
    [
        (["b*"], None, "b-2 b-10"),
        (["unparsed"], None, "b-2"),
        (["r-02", "b-2"], None, "c b-2 b-10"),
        (["queued", "done"], None, "c a"),
        ([], "model", "a b-2 b-10 c"),
        ([], "activity", "b-2 b-10 c a"),
        ([], "answers", "c b-10 b-2 a"),
        ([], "games", "a b-10 b-2 c"),
        ([], "no-verdict", "a b-2 c b-10"),
        ([], "speed", "a b-2 c b-10"),
        ([], "left", "b-2 a c b-10"),
    ],
)
def test_filter_and_sort(filters, sort, models):
    assert [row.model for row in chosen(ROWS, filters, sort)] == models.split()


def test_it_changes_nothing_and_shows_models_as_asked(root):
    def files():
        return {path: path.stat().st_mtime_ns for path in root.parent.parent.rglob("*")}

    before = files()
    found = json_of(root, "--filter", "b", "--filter", "c", "--sort", "games")
    assert [model["model"] for model in found["models"]] == ["b", "c"]
    text = f"batch {RUN}-02 on n1: did not start: out of memory"
    assert found["wrong"][0] == {"text": text, "grave": True, "where": "server.log"}
    assert files() == before


@pytest.mark.parametrize("columns", [80, 66])
def test_watch_refreshes_in_place_and_gives_the_screen_back(root, columns):
    """In a terminal of 24 lines: no line is lost at the top, none is longer than the screen."""
    pid, terminal = pty.fork()
    if pid == 0:
        env = {"PATH": "", "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, SCRIPT, "--results", str(root), "--watch", "0.2"]
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(sys.executable, command, env)
    seen = b""

    def read_until(condition):
        nonlocal seen
        deadline = time.monotonic() + 180
        while not condition():
            assert time.monotonic() < deadline, seen[-2000:]
            if select.select([terminal], [], [], 0.1)[0]:
                seen += os.read(terminal, 65536)

    read_until(lambda: seen.count(b"\x1b[H") >= 3)
    write_journal(root, "c", [journal_line(0, 0), journal_line(0, 1)])
    read_until(lambda: re.search(rb"c .* 1/4 ", seen.rpartition(b"\x1b[H")[2]))
    os.kill(pid, signal.SIGINT)
    read_until(lambda: b"\x1b[?1049l" in seen)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    frame = seen.split(b"\x1b[H")[2].decode().replace("\r\n", "\n")
    lines = re.sub(r"\x1b\[[KJ]", "", frame).split("\n")
    assert len(lines) <= 24
    assert max(visible(line) for line in lines) <= columns
    assert b"\x1b[?1049h" in seen.split(b"\x1b[H")[0]


def test_where_rows_do_not_fit_the_most_active_stay(root, monkeypatch):
    """Unless another order is asked for. Slurm knows none of the older jobs any more."""
    monkeypatch.setattr(slurm, "squeue", lambda: ([], None))
    write_journal(root, "c", [journal_line(0, 0)])
    write_batch(root, f"{RUN}-04", [f"z{number}" for number in range(30)])
    write_batch(root, f"{RUN}-05", ["zz"], attempt(0, 1, 5, None))
    reader = StatusReader(Campaign(Layout(root)))
    status = reader.read()

    def first(height, **keys):
        lines = screen(status, [], status.rows, Style(whole=True), height, **keys)
        at = next(place for place, line in enumerate(lines) if line.startswith("MODELS"))
        return lines[at + 2].split()[1]

    whole = status.rows[0].model
    assert (first(None), first(99), first(24, ordered=True)) == (whole, whole, whole)
    assert first(24) == "zz"


def test_a_page_is_written_again_and_again(root, tmp_path):
    page = tmp_path / "status.html"
    assert text_of(root, "--html", page) == ""
    assert "base-model-with-a-long-name-step-000100" in page.read_text("utf-8")
    command = [sys.executable, SCRIPT, "--results", root, "--html", page, "--watch", "0.1"]
    watching = subprocess.Popen([*map(str, command)], env={"PATH": ""}, stdout=subprocess.PIPE)
    try:
        write_journal(root, "newcomer", [journal_line(0, 0)])
        eventually(lambda: "newcomer" in page.read_text("utf-8"))
        assert "location.reload" in page.read_text("utf-8").rpartition("<script>")[2]
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(180) == 0
