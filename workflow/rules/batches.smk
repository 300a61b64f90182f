# Input functions and params of the rules that run batches. Which models share a job: arena/batch/plan.py.
import json
import shlex
import time
from dataclasses import replace

from arena.batch import plan as planning
from arena.batch.answer_plan import AnswerPlan, set_aside
from arena.batch.early_stop import submit_nothing_more, watch_for_early_stop
from arena.batch.made import claim
from arena.campaign.screen import GIVEN_UP
from arena.campaign.stop import this_process
from arena.journals.records import BatchPlan, decode, encode
from arena.setup.settings import job_minutes

RUN = planning.run_name()
MAIN = this_process()  # now: Snakemake removes the Slurm job that it runs in from its environment
# `snakemake plan`: its page needs the resources that a profile gives to the batches' own rules.
PLANNING = workflow.is_main_process and any(re.fullmatch(r"\w*plan", word) for word in sys.argv[1:])

# Profiles give GPUs to gen_judgment and gen_answer. Batches without GPUs have rules of other names, which no profile gives any.
# By rule: the settings of its batches, and its threads. All cores, so that one machine runs one batch at a time, except with
# toys, and endpoints that write answers. profiles/slurm sets 1.
GEN_JUDGMENT = "gen_judgment" if SETTINGS.judge["server"] == "vllm" else "gen_judgment_no_gpu"
JOBS = [(GEN_JUDGMENT, SETTINGS, 1 if SETTINGS.toy else workflow.cores)]
if ANSWERS and any(writer.server["server"] == "vllm" for writer in ANSWERS.writers.values()):
    JOBS.append(("gen_answer", ANSWERS, workflow.cores))
elif ANSWERS:
    JOBS.append(("gen_answer_no_gpu", ANSWERS, 1))


@functools.cache
def plan():
    """Which models are judged and which of them share a job. Made once, by the main process."""
    with errors_for_users():
        ready = ready_models()
        games = checked().games if ready else {}
        answers = checked().answers if ready else AnswerPlan()
        made = planning.make_plan(SETTINGS, ready, games, answers.models, answers.redone)
        if (made.batches or made.replays) and not workflow.dryrun:
            check_keys(SETTINGS.judge, upstream=SETTINGS.upstream)
            claim(SETTINGS.judgments_dir, SETTINGS.root)
    show_plan(made)
    watch_for_early_stop([one.root for one in (SETTINGS, ANSWERS) if one], RUN, stop_submitting)
    return made


def stop_submitting(why):
    """The judge cannot start, or the budget is used up: submit no more batches and retry none."""
    logger.error(f"{GIVEN_UP}: {why}")
    submit_nothing_more()


def described(root, batch):
    """A batch as the main process plans it; its job reads the file that the main process wrote."""
    if not workflow.is_main_process:
        written = Layout(Path(root)).batch(batch).read_text(encoding="utf-8")
        return decode(BatchPlan, json.loads(written))
    answers = checked().answers
    found = (plan() if root == ROOT else answers).describe(batch, SETTINGS)
    if root == ROOT:
        # The record of what gen_answer made: a model whose answers failed must not stop the others from being judged.
        made = {
            model: str(Layout(ANSWERS.root).made(model))
            for model in found.models
            if model in answers.models
        }
        found = replace(found, answers={**found.answers, **made})
    beside = {ROOT, str(ANSWERS.root)} - {root} if ANSWERS else ()
    return replace(found, beside=tuple(beside))


def walltime(settings, wildcards, attempt):
    """Minutes of a batch's job. settings: SETTINGS or ANSWERS."""
    batch = described(str(settings.root), wildcards.batch)
    starts, models = len(batch.servings) or 1, len(batch.models)
    return round(job_minutes(settings.walltime, models, starts=starts, attempt=attempt))


def batch_text(wildcards):
    """Text of a batch file. Apostrophes, which a shell would have to quote, are JSON escapes in it."""
    batch = described(wildcards.root, wildcards.batch)
    batch = replace(batch, run=RUN, time=time.time(), main=MAIN)
    return json.dumps(encode(batch), indent=1).replace("'", r"\u0027")


def answers_of_batch(wildcards):
    """Answer files of a batch's models; for answers that this run generates, the marker of their batch."""
    batch = described(ROOT, wildcards.batch)
    if not workflow.is_main_process:
        return list(filter(os.path.exists, batch.answers.values()))
    models, answers = batch.models, checked().answers
    batches = {answers.batch_of.get(model) for model in models} - {None}
    return [
        *(SETTINGS.answer(model) for model in models if model not in answers.models),
        *sorted(end_marker(ANSWERS.root, batch) for batch in batches),
    ]


def end_marker(root, batch):
    """The file that exists once a batch, or a replay, has ended without an error of the job."""
    folder = "replayed" if batch.startswith(planning.REPLAY) else "played"
    return f"{root}/{folder}/{batch}"


def judgment_sources(wildcards):
    """The answers, and inputs that remake a model's judgments: none where these are up to date.

    Missing intermediate files alone do not make Snakemake run a rule. Where there are judgments of other settings or inputs,
    a newer file does.
    """
    model = wildcards.model
    batch = plan().batch_of.get(model) if workflow.is_main_process else None
    stale = batch is not None and model in plan().stale
    return {
        "answer": ancient(SETTINGS.answer(model)),
        "played": [] if batch is None else end_marker(ROOT, batch),
        "stale": [str(LAYOUT.stale(model))] if stale else [],
    }


def answer_sources(wildcards):
    """Inputs that make a model's answers; none where the answers exist, whoever made them."""
    answers = checked().answers if workflow.is_main_process else None
    batch = answers and answers.batch_of.get(wildcards.model)
    if not batch:
        return {}
    layout, stale = Layout(ANSWERS.root), []
    if wildcards.model in answers.only:
        stale = [str(layout.stale(wildcards.model))]
        planning.touch_stale(layout.stale(wildcards.model))
        if not workflow.dryrun:
            set_aside(layout, wildcards.model, Path(SETTINGS.answer(wildcards.model)))
    return {"played": end_marker(ANSWERS.root, batch), "stale": stale}


def publisher(root, settings):
    """The beginning of the command that publishes a model's file from made/."""
    words = ["python", SCRIPTS / "judgment.py", "--root", root, "--settings", settings]
    return shlex.join(map(str, words))


def answers_ledger(wildcards):
    return [f"{ANSWERS.root}/ledger.tsv"] if ANSWERS and checked().answers.batches else []
