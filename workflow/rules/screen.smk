# Terminal output of a run: arena/campaign/screen.py replaces Snakemake's blocks, unless --quiet or --verbose is given.
# A workflow that imports this one keeps its own output. In both cases a thread adds lines on our batches.
from arena.batch.answer_plan import AnswerPlan
from arena.campaign.run_watch import RunWatch, watch_run
from arena.campaign.screen import Screen, outlive_reader
from arena.campaign.summary import Places


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
    places = Places(SETTINGS.root, SETTINGS.judgments_dir, shlex.join(monitor))
    return Screen(handlers[0], places, dry=output.dryrun)


SCREEN = screen()


def show_plan(made, games):
    """Log the planned batches, and in a run start the thread that reports on them."""
    if PLANNING:
        return  # the page of rule plan shows them
    answers = checked().answers if made.models else AnswerPlan()
    asked = answers.asked(checked().questions) if made.models else {}
    games_left = games | planning.games_left(SETTINGS, made, games, answers.redone)
    asked_left = asked | answers.left
    lines = (*answers.lines(asked, asked_left), *made.lines(games, games_left))
    layouts = dict.fromkeys(made.batches, LAYOUT)
    layouts |= {batch: Layout(ANSWERS.root) for batch in answers.batches}
    sizes = made.sums(games) | answers.sums(asked)
    left = made.sums(games_left) | answers.sums(asked_left)
    played = {batch: sizes[batch] - left[batch] for batch in sizes}
    bar = SCREEN.draw if SCREEN and SCREEN.is_terminal else None
    watch = RunWatch(layouts, RUN, sizes, played, minutes=bar is None)
    if SCREEN:
        left_out = len(SETTINGS.selected) - len(ready_models()) + len(SETTINGS.odd_names)
        pilot = tuple(SETTINGS.pilot_note())
        SCREEN.places = replace(SCREEN.places, pilot=pilot, left_out=left_out)
        SCREEN.watch, SCREEN.plan, SCREEN.models = watch, lines, made.models
    if not (SCREEN and workflow.dryrun):  # a dry run shows them at its end
        for line in lines:
            logger.info(line)
    if layouts and not workflow.dryrun:
        watch_run(watch, logger.info, lambda: logger.handlers, bar)
