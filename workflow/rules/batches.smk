# Which models share a job, and what its rules need to know of it. Functions only; the logic is arena/batch/plan.py.
import json
import shlex
import time
from dataclasses import replace

from arena.batch.answer_plan import describe_answers, servings, set_aside
from arena.journals.records import BatchPlan

from arena.campaign.stop import this_process

RUN = planning.run_name()
MAIN = this_process()  # now: Snakemake takes the Slurm job that it runs in out of its environment


@functools.cache
def plan():
    """Which models are to be judged and which share a job; made once, by the main process."""
    with errors_for_users():
        ready = ready_models()
        games = checked().games if ready else {}
        made = planning.make_plan(SETTINGS, ready, games, checked().answers.models if ready else ())
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
    batch, answers = wildcards.batch, checked().answers
    run = {"run": RUN, "time": time.time(), "main": MAIN}
    if wildcards.root == ROOT:
        described = planning.describe(batch, members(batch), checked().games, SETTINGS, **run)
        # As the other stage has made them: a model without answers must not keep the others from being judged.
        made = {
            model: str(Layout(ANSWERS.root).made(model))
            for model in described.models
            if model in answers.models
        }
        described = replace(described, answers={**described.answers, **made})
    else:
        described = describe_answers(batch, answers.members(batch), answers, SETTINGS, **run)
    if ANSWERS:
        described = replace(described, beside=tuple({ROOT, str(ANSWERS.root)} - {wildcards.root}))
    return json.dumps(described.to_json(), indent=1).replace("'", r"\u0027")


def answers_of_batch(wildcards):
    """Answer files, or what tells that the batch which makes them has ended."""
    if not workflow.is_main_process:
        described = json.loads(LAYOUT.batch(wildcards.batch).read_text(encoding="utf-8"))
        return list(filter(os.path.exists, described["answers"].values()))
    models, answers = members(wildcards.batch), checked().answers
    found = {
        ended_by(ANSWERS.root, batch) for model in models if (batch := answers.batch_of(model))
    }
    return [
        *(SETTINGS.answer(model) for model in models if model not in answers.models),
        *sorted(found),
    ]


def ended_by(root, batch):
    """The file that is there once a batch, or a replay, has ended by itself."""
    folder = "replayed" if batch.startswith(planning.REPLAY) else "played"
    return f"{root}/{folder}/{batch}"


def made_by(wildcards):
    """What makes a model's judgments: its batch, or a replay of its journal; nothing where they are there.

    Missing intermediate files alone make Snakemake run nothing: where there are judgments, of other settings or inputs, a
    file that is newer does.
    """
    batch = plan().batch_of(wildcards.model) if workflow.is_main_process else None
    if batch is None:
        return {}
    stale = [str(LAYOUT.stale(wildcards.model))] if wildcards.model in plan().stale else []
    return {"played": ended_by(ROOT, batch), "stale": stale}


def serving_of(batch):
    """Models of a batch of answers, and servers that it starts one after the other."""
    if workflow.is_main_process:
        models = checked().answers.members(batch)
        return len(models), len(servings(checked().answers, models, ANSWERS))
    plan = BatchPlan.from_json(json.loads(Layout(ANSWERS.root).batch(batch).read_text()), batch)
    return len(plan.models), len(plan.servings)


def answer_walltime(wildcards, attempt):
    return round(ANSWERS.job_minutes(*serving_of(wildcards.batch), attempt))


def answered_by(wildcards):
    """What makes a model's answers; nothing where they are there, whoever made them."""
    answers = checked().answers if workflow.is_main_process else None
    batch = answers and answers.batch_of(wildcards.model)
    if not batch:
        return {}
    layout, stale = Layout(ANSWERS.root), []
    if wildcards.model in answers.redone or wildcards.model in answers.completed:
        stale = [str(layout.stale(wildcards.model))]
        planning.touch_stale(layout.stale(wildcards.model))
        if not workflow.dryrun:
            set_aside(layout, wildcards.model, Path(SETTINGS.answer(wildcards.model)))
    return {"played": ended_by(ANSWERS.root, batch), "stale": stale}


def publication(model, batch):
    """The command that publishes a model's answers, less the file."""
    settings = checked().answers.digests[model]
    given = ["--root", ANSWERS.root, "--model", model, "--settings", settings, "--batch", batch]
    return shlex.join(["python", *map(str, [SCRIPTS / "judgment.py", *given])])


def used_by_answers(wildcards):
    """The ledger of the answers that this run makes."""
    return [f"{ANSWERS.root}/ledger.tsv"] if ANSWERS and checked().answers.batches else []
