"""The plan of a run as a page for the terminal."""

from collections.abc import Sequence

from arena.journals.records import BatchPlan
from arena.setup.settings import Settings
from arena.support.humanize import counted
from arena.support.table import Style


def plan_text(answers: Sequence[BatchPlan], plans: Sequence[BatchPlan], settings: Settings) -> str:
    """80 columns where names allow it. answers: batches of the answers stage, which run first."""
    judge = settings.judge
    sampling = {key: judge[key] for key in ("temperature", "max_tokens")} | judge["sampling"]
    toy = " - a toy: its verdicts mean nothing" * settings.toy
    lines = [
        f"bench      {settings.bench}",
        *(f"questions  {note}" for note in settings.pilot_note()),
        f"baseline   {', '.join(settings.baseline_models)}",
        f"judge      {judge['name']} (server: {judge['server']}){toy}",
        f"sampling   {', '.join(f'{key} {value}' for key, value in sampling.items())}",
        f"settings   {settings.digest}",
        f"judgments  {settings.judgments_dir}",
    ]
    if not plans and not answers:
        return "\n".join([*lines, "Nothing to do: all judgments exist and are up to date."])
    for plan in [*answers, *plans]:
        what = f"answers {plan.batch}" if plan.servings else f"batch {plan.batch}"
        lines += ["", f"{what}: {counted(len(plan.models), 'model')}, one job"]
        lines += Style(80).wrap(", ".join(plan.models), "  ", "  ")
        lines.append("  asks for " + ", ".join(f"{k}={v}" for k, v in plan.resources.items()))
    total, jobs = sum(len(plan.models) for plan in plans), len(plans) + len(answers)
    return "\n".join([*lines, "", f"{counted(total, 'model')} to judge, {counted(jobs, 'job')}."])
