# in:  <data_dir>/<bench>/question.jsonl, model_answer/{model}.jsonl, the baseline's answers
# out: <judgments_dir>/<judge>/{model}.jsonl
# One job a batch plays the games of its models; a target a model publishes its judgments.
from arena.support import slurm

STARTED = time.time()


# An interrupt while Snakemake asks for states: it forgets the jobs that it is asking about, and leaves them running.
onerror:
    if plan.cache_info().currsize:
        # Slurm gives whole seconds, and its clock may be behind by some; no run begins within these of a dead one.
        problem = slurm.cancel_batches(
            [*plan().batches, *checked().answers.batches], STARTED - 5
        )
        if problem:
            logger.error(f"Jobs of this campaign may still run ({problem}): see docs/slurm.md")


# Write what a batch's job, and whoever looks on, needs to know of it: anew in each run, whose name is in it.
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
        text=described,
    shell:
        "printf '%s\\n' {params.text:q} > {output:q} 2> {log:q}"


# The rule that profiles give GPUs to. A judge that needs none is played by a rule of another name, which no profile
# gives any: demo, external, a rehearsal.
GEN_JUDGMENT = "gen_judgment" if SETTINGS.judge["server"] == "vllm" else "gen_judgment_no_gpu"


if PLANNING:

    # The rule under which a profile's resources arrive, with another body: it only tells what it is asked for.
    rule:
        name:
            GEN_JUDGMENT
        output:
            temp(f"{ROOT}/plan/{{batch}}.json"),
        log:
            f"{ROOT}/logs/plan/{{batch}}.log",
        localrule: True
        conda:
            "../envs/arena.yaml"
        resources:
            runtime=walltime,
        params:
            asked=lambda wildcards, resources: json.dumps(asked_for(dict(resources))),
        shell:
            "printf '%s\\n' {params.asked:q} > {output:q} 2> {log:q}"

else:

    # Start the judge, play every game of the batch that no journal holds, make the judgments, clean up.
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
        # From the config: a job cannot see the number that a profile or the command line gives. None inside the job, whose own
        # Snakemake would retry there, in what is left of the walltime.
        retries: SETTINGS.retries if workflow.is_main_process else 0
        conda:
            "../envs/arena.yaml"
        # On one machine one batch at a time, but for the demo judge; profiles/slurm says 1.
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


# Make the judgments of models whose journals hold all of their games; no judge is needed.
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


# Publish a model's judgments, or say which games are open and why.
rule judgment:
    input:
        unpack(made_by),
        # Whether they have changed is told by their content (arena/batch/made.py), not by time stamps.
        answer=lambda wildcards: ancient(SETTINGS.answer(wildcards.model)),
        opponents=ancient(OPPONENTS),
        questions=ancient(str(SETTINGS.questions)),
    output:
        SETTINGS.judgment("{model}"),
    log:
        f"{ROOT}/logs/judgment/{{model}}.log",
    retries: 0  # a profile's reach it otherwise
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
