"""Which Slurm jobs `stop.py` takes to be a campaign's."""

from pathlib import Path

from arena.campaign.stop import stop
from arena.data.layout import Layout
from arena.journals.records import BatchPlan
from arena.support import slurm


def test_jobs_of_both_stages_and_of_no_other_campaign(tmp_path, monkeypatch):
    roots = {name: tmp_path / "bench" / name for name in ("judge", "other", "answers")}
    plans = {"aaaa": ("judge", ()), "bbbb": ("other", ())}
    plans |= {"cccc": ("answers", ("judge",)), "dddd": ("answers", ("other",))}
    for batch, (root, beside) in plans.items():
        plan = BatchPlan(batch, run="r", models=("m",), beside=tuple(f"bench/{b}" for b in beside))
        plan.write(Layout(roots[root]).batch(batch))
    queue = [
        slurm.Job(ident, "RUNNING", "n1", 1, 60, "None", "", batch)
        for ident, batch in zip("1234", plans, strict=True)
    ]
    cancelled: list[str] = []
    monkeypatch.setattr(slurm, "squeue", lambda *_: (queue, None))
    monkeypatch.setattr(slurm, "cancel", lambda ids, *_: cancelled.extend(ids))
    monkeypatch.chdir(roots["judge"])
    assert stop(Layout(Path()), jobs_only=True)
    assert cancelled == ["1", "3"]
