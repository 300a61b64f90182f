# What a person sees of a run: arena/campaign/screen.py in the place of Snakemake's blocks, unless --quiet or --verbose asks for
# Snakemake's own. A workflow that imports this one keeps its screen; a thread adds the lines of our batches to either.
from arena.batch.answer_plan import AnswerPlan
from arena.campaign.run_watch import RunWatch, watch_run
from arena.campaign.screen import Screen
from arena.campaign.summary import Places


def screen():
    """The handler of the terminal, taken over; None where Snakemake's own lines are wanted."""
    asked = workflow.output_settings
    ours = workflow.is_main_process and workflow.modifier.is_main_snakefile()
    handlers = [one for one in logger.handlers if one.name == "DefaultStreamHandler"]
    if not ours or asked.quiet or asked.verbose or not handlers:
        return None
    places = Places(SETTINGS.root, SETTINGS.judgments_dir, os.path.relpath(SCRIPTS))
    return Screen(handlers[0], places, dry=asked.dryrun)


SCREEN = screen()


def show_plan(made, games):
    """The batches; and in a run, what becomes of them."""
    answers = checked().answers if made.models else AnswerPlan()
    asked = answers.asked(checked().questions) if made.models else {}
    lines = (*answers.lines(asked), *made.lines(games))
    layouts = dict.fromkeys(made.batches, LAYOUT)
    layouts |= {batch: Layout(ANSWERS.root) for batch in answers.batches}
    sizes = {
        batch: sum((asked if batch in answers.batches else games).get(one, 0) for one in models)
        for batch, models in {**made.batches, **answers.batches}.items()
    }
    bar = SCREEN.draw if SCREEN and SCREEN.is_terminal else None
    watch = RunWatch(layouts, RUN, sizes, minutes=bar is None)
    if PLANNING:
        return  # its page has them
    if SCREEN:
        SCREEN.watch, SCREEN.plan, SCREEN.models = watch, lines, made.models
    if not (SCREEN and workflow.dryrun):  # a dry run ends with them
        for line in lines:
            logger.info(line)
    if layouts and not workflow.dryrun:
        watch_run(watch, logger.info, lambda: logger.handlers, bar)
