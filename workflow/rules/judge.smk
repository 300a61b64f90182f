# in:  <data_dir>/<bench>/question.jsonl, model_answer/{model}.jsonl, the baseline's answers
# out: <judgments_dir>/<judge>/{model}.jsonl
# One job per batch plays the games of its models; one rule per model publishes its judgments. Batches of answers run by the
# same rules, in the results folder of the answers.
from arena.support import slurm

STARTED = time.time()


# If Snakemake is interrupted while it polls Slurm, it forgets the jobs that it polls and leaves them running.
onerror:
    if plan.cache_info().currsize:
        # 5 s earlier: Slurm gives whole seconds and its clock may be late. No earlier run has jobs so young.
        problem = slurm.cancel_batches(
            [*plan().batches, *checked().answers.batches], STARTED - 5
        )
        if problem:
            logger.error(
                f"scancel failed ({problem}): jobs of this campaign may still be running. "
                "How to cancel them: docs/slurm.md"
            )


# Write the description of a batch, for its job and for the monitor. New in each run, whose name it contains.
rule plan_batch:
    output:
        "{root}/batches/{batch}.json",
    log:
        "{root}/logs/plan_batch/{batch}.log",
    retries: 0
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        text=batch_text,
    shell:
        "printf '%s\\n' {params.text:q} > {output:q} 2> {log:q}"


if not PLANNING:

    for NAME, OWNER, THREADS in JOBS:
        SCRIPT = NAME.removesuffix("_no_gpu")

        # Start the servers of a batch, ask what no journal contains, make the judgments or the answers, clean up.
        rule:
            name:
                NAME
            input:
                batch=f"{OWNER.root}/batches/{{batch}}.json",
                answers=answers_of_batch if OWNER is SETTINGS else [],
                opponents=OPPONENTS if OWNER is SETTINGS else [],
                questions=str(SETTINGS.questions),
            output:
                temp(f"{OWNER.root}/played/{{batch}}"),
            log:
                f"{OWNER.root}/logs/{SCRIPT}/{{batch}}.log",
            # From the config, because a job cannot see the retries of a profile or the command line. 0 inside the job, where
            # Snakemake would retry within the walltime that is left.
            retries: SETTINGS.retries if workflow.is_main_process else 0
            conda:
                "../envs/arena.yaml"
            threads: THREADS
            resources:
                runtime=functools.partial(walltime, OWNER),
                tries_left=lambda wildcards, attempt: SETTINGS.retries + 1 - attempt,
            params:
                script=SCRIPTS / f"{SCRIPT}.py",
                asked=lambda wildcards, resources, threads: json.dumps(
                    planning.asked_for({**dict(resources), "threads": threads})
                ),
            shell:
                "exec python {params.script:q} {input.batch:q} --tries-left {resources.tries_left}"
                " --resources {params.asked:q} > {log:q} 2>&1"


# Make the judgments of models whose journals contain all of their games. No judge is needed.
rule replay:
    input:
        batch="{root}/batches/{batch}.json",
    output:
        temp(touch("{root}/replayed/{batch}")),
    log:
        "{root}/logs/replay/{batch}.log",
    retries: 0
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        script=SCRIPTS / "gen_judgment.py",
    shell:
        "exec python {params.script:q} {input.batch:q} --replay > {log:q} 2>&1"


# Publish a model's judgments, or report which games are open and why.
rule judgment:
    input:
        unpack(judgment_sources),
        # Changes are detected by content (arena/batch/made.py), not by time stamps.
        opponents=ancient(OPPONENTS),
    output:
        SETTINGS.judgment("{model}"),
    log:
        f"{ROOT}/logs/judgment/{{model}}.log",
    retries: 0  # otherwise those of a profile apply
    localrule: True
    conda:
        "../envs/arena.yaml"
    # Few directives and no params: Snakemake evaluates them for each model, also in a dry run of 1,000.
    shell:
        f"exec {publisher(ROOT, SETTINGS.digest)} --model {{wildcards.model:q}}"
        " --played={input.played:q} {output:q} 2> {log:q}"
