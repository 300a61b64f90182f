"""The plan of a run as a page for the terminal."""

import textwrap
from collections.abc import Sequence

from arena.journals.records import BatchPlan
from arena.setup.settings import Settings
from arena.support.humanize import counted


def plan_text(plans: Sequence[BatchPlan], settings: Settings) -> str:
    """80 columns where names allow it."""
    judge = settings.judge
    sampling = {"temperature": judge["temperature"], "max_tokens": judge["max_tokens"]}
    lines = [
        f"bench      {settings.bench}",
        f"baseline   {', '.join(settings.baseline_models)}",
        f"judge      {judge['name']} (server: {judge['server']})"
        + " - a toy, its verdicts mean nothing" * settings.toy,
        f"sampling   {', '.join(f'{k} {v}' for k, v in (sampling | judge['sampling']).items())}",
        f"settings   {settings.digest}",
        f"judgments  {settings.judgments_dir}",
    ]
    if not plans:
        return "\n".join([*lines, "Nothing to judge: every judgment is there and up to date."])
    for plan in plans:
        lines += [
            "",
            f"batch {plan.batch}: {counted(len(plan.models), 'model')}, one job",
            *textwrap.wrap(
                ", ".join(plan.models),
                80,
                initial_indent="  ",
                subsequent_indent="  ",
                break_on_hyphens=False,
            ),
            "  asks for " + ", ".join(f"{key}={value}" for key, value in plan.resources.items()),
        ]
    total = sum(len(plan.models) for plan in plans)
    return "\n".join([*lines, "", f"{counted(total, 'model')}, {counted(len(plans), 'job')}."])
