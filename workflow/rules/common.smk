# Config, wildcards and input functions; nothing else. Paths:
#   <judgments_dir>/<judge>/{model}.jsonl            the judgments
#   <results_dir>/<bench>/<judge>/server/{batch}.json   address of a batch's judge server, gone with it
import functools
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import IOFile
from snakemake.iocontainers import InputFiles, Wildcards
from snakemake.logging import logger

SCRIPTS = str(Path(workflow.basedir) / "workflow" / "scripts")
sys.path.insert(0, SCRIPTS)

from arena import batches, validation
from arena.config import check_config
from arena.errors import ArenaError
from arena.environment import inherit_batch, put_first, put_python_first
from arena.resolve import resolve

put_python_first()  # also on a node where no environment is active
put_first(Path(SCRIPTS).parent / "bin")  # sacct, so that cancelled and preempted jobs are seen to end

try:
    config = check_config(config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml")
    SETTINGS = resolve(config, Path(workflow.basedir) / "config/prompts")
except ArenaError as error:
    raise WorkflowError(str(error)) from None

ROOT = str(SETTINGS.root)
JUDGMENT = SETTINGS.judgment("{model}")
RUN = batches.run_name()


wildcard_constraints:
    model="|".join(map(re.escape, SETTINGS.selected)) or "(?!)",
    batch=r"[\w-]+",


@functools.cache
def ready_models():
    """The selected models whose answers can be judged; stops the run for what only the user can mend."""
    if not workflow.is_main_process:
        return SETTINGS.selected  # a cluster job plays what it was sent for and checks nothing
    try:
        checked = validation.check_settings(SETTINGS)
        checked.raise_blocking()
    except ArenaError as error:
        raise WorkflowError(str(error)) from None
    for line in checked.left_out():
        logger.warning(line)
    return tuple(model for model in SETTINGS.selected if model in checked.ready)


def inputs_of(model):
    others = [*SETTINGS.baseline_models, *filter(None, [SETTINGS.judge["reference"]])]
    return [SETTINGS.answer(name) for name in (model, *others)] + [str(SETTINGS.questions)]


@functools.cache
def plan():
    """Which models share a judge server; made once, by the main process."""
    waiting, settled = [], []
    for model in ready_models():
        judgment = SETTINGS.judgment(model)
        record = workflow.persistence.metadata(IOFile(judgment))
        due = batches.needs_judging(judgment, inputs_of(model), record, SETTINGS.digest)
        (waiting if due else settled).append(model)
    made = batches.make_plan(waiting, settled, SETTINGS.batch_size, RUN)
    for line in made.lines():
        logger.info(line)
    return made


@functools.cache
def batch_of_this_job():
    """The batch that a job of the main process was sent for; its children inherit the answer."""
    targets = workflow.dag_settings.target_jobs
    names = [job.wildcards_dict["batch"] for job in targets if job.rulename == "judge_server"]
    return inherit_batch(names[0] if names else None)


def server_of_batch(wildcards):
    batch = plan().batch_of[wildcards.model] if workflow.is_main_process else batch_of_this_job()
    return service(f"{ROOT}/server/{batch}.json")


def selected_judgments(wildcards):
    return [SETTINGS.judgment(model) for model in ready_models()]


def all_judgments(wildcards):
    """Of every configured model that has judgments or gets them now."""
    ready = set(ready_models())
    files = {model: SETTINGS.judgment(model) for model in SETTINGS.models}
    return [file for model, file in files.items() if model in ready or Path(file).exists()]


def style_answers(wildcards):
    """Style control compares the answers as well as the verdicts."""
    if not SETTINGS.leaderboard["control_features"]:
        return []
    models = [Path(file).stem for file in all_judgments(wildcards)] + SETTINGS.baseline_models
    return [file for model in models if Path(file := SETTINGS.answer(model)).exists()]


def batch_size_of(batch):
    """Models of a batch: from the plan, or in a job from the file that the main process left for it."""
    if workflow.is_main_process:
        return len(plan().members(batch))
    return len(batches.read_batch(f"{ROOT}/batches/{batch}.json")["models"])


def walltime(wildcards, attempt):
    minutes = SETTINGS.walltime
    playing = minutes["minutes_per_model"] * batch_size_of(wildcards.batch)
    return round((minutes["start_minutes"] + playing) * attempt)


def judge_threads(wildcards):
    """All cores for a judge that runs elsewhere: on one machine, one batch at a time asks it."""
    return (workflow.cores or 1) if SETTINGS.judge["server"] == "external" else 1


def described(names):
    """Batches with their requests to the scheduler, as the profile completes them."""
    server = workflow.get_rule("judge_server")
    for batch in names:
        wildcards = Wildcards(fromdict={"batch": batch})
        resources = dict(server.expand_resources(wildcards, InputFiles(), attempt=1).items())
        resources["threads"] = resources.pop("_cores")
        yield batches.describe_batch(batch, plan().members(batch), resources, SETTINGS)


def write_batches(dag, log):
    """Leave batches/<batch>.json for every batch that this run judges."""
    servers = [job for job in dag.needrun_jobs() if job.rule.name == "judge_server"]
    for batch in described(job.wildcards.batch for job in servers):
        batches.write_batch(batch, log)
