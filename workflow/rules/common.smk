# Config, wildcards and input functions; nothing else. The paths below {results_dir}/<bench>/<judge> are those of
# arena/data/layout.py; judgments are <judgments_dir>/<judge>/{model}.jsonl.
import contextlib
import functools
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

from snakemake.logging import logger

RULES = Path(
    workflow.current_basedir
)  # of this file: also where the workflow is imported as a module
SCRIPTS = (
    RULES.parent / "scripts"
)  # a Path, which Snakemake does not compare among params: a project may move
sys.path.insert(0, str(SCRIPTS))

from arena.batch import plan as planning
from arena.batch.early_stop import watch_for_early_stop
from arena.batch.resources import asked_for
from arena.campaign import validation
from arena.data.layout import Layout
from arena.journals.adoption import report_adoption
from arena.judge.endpoints import check_keys
from arena.setup.config import check_config
from arena.setup.resolve import resolve
from arena.support.environment import put_first, put_python_first
from arena.support.errors import ArenaError

put_python_first()  # also on a node where no environment is active
put_first(RULES.parent / "bin")  # sacct: cancelled and preempted jobs are seen to end


@contextlib.contextmanager
def errors_for_users():
    """Show the text of an error and end; an exception would bury it in lines of Snakemake's stack."""
    try:
        yield
    except ArenaError as error:
        logger.error(str(error))
        sys.exit(1)


with errors_for_users():
    config = check_config(config, RULES.parent / "schemas/config.schema.yaml")
    SETTINGS = resolve(config, RULES.parent.parent / "config/prompts")

LAYOUT = Layout(SETTINGS.root)
ROOT = str(SETTINGS.root)
RUN = planning.run_name()


wildcard_constraints:
    model="|".join(map(re.escape, SETTINGS.selected)) or "(?!)",
    batch=r"(replay-)?[0-9a-f]{8}",


@functools.cache
def checked():
    """What the checks found, made once, by the main process; stops for what only the user can mend."""
    with errors_for_users():
        found = validation.check_settings(SETTINGS)
        found.raise_blocking()
    for line in found.left_out():
        logger.warning(line)
    return found


@functools.cache
def plan():
    """Which models are to be judged and which share a job; made once, by the main process."""
    with errors_for_users():
        games = checked().games
        made = planning.make_plan(SETTINGS, ready_models(), games)
        if made.batches:
            check_keys(SETTINGS.judge)
    for line in made.lines(games):
        logger.info(line)
    watch_for_early_stop(SETTINGS.root, RUN, stop_submitting)
    return made


def stop_submitting(why):
    """A judge that cannot start, or a used-up budget: no batch more is submitted, and none retried."""
    logger.error(f"Nothing more is submitted: {why}")
    os.kill(os.getpid(), signal.SIGTERM)  # Snakemake's own word for it; what runs may end


def ready_models():
    """The selected models whose answers can be judged; a job of a cluster checks nothing."""
    if not workflow.is_main_process:
        return SETTINGS.selected
    return tuple(model for model in SETTINGS.selected if model in checked().ready)


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
        batch, members(batch), checked().games, SETTINGS, RUN, time.time()
    )
    return json.dumps(described.to_json(), indent=1).replace("'", r"\u0027")


def opponents(wildcards):
    return [path for _, path in SETTINGS.opponents()]


def answers_of_batch(wildcards):
    return [SETTINGS.answer(model) for model in members(wildcards.batch)]


def played(wildcards):
    """What makes a model's judgments: its batch, or a replay of its journal; nothing where they are there."""
    batch = plan().batch_of(wildcards.model) if workflow.is_main_process else None
    if batch is None:
        return []
    return (
        f"{ROOT}/replayed/{batch}"
        if batch.startswith(planning.REPLAY)
        else f"{ROOT}/played/{batch}"
    )


def selected_judgments(wildcards):
    return [SETTINGS.judgment(model) for model in ready_models()]


def all_judgments(wildcards):
    """Of every configured model that has judgments or gets them now."""
    ready = set(ready_models())
    files = {model: SETTINGS.judgment(model) for model in SETTINGS.models}
    return [file for model, file in files.items() if model in ready or Path(file).exists()]


def names_of_judged(wildcards):
    """A param: a model that is left out changes the tables, though no file is newer."""
    return [Path(file).stem for file in all_judgments(wildcards)]


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
