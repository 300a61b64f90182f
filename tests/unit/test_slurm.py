"""Slurm without Slurm: its notations, and Snakemake's record of the jobs it submitted."""

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from arena.support import slurm
from snakemake.persistence.file import FilePersistence


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:07", 7),
        ("01:20:00", 4800),
        ("2-03:04:05", 183845),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_seconds(text, seconds):
    assert slurm.seconds(text) == seconds


def record(workdir: Path, output: str, job: str | None) -> None:
    """As Snakemake's `persistence.started` leaves it: names over 254 characters become folders."""
    code = urlsafe_b64encode(output.encode()).decode()
    pieces = [code[i : i + 254] for i in range(0, len(code), 254)]
    parts = [f"@{piece}" for piece in pieces[:-1]] + pieces[-1:]
    path = workdir.joinpath(".snakemake", "incomplete", *parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"external_jobid": job}))


def test_jobs_that_wait_are_known_by_their_outputs(tmp_path):
    root = tmp_path / "results" / "bench" / "judge"
    root.mkdir(parents=True)
    record(tmp_path, "results/bench/judge/server/run-01.json", "11")
    record(tmp_path, str(root / "server" / "run-02.json"), "12")
    record(tmp_path, f"results/bench/judge/server/{'x' * 300}.json", "13")
    record(tmp_path, "results/bench/judge/server/run-03.json", None)  # not submitted yet
    record(tmp_path, "results/other/judge/server/run-04.json", "14")  # another campaign
    record(tmp_path, "data/bench/model_judgment/judge/a.jsonl", "11")
    (tmp_path / ".snakemake/incomplete/migration_underway").write_text("")
    found = slurm.batch_of_job(tmp_path, root)
    assert found == {"11": "run-01", "12": "run-02", "13": "x" * 300}
    assert slurm.batch_of_job(tmp_path / "elsewhere", root) == {}


def test_the_record_is_snakemakes_own(tmp_path):
    """The names above are those that this version of Snakemake writes."""
    subject = tmp_path / ".snakemake" / "incomplete"
    subject.mkdir(parents=True)

    class Names:
        _max_len = 255
        _fetch_max_len = FilePersistence._fetch_max_len

    name = f"results/server/{'y' * 300}.json"
    path = FilePersistence._record_path(Names(), str(subject), name)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text('{"external_jobid": "5"}')
    assert slurm.batch_of_job(tmp_path, tmp_path / "results") == {"5": "y" * 300}


def test_commands_without_a_cluster_are_no_slurm(tmp_path, monkeypatch):
    """Debian's client packages are installed, and nothing says where a controller is."""
    squeue = tmp_path / "squeue"
    squeue.write_text(
        "#!/bin/sh\necho 'squeue: error: resolve_ctls_from_dns_srv: Unknown host' >&2\n"
        "echo 'squeue: fatal: Could not establish a configuration source' >&2\nexit 1\n"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert slurm.squeue() == (None, None)
    squeue.write_text("#!/bin/sh\necho 'squeue: error: Connection refused' >&2\nexit 1\n")
    assert slurm.squeue() == (None, "squeue: error: Connection refused")
