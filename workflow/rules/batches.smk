# Which models share a job, and what its rules need to know of it. Functions only; the logic is arena/batch/plan.py.
import json
import time

from arena.campaign.stop import this_process

RUN = planning.run_name()
MAIN = this_process()  # now: Snakemake takes the Slurm job that it runs in out of its environment


@functools.cache
def plan():
    """Which models are to be judged and which share a job; made once, by the main process."""
    with errors_for_users():
        ready = ready_models()
        games = checked().games if ready else {}
        made = planning.make_plan(SETTINGS, ready, games)
        if (made.batches or made.replays) and not workflow.dryrun:
            check_keys(SETTINGS.judge)
            claim(SETTINGS.judgments_dir, SETTINGS.root)
    show_plan(made, games)
    watch_for_early_stop(SETTINGS.root, RUN, stop_submitting)
    return made


def stop_submitting(why):
    """A judge that cannot start, or a used-up budget: no batch more is submitted, and none retried."""
    logger.error(f"Nothing more is submitted: {why}")
    submit_nothing_more()


# Whether `plan` is asked for: its page needs what a profile makes of the batches' resources, which only their own rule sees.
PLANNING = workflow.is_main_process and any(re.fullmatch(r"\w*plan", word) for word in sys.argv[1:])


def members(batch):
    """Models of a batch: from the plan, or in a job from the file that the main process wrote."""
    if workflow.is_main_process:
        return plan().members(batch)
    return json.loads(LAYOUT.batch(batch).read_text(encoding="utf-8"))["models"]


def walltime(wildcards, attempt):
    return round(SETTINGS.job_minutes(len(members(wildcards.batch)), attempt))


def described(wildcards):
    """The batch file's text; an apostrophe, which a shell would have to quote, as JSON's escape of it."""
    batch = wildcards.batch
    described = planning.describe(
        batch, members(batch), checked().games, SETTINGS, RUN, time.time(), MAIN
    )
    return json.dumps(described.to_json(), indent=1).replace("'", r"\u0027")


def answers_of_batch(wildcards):
    return [SETTINGS.answer(model) for model in members(wildcards.batch)]


def made_by(wildcards):
    """What makes a model's judgments: its batch, or a replay of its journal; nothing where they are there.

    Missing intermediate files alone make Snakemake run nothing: where there are judgments, of other settings or inputs, a
    file that is newer does.
    """
    batch = plan().batch_of(wildcards.model) if workflow.is_main_process else None
    if batch is None:
        return {}
    folder = "replayed" if batch.startswith(planning.REPLAY) else "played"
    stale = [str(LAYOUT.stale(wildcards.model))] if wildcards.model in plan().stale else []
    return {"played": f"{ROOT}/{folder}/{batch}", "stale": stale}
