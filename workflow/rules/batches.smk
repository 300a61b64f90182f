# Input functions and params of the rules that run batches. Which models share a job: arena/batch/plan.py.
import json
import shlex
import time
from dataclasses import replace

from arena.batch.answer_plan import describe_answers, servings, set_aside
from arena.campaign.screen import GIVEN_UP
from arena.campaign.stop import this_process
from arena.journals.records import BatchPlan

RUN = planning.run_name()
MAIN = this_process()  # now: Snakemake removes the Slurm job that it runs in from its environment
# `snakemake plan`: its page needs the resources that a profile gives to the batches' own rules.
PLANNING = workflow.is_main_process and any(re.fullmatch(r"\w*plan", word) for word in sys.argv[1:])

# Profiles give GPUs to gen_judgment and gen_answer. Batches without GPUs have rules of other names, which no profile gives any.
GEN_JUDGMENT = "gen_judgment" if SETTINGS.judge["server"] == "vllm" else "gen_judgment_no_gpu"
GEN_ANSWER = "gen_answer_no_gpu"
if ANSWERS and any(writer.server["server"] == "vllm" for writer in ANSWERS.writers.values()):
    GEN_ANSWER = "gen_answer"


@functools.cache
def plan():
    """Which models are judged and which of them share a job. Made once, by the main process."""
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
    """The judge cannot start, or the budget is used up: submit no more batches and retry none."""
    logger.error(f"{GIVEN_UP}: {why}")
    submit_nothing_more()


def members(batch):
    """Models of a batch: from the plan, or in a job from the file that the main process wrote."""
    if workflow.is_main_process:
        return plan().members(batch)
    return json.loads(LAYOUT.batch(batch).read_text(encoding="utf-8"))["models"]


def walltime(wildcards, attempt):
    return round(SETTINGS.job_minutes(len(members(wildcards.batch)), attempt))


def answer_walltime(wildcards, attempt):
    batch = wildcards.batch
    if workflow.is_main_process:
        models = checked().answers.members(batch)
        starts = len(servings(checked().answers, models, ANSWERS))
    else:
        text = Layout(ANSWERS.root).batch(batch).read_text(encoding="utf-8")
        described = BatchPlan.from_json(json.loads(text), batch)
        models, starts = described.models, len(described.servings)
    return round(ANSWERS.job_minutes(len(models), starts, attempt))


def batch_text(wildcards):
    """Text of a batch file. Apostrophes, which a shell would have to quote, are JSON escapes in it."""
    batch, answers = wildcards.batch, checked().answers
    run = {"run": RUN, "time": time.time(), "main": MAIN}
    if wildcards.root == ROOT:
        described = planning.describe(batch, members(batch), checked().games, SETTINGS, **run)
        # The record of what gen_answer made: a model whose answers failed must not stop the others from being judged.
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
    """Answer files of a batch's models; for answers that this run generates, the marker of their batch."""
    if not workflow.is_main_process:
        described = json.loads(LAYOUT.batch(wildcards.batch).read_text(encoding="utf-8"))
        return list(filter(os.path.exists, described["answers"].values()))
    models, answers = members(wildcards.batch), checked().answers
    batches = {answers.batch_of(model) for model in models} - {None}
    return [
        *(SETTINGS.answer(model) for model in models if model not in answers.models),
        *sorted(end_marker(ANSWERS.root, batch) for batch in batches),
    ]


def end_marker(root, batch):
    """The file that exists once a batch, or a replay, has ended without an error of the job."""
    folder = "replayed" if batch.startswith(planning.REPLAY) else "played"
    return f"{root}/{folder}/{batch}"


def judgment_sources(wildcards):
    """Inputs that remake a model's judgments; none where the judgments are up to date.

    Missing intermediate files alone do not make Snakemake run a rule. Where there are judgments of other settings or inputs,
    a newer file does.
    """
    batch = plan().batch_of(wildcards.model) if workflow.is_main_process else None
    if batch is None:
        return {}
    stale = [str(LAYOUT.stale(wildcards.model))] if wildcards.model in plan().stale else []
    return {"played": end_marker(ROOT, batch), "stale": stale}


def answer_sources(wildcards):
    """Inputs that make a model's answers; none where the answers exist, whoever made them."""
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
    return {"played": end_marker(ANSWERS.root, batch), "stale": stale}


def publish_answers(model, batch):
    """The command that publishes a model's answers; the rule appends the output file."""
    settings = checked().answers.digests[model]
    given = ["--root", ANSWERS.root, "--model", model, "--settings", settings, "--batch", batch]
    return shlex.join(["python", *map(str, [SCRIPTS / "judgment.py", *given])])


def answers_ledger(wildcards):
    return [f"{ANSWERS.root}/ledger.tsv"] if ANSWERS and checked().answers.batches else []
