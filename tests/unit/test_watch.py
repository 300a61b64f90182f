"""watch.py: Snakemake's command, and how it ends."""

import os
import signal
import subprocess
import sys

import pytest
import watch

from tests.served import SCRIPTS

FIRST = watch.NEWEST_FIRST
# A program that needs a second to end after Ctrl-C, as Snakemake does while it cancels jobs.
SLOW = """
import signal, sys, time
def end(*_):
    time.sleep(1)
    print("cancelled", flush=True)
    sys.exit(3)
signal.signal(signal.SIGINT, end)
print("runs", flush=True)
signal.pause()
"""


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (["-n"], ["-n", "--config", FIRST]),
        (["--config", "a=1", "-n"], ["-n", "--config", FIRST, "a=1"]),
        (["--config=a=1", "-C", "b=1"], ["--config", FIRST, "b=1"]),  # as Snakemake: the last one
        (["-Ca=1", "-j", "4"], ["-j", "4", "--config", FIRST, "a=1"]),
        (["-n", "--", "plan"], ["-n", "--config", FIRST, "--", "plan"]),
    ],
)
def test_its_own_config_joins_the_users(given: list, asked: list) -> None:
    assert watch.command_of(given)[3:] == asked


def test_after_ctrl_c_snakemake_has_the_time_to_cancel_its_jobs() -> None:
    code = f"import sys, watch; watch.status_of([sys.executable, '-c', {SLOW!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
    ) as process:
        assert process.stdout and process.stdout.readline() == "runs\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=60)[0] == "cancelled\n"
    assert process.returncode == -signal.SIGINT  # watch itself ends as well


def test_once_the_file_is_there_it_looks_a_last_time(tmp_path, monkeypatch):
    file, runs = tmp_path / "end", []

    def run(command: list[str]) -> int:
        runs.append(command)
        file.touch()
        return len(runs)

    monkeypatch.setattr(watch, "status_of", run)
    with pytest.raises(SystemExit) as ended:
        watch.main(["--every", "0", "--until", str(file), "--", "-n"])
    assert (len(runs), ended.value.code) == (2, 2)
