# Config, wildcards and input functions; nothing else. The paths below {results_dir}/<bench>/<judge> are those of
# arena/data/layout.py; judgments are <judgments_dir>/<judge>/{model}.jsonl.
import contextlib
import functools
import os
import re
import sys
from pathlib import Path

from snakemake.logging import logger

from arena.batch import plan as planning
from arena.batch.made import check_owner, claim, made_otherwise
from arena.batch.early_stop import submit_nothing_more, watch_for_early_stop
from arena.batch.resources import asked_for
from arena.campaign import validation
from arena.data.layout import Layout
from arena.journals.adopt import report_adoption
from arena.judge.endpoints import check_keys
from arena.setup.config import check_config
from arena.setup.resolve import resolve
from arena.support.environment import put_first
from arena.support.errors import ArenaError, ConfigError
from arena.support.files import load_yaml, read_text

put_first(Path(sys.executable).parent)  # `python` on a node where no environment is active
put_first(RULES.parent / "bin")  # sacct: cancelled and preempted jobs are seen to end


@contextlib.contextmanager
def errors_for_users():
    """Show the text of an error and end; an exception would bury it in lines of Snakemake's stack."""
    try:
        yield
    except ArenaError as error:
        logger.error(str(error))
        sys.exit(1)


CONFIG = "config/config.yaml"
# A user's own file replaces the shipped example: nothing of the demo may leak into it.
if not workflow.config_settings.configfiles:
    if Path(CONFIG).is_file():
        with errors_for_users():  # Snakemake's own error of YAML names neither file nor line
            load_yaml(read_text(CONFIG), CONFIG)

    configfile: CONFIG


with errors_for_users():
    config = check_config(config, RULES.parent / "schemas/config.schema.yaml")
    SETTINGS = resolve(config, RULES.parent.parent / "config/prompts")

LAYOUT = Layout(SETTINGS.root)
ANSWERS = SETTINGS.answers
ROOT = str(SETTINGS.root)
OPPONENTS = [path for _, path in SETTINGS.opponents()]


wildcard_constraints:
    model="|".join(map(re.escape, SETTINGS.selected)) or "(?!)",
    batch=r"(replay-)?[0-9a-f]{8}",
    root="|".join(re.escape(str(one)) for one in (ROOT, ANSWERS and ANSWERS.root) if one),


@functools.cache
def checked():
    """What the checks found, made once, by the main process; stops for what only the user can mend."""
    with errors_for_users():
        found = validation.check_settings(SETTINGS)
        found.raise_blocking()
        if not workflow.dryrun:
            for model in found.answers.models:
                check_keys(ANSWERS.writers[model].server)
    for line in found.left_out():
        logger.warning(line)
    return found


def ready_models():
    """The selected models whose answers can be judged; a job of a cluster checks nothing."""
    if not workflow.is_main_process or not SETTINGS.selected:
        return SETTINGS.selected
    ready = checked().ready
    return tuple(model for model in SETTINGS.selected if model in ready)


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


def names_of_judged(wildcards):
    """A param: a model that is left out changes the tables, though no file is newer."""
    return [Path(file).stem for file in all_judgments(wildcards)]


def notes_of_tables(wildcards):
    """What part of the questions they are of; and one table should be of one setting."""
    settled = [name for name in names_of_judged(wildcards) if plan().batch_of(name) is None]
    return [*SETTINGS.pilot_note(), *made_otherwise(LAYOUT, settled, SETTINGS.digest)]


def style_answers(wildcards):
    """Style control compares the answers as well as the verdicts; their tokens can be shown."""
    if not (SETTINGS.leaderboard["control_features"] or SETTINGS.leaderboard["tokens"]):
        return []
    models = names_of_judged(wildcards) + SETTINGS.baseline_models
    return [file for model in models if Path(file := SETTINGS.answer(model)).exists()]


def foreign_judgments(wildcards):
    """No input files: in a dry run, says what would be taken from judgments of others."""
    if workflow.dryrun:
        with errors_for_users():
            check_owner(SETTINGS.judgments_dir, SETTINGS.root)
            report_adoption(SETTINGS, logger.info, dry_run=True)
    return []
