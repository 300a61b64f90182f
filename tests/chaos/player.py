"""One client of a chaos run: what the rule gen_judgment starts, with its job as JSON."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow" / "scripts"))

from arena.playing.judging import Job, judge_model
from arena.support.errors import ArenaError

described = json.loads(sys.argv[1])
paths = {key: Path(value) for key, value in described["paths"].items()}
baseline = paths.pop("baseline")
job = Job(model=described["model"], baselines=[baseline], **paths)
try:
    judge_model(job, described["settings"], described["log"])
except ArenaError as error:
    sys.exit(f"player: {error}")
