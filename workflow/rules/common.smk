# Config, wildcards and input functions. The paths below {results_dir}/<bench>/<judge> are those of
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
from arena.support.errors import ArenaError, ConfigError
from arena.support.files import load_yaml, read_text
from arena.support.processes import put_first

# bin/: our sacct, which shows the end of cancelled and preempted jobs. The folder of this Python: for nodes without an active
# environment.
put_first(RULES.parent / "bin", Path(sys.executable).parent)


@contextlib.contextmanager
def errors_for_users():
    """Log an error and exit: an exception would be shown below a long traceback of Snakemake."""
    try:
        yield
    except ArenaError as error:
        logger.error(str(error))
        sys.exit(1)


CONFIG = "config/config.yaml"
# A --configfile replaces the shipped example; Snakemake would merge the two.
if not workflow.config_settings.configfiles:
    if Path(CONFIG).is_file():
        with errors_for_users():  # Snakemake's YAML error names neither file nor line
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
    """Result of the checks, made once, by the main process. Exits on problems that the user must fix."""
    with errors_for_users():
        found = validation.check_settings(SETTINGS)
        if not workflow.dryrun:
            with contextlib.suppress(OSError):  # only the monitor reads it
                found.write(LAYOUT)
        found.raise_blocking()
        if not workflow.dryrun:
            for model in found.answers.models:
                check_keys(ANSWERS.writers[model].server)
    for line in [*found.left_out(), *found.with_gaps()]:
        logger.warning(line)
    return found


def ready_models():
    """The selected models whose answers can be judged. Slurm jobs check nothing."""
    if not workflow.is_main_process or not SETTINGS.selected:
        return SETTINGS.selected
    ready = checked().ready
    return tuple(model for model in SETTINGS.selected if model in ready)


def selected_judgments(wildcards):
    return [SETTINGS.judgment(model) for model in ready_models()]


def all_judgments(wildcards):
    """Judgment files of all configured models that have one or get one in this run."""
    ready = set(ready_models())
    files = {model: SETTINGS.judgment(model) for model in SETTINGS.models}
    found = [file for model, file in files.items() if model in ready or Path(file).exists()]
    if not found and workflow.is_main_process:
        with errors_for_users():
            raise ConfigError(
                "config: only: [] selects no model, and there are no judgments yet: remove `only`, or "
                "name models"
            )
    return found


def judged_models(wildcards):
    """As a param: removing a model changes the tables, although no input file is newer."""
    return [Path(file).stem for file in all_judgments(wildcards)]


def table_notes(wildcards):
    """Notes below the tables: this is a pilot; which judgments are of other settings or answers."""
    judged = judged_models(wildcards)
    kept = [name for name in judged if plan().batch_of(name) is None]
    broken = checked().broken_notes(judged) if SETTINGS.selected else []
    return [*SETTINGS.pilot_note(), *made_otherwise(LAYOUT, kept, SETTINGS.digest), *broken]


def style_answers(wildcards):
    """Answer files, where style control or the column of tokens needs them."""
    if not (SETTINGS.leaderboard["control_features"] or SETTINGS.leaderboard["tokens"]):
        return []
    models = judged_models(wildcards) + SETTINGS.baseline_models
    return [file for model in models if Path(file := SETTINGS.answer(model)).exists()]


def preview_adoption(wildcards):
    """No input files; a dry run shows which judgments of other tools would be imported."""
    if workflow.dryrun:
        with errors_for_users():
            check_owner(SETTINGS.judgments_dir, SETTINGS.root)
            report_adoption(SETTINGS, logger.info, dry_run=True)
    return []
