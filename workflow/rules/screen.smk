# Terminal output of a run: arena/campaign/screen.py replaces Snakemake's blocks, unless --quiet or --verbose is given.
# A workflow that imports this one keeps its own output. In both cases a thread adds lines on our batches.
from arena.batch.made import check_owner
from arena.campaign.screen import RunWatch, Screen, outlive_reader, watch_run
from arena.journals.adopt import report_adoption


def screen():
    """Our output in place of Snakemake's log handler; None where Snakemake's own is wanted."""
    output = workflow.output_settings
    ours = workflow.is_main_process and workflow.modifier.is_main_snakefile()
    handlers = [one for one in logger.handlers if one.name == "DefaultStreamHandler"]
    for handler in handlers:
        outlive_reader(handler)
    if not ours or output.quiet or output.verbose or not handlers:
        return None
    monitor, given = ["python", os.path.relpath(SCRIPTS / "monitor.py")], workflow.config_settings
    if given.configfiles or given.config:  # by default, the monitor shows config/config.yaml
        monitor += ["--results", ROOT]
    paths = SETTINGS.root, SETTINGS.judgments_dir
    return Screen(handlers[0], *paths, shlex.join(monitor), dry=output.dryrun)


SCREEN = screen()


def show_plan(made):
    """Log the planned batches, and in a run start the thread that reports on them."""
    if PLANNING:
        return  # the page of rule plan shows them
    answers = checked().answers if made.models else AnswerPlan()
    lines = (*answers.lines(), *made.lines())
    layouts = dict.fromkeys(made.batches, LAYOUT)
    layouts |= {batch: Layout(ANSWERS.root) for batch in answers.batches}
    sizes = made.sums(made.games) | answers.sums(answers.games)
    left = made.sums(made.left) | answers.sums(answers.left)
    played = {batch: sizes[batch] - left[batch] for batch in sizes}
    bar = SCREEN.draw if SCREEN and SCREEN.is_terminal else None
    watch = RunWatch(layouts, RUN, sizes, played, bar)
    if SCREEN:
        SCREEN.left_out = len(SETTINGS.selected) - len(ready_models()) + len(SETTINGS.odd_names)
        SCREEN.pilot = tuple(SETTINGS.pilot_note())
        SCREEN.watch, SCREEN.plan, SCREEN.models = watch, lines, made.models
    if not (SCREEN and workflow.dryrun):  # a dry run shows them at its end
        for line in lines:
            logger.info(line)
    if layouts and not workflow.dryrun:
        watch_run(watch, logger.info, lambda: logger.handlers)


def preview_adoption(wildcards):
    """No input files; a dry run shows which judgments of other tools would be imported."""
    if workflow.dryrun:
        with errors_for_users():
            check_owner(SETTINGS.judgments_dir, SETTINGS.root)
            report_adoption(SETTINGS, logger.info, dry_run=True)
    return []
