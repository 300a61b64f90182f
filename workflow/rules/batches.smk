# Which models share a judge server, and what its job asks of the scheduler. Functions only; the logic is arena/batch/plan.py.
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from arena.campaign.early_stop import watch_for_early_stop
from arena.judge.endpoints import check_keys
from arena.support.slurm import cancel_run
from arena.support.unfinished import unfinished_outputs
from snakemake.resources import GroupResources


@functools.cache
def plan():
    """Which models share a judge server; made once, by the main process."""
    waiting, settled = [], []
    half_made = {str(output) for output, _ in unfinished_outputs(Path.cwd())}
    for model in ready_models():
        judgment = SETTINGS.judgment(model)
        record = workflow.persistence.metadata(IOFile(judgment))
        due = batches.needs_judging(judgment, inputs_of(model), record, SETTINGS.digest)
        (waiting if due or judgment in half_made else settled).append(model)
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


def batch_size_of(batch):
    """Models of a batch: from the plan, or in a job from the file that the main process left for it."""
    if workflow.is_main_process:
        return len(plan().members(batch))
    patience = workflow.execution_settings.latency_wait
    return len(batches.read_batch(f"{ROOT}/batches/{batch}.json", patience, logger.info)["models"])


def walltime(wildcards, attempt):
    return round(SETTINGS.job_minutes(batch_size_of(wildcards.batch), attempt))


def judge_threads(wildcards):
    """All cores for a judge that runs elsewhere: on one machine, one batch at a time asks it."""
    one_machine = workflow.nodes is None
    return workflow.cores if one_machine and SETTINGS.judge["server"] == "external" else 1


def request(batch):
    """What the job of a batch asks for: its server and clients together, added up by Snakemake itself."""

    def part(rule, **wildcards):
        asked = workflow.get_rule(rule).expand_resources(
            Wildcards(fromdict=wildcards), InputFiles(), attempt=1, skip_evaluation={"tmpdir"}
        )
        return SimpleNamespace(resources=asked, pipe_group=batch)

    server = part("judge_server", batch=batch)
    clients = [part("gen_judgment", model=model) for model in plan().members(batch)]
    asked = GroupResources.basic_layered(
        [[server, *clients]], workflow.global_resources, workflow.local_exec
    )
    return asked | {"threads": asked["_cores"]}


def described(names):
    """Batches with their requests to the scheduler, as the profile completes them."""
    for batch in names:
        games = {model: checked().games[model] for model in plan().members(batch)}
        yield batches.describe_batch(batch, games, request(batch), SETTINGS)


def write_batches(dag, log):
    """Leave batches/<batch>.json for every batch that this run judges."""
    servers = [job for job in dag.needrun_jobs() if job.rule.name == "judge_server"]
    written = list(described(job.wildcards.batch for job in servers))
    with errors_for_users():
        refuse_servers_side_by_side(written)
        if written:
            check_keys(SETTINGS.judge)
    for batch in written:
        batches.write_batch(batch, log)


def refuse_servers_side_by_side(written):
    """No profile was named: all batches would start their vLLM here at once, perhaps on a login node."""
    many = len(written) > 1 and SETTINGS.judge["server"] == "vllm"
    counted = "gpu" in workflow.global_resources  # as profiles/local has it
    if workflow.local_exec and many and not counted:
        raise ConfigError(
            f"{len(written)} judge servers would start on this machine at once. Name a profile: --profile profiles/slurm "
            "makes jobs of them, --profile profiles/local starts one after the other"
        )


def let_all_clients_start():
    """Give the jobs that run on this machine a thread each.

    Snakemake has cores + 5, or one for each member of a group, of which the group itself takes one: on few cores the
    last client of a batch would begin when another has ended, and share nothing with it.
    """
    if workflow.local_exec:
        executor = workflow.scheduler._executor
        batches_at_once = workflow.cores or 1
        executor.workers += batches_at_once * (SETTINGS.batch_size + 2)
        executor.pool = ThreadPoolExecutor(executor.workers)


def stop_submitting(cause):
    """A judge that cannot start costs one batch: no other is submitted, and none retried. So does a used-up budget."""
    logger.error(f"Nothing more is submitted: {cause}")
    workflow.scheduler.exit_gracefully()


def cancel_what_is_left():
    """No job of a run that has ended may go on: nobody would see its end.

    Snakemake cancels them itself, but not those whose state it is asking for in the moment of a
    Ctrl-C, and none when looking after them has failed.
    """
    name = getattr(workflow.scheduler._executor, "run_uuid", None)  # of the Slurm executor alone
    if problem := cancel_run(name):
        logger.error(f"Jobs of this run may be left ({problem}). Try: scancel --name={name}")
