"""The simulated campaign: its cache, its clock and its jobs, on cases worked out by hand."""

import sys

import pytest

from tests.conftest import PROJECT

sys.path.insert(0, str(PROJECT / "benchmarks"))
import campaign_simulation as simulation


def machine(**more):
    plain = {"slots": 1, "cache": 10_000, "prefill": 100.0, "decode": 10.0, "stream": 10.0}
    return simulation.Machine(**({"start": 0.0} | plain | more))


def test_fewer_gpus_than_a_job_needs_are_said(monkeypatch, capsys):
    words = "x --models 2 --questions 2 --gpus 1 2 --batch 2"
    monkeypatch.setattr(sys, "argv", words.split())
    simulation.main()
    few, enough = (line.split() for line in capsys.readouterr().out.splitlines()[2:])
    assert few[:3] == ["1", "too", "few"]
    assert enough[:3] == ["2", "2", "1"]


def test_what_the_walltime_cuts_is_played_by_a_second_job():
    server = machine(start=60.0)
    whole = simulation.campaign(4, 20, 4, 1, 1, server, 1e9)
    cut = simulation.campaign(4, 20, 4, 1, 1, server, 60 + (whole.hours * 3600 - 60) * 0.6)
    assert (whole.jobs, cut.jobs) == (1, 2)
    assert cut.gpu_hours > whole.gpu_hours + 59 / 3600  # a second start, and an empty cache
    assert whole.busy == pytest.approx(whole.gpu_hours - 60 / 3600)


def test_cache_and_clock_agree_with_the_real_ones(capsys):
    simulation.check()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(rows) == len(simulation.MEASURED)
    for row in rows:
        hits, real_hits, *seconds = map(float, row[3:])
        assert hits == pytest.approx(real_hits, abs=0.03)
        if seconds:
            assert seconds[0] == pytest.approx(seconds[1], rel=0.15)
    assert sum(len(row) == 7 for row in rows) == 5
