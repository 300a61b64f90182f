# Config, wildcards and input functions; nothing else. Paths:
#   <judgments_dir>/<judge>/{model}.jsonl            the judgments
#   <results_dir>/<bench>/<judge>/server/{batch}.json   address of a batch's judge server, gone with it
import contextlib
import functools
import re
import sys
from pathlib import Path

from snakemake.io import IOFile
from snakemake.iocontainers import InputFiles, Wildcards
from snakemake.logging import logger

# A Path, which Snakemake does not compare among params: a project may move.
SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from arena.campaign import batches
from arena.campaign import validation
from arena.journals.adoption import report_adoption
from arena.setup.config import check_config
from arena.support.errors import ArenaError, ConfigError
from arena.support.environment import inherit_batch, put_first, put_python_first
from arena.setup.resolve import resolve

put_python_first()  # also on a node where no environment is active
put_first(SCRIPTS.parent / "bin")  # sacct: cancelled and preempted jobs are seen to end


@contextlib.contextmanager
def errors_for_users():
    """Show the text of an error and end; an exception would bury it in lines of Snakemake's stack."""
    try:
        yield
    except ArenaError as error:
        logger.error(str(error))
        sys.exit(1)


with errors_for_users():
    config = check_config(config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml")
    SETTINGS = resolve(config, Path(workflow.basedir) / "config/prompts")

if not workflow.is_main_process:
    # In a job. Snakemake runs a group in cores + 5 threads, or in one a member, and the group itself takes one of
    # them: on few cores the last client would wait until another has ended.
    workflow.resource_settings.cores = max(workflow.cores, SETTINGS.batch_size)

ROOT = str(SETTINGS.root)
JUDGMENT = SETTINGS.judgment("{model}")
RUN = batches.run_name()


wildcard_constraints:
    model="|".join(map(re.escape, SETTINGS.selected)) or "(?!)",
    batch=r"[\w-]+",


@functools.cache
def checked():
    """What the checks found, made once, by the main process; stops for what only the user can mend."""
    with errors_for_users():
        found = validation.check_settings(SETTINGS)
        found.raise_blocking()
    for line in found.left_out():
        logger.warning(line)
    return found


def ready_models():
    """The selected models whose answers can be judged."""
    if not workflow.is_main_process:
        # A cluster job plays what it was sent for and checks nothing.
        return SETTINGS.selected
    return tuple(model for model in SETTINGS.selected if model in checked().ready)


def inputs_of(model):
    others = [*SETTINGS.baseline_models, *filter(None, [SETTINGS.judge["reference"]])]
    return [SETTINGS.answer(name) for name in (model, *others)] + [str(SETTINGS.questions)]


def server_of_batch(wildcards):
    batch = plan().batch_of[wildcards.model] if workflow.is_main_process else batch_of_this_job()
    return service(f"{ROOT}/server/{batch}.json")


def selected_judgments(wildcards):
    return [SETTINGS.judgment(model) for model in ready_models()]


def all_judgments(wildcards):
    """Of every configured model that has judgments or gets them now."""
    ready = set(ready_models())
    files = {model: SETTINGS.judgment(model) for model in SETTINGS.models}
    found = [file for model, file in files.items() if model in ready or Path(file).exists()]
    if not found and workflow.is_main_process:
        with errors_for_users():
            raise ConfigError(
                "only: [] judges nothing, and nothing is judged yet: leave `only` out, or name models"
            )
    return found


def style_answers(wildcards):
    """Style control compares the answers as well as the verdicts."""
    if not SETTINGS.leaderboard["control_features"]:
        return []
    models = [Path(file).stem for file in all_judgments(wildcards)] + SETTINGS.baseline_models
    return [file for model in models if Path(file := SETTINGS.answer(model)).exists()]


def foreign_judgments(wildcards):
    """No input files: in a dry run, says what would be taken from judgments of others."""
    if workflow.dryrun:
        with errors_for_users():
            report_adoption(SETTINGS, logger.info, dry_run=True)
    return []
