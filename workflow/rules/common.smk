# Config, wildcards and input functions. Paths below {results_dir}/<bench>/<judge> are those of arena/data/layout.py.
import contextlib
import functools
import os
import re
import sys
from pathlib import Path

from snakemake.logging import logger

from arena.batch.made import made_otherwise
from arena.campaign import validation
from arena.data.layout import Layout
from arena.setup.config import check_config
from arena.setup.resolve import resolve
from arena.setup.upstream import check_keys
from arena.support.errors import ArenaError, ConfigError
from arena.support.files import load_yaml, read_text


@contextlib.contextmanager
def errors_for_users():
    """Log an error and exit: an exception would be shown below a long traceback of Snakemake."""
    try:
        yield
    except ArenaError as error:
        logger.error(str(error))
        sys.exit(1)


CONFIG = "config/config.yaml"
# Snakemake names neither file nor line of an error in YAML, and takes the last of two equal keys.
with errors_for_users():
    for file in workflow.configfiles or [CONFIG]:
        if os.path.isfile(file) and Path(file).suffix != ".json":
            load_yaml(read_text(file), file)
# A --configfile replaces the shipped example; Snakemake would merge the two.
if not workflow.config_settings.configfiles:

    configfile: CONFIG


with errors_for_users():
    config = check_config(config)
    SETTINGS = resolve(config)

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
                check_keys(ANSWERS.writers[model].server, upstream=SETTINGS.upstream)
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
    kept = [name for name in judged if name not in plan().batch_of]
    broken = checked().broken_notes(judged) if SETTINGS.selected else []
    return [*SETTINGS.pilot_note(), *made_otherwise(LAYOUT, kept, SETTINGS.digest), *broken]


def style_answers(wildcards):
    """Answer files, where style control or the column of tokens needs them."""
    if not (SETTINGS.leaderboard["control_features"] or SETTINGS.leaderboard["tokens"]):
        return []
    models = judged_models(wildcards) + SETTINGS.baseline_models
    return [file for model in models if Path(file := SETTINGS.answer(model)).exists()]
