"""The tests' own Slurm where it cannot be: said in words, and no test of it fails."""

import os
import subprocess
import sys
from pathlib import Path

from tests.slurm import cluster


def test_a_link_that_a_dead_cluster_left_is_no_cluster(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "sinfo").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(cluster, "STATE", tmp_path)
    monkeypatch.setattr(cluster, "CONF", tmp_path / "slurm.conf")
    monkeypatch.setattr(cluster, "LINK", tmp_path / "link")
    assert "cluster.py start" in cluster.absence()
    cluster.CONF.touch()
    cluster.LINK.symlink_to(cluster.CONF)
    assert "cluster.py start" in cluster.absence()


def test_without_apt_get_the_installation_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, cluster.__file__, "install"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("cluster.py: no slurmctld, slurmd,")
    assert "no apt-get" in done.stderr
