# in:  <data_dir>/<bench>/question.jsonl, model_answer/{model}.jsonl, the baseline's answers
# out: <judgments_dir>/<judge>/{model}.jsonl
# One job per batch plays the games of its models; one rule per model publishes its judgments.
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

    # Start the judge, play every game of the batch that no journal contains, make the judgments, clean up.
    rule:
        name:
            GEN_JUDGMENT
        input:
            batch=f"{ROOT}/batches/{{batch}}.json",
            answers=answers_of_batch,
            opponents=OPPONENTS,
            questions=str(SETTINGS.questions),
        output:
            temp(f"{ROOT}/played/{{batch}}"),
        log:
            f"{ROOT}/logs/gen_judgment/{{batch}}.log",
        # From the config, because a job cannot see the retries of a profile or the command line. 0 inside the job, where
        # Snakemake would retry within the walltime that is left.
        retries: SETTINGS.retries if workflow.is_main_process else 0
        conda:
            "../envs/arena.yaml"
        # All cores, so that one machine plays one batch at a time, except with the demo judge. profiles/slurm sets 1.
        threads: 1 if SETTINGS.toy else workflow.cores
        resources:
            runtime=walltime,
            tries_left=lambda wildcards, attempt: SETTINGS.retries + 1 - attempt,
        params:
            script=SCRIPTS / "gen_judgment.py",
            asked=lambda wildcards, resources, threads: json.dumps(
                asked_for({**dict(resources), "threads": threads})
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
        answer=lambda wildcards: ancient(SETTINGS.answer(wildcards.model)),
        opponents=ancient(OPPONENTS),
        questions=ancient(str(SETTINGS.questions)),
    output:
        SETTINGS.judgment("{model}"),
    log:
        f"{ROOT}/logs/judgment/{{model}}.log",
    retries: 0  # otherwise those of a profile apply
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        script=SCRIPTS / "judgment.py",
        root=ROOT,
        settings=SETTINGS.digest,
        batch=lambda wildcards, input: (
            f"--batch {Path(input.played).name}" if "played" in input.keys() else ""
        ),
    shell:
        "exec python {params.script:q} --root {params.root:q} --model {wildcards.model:q}"
        " --settings {params.settings} {params.batch} {output:q} 2> {log:q}"
