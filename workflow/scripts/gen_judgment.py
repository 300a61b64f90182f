"""Adapter of the rule gen_judgment: see arena/batch/gen_judgment.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from arena.batch.gen_judgment import Job, judge_model
from arena.support.errors import ArenaError

job = Job(
    model=snakemake.wildcards.model,
    answer=Path(snakemake.input.answer),
    baselines=[Path(path) for path in snakemake.input.baseline],
    references=[Path(path) for path in snakemake.input.get("reference", [])],
    questions=Path(snakemake.input.questions),
    server=Path(snakemake.input.server),
    output=Path(snakemake.output[0]),
)
try:
    judge_model(
        job,
        snakemake.params.settings.judgment_params(),
        snakemake.log[0] if snakemake.log else None,
    )
except ArenaError as error:
    sys.exit(f"gen_judgment: {error}")
