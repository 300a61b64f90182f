"""The tests' own Slurm where it cannot be: said in words, and no test of it fails."""

import os
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
