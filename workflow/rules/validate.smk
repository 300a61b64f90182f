# What can be checked before GPU time is spent. These rules have no outputs, so each runs whenever it is named.
# out: <results_dir>/<bench>/<judge>/validation.{tsv,json}, plan.json


# Check questions, answers, baseline and judgments. Exit status 1 when a run would not start.
rule validate:
    log:
        f"{ROOT}/logs/validate.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        settings=SETTINGS,
    script:
        "../scripts/validate.py"


if PLANNING:

    # Rules with the names that profiles give resources to. They run no batch: each writes the resources of its job.
    for NAME, OWNER, _ in JOBS:

        rule:
            name:
                NAME
            output:
                temp(f"{OWNER.root}/plan/{{batch}}.json"),
            log:
                f"{OWNER.root}/logs/plan/{{batch}}.log",
            localrule: True
            conda:
                "../envs/arena.yaml"
            resources:
                runtime=functools.partial(walltime, OWNER),
            params:
                asked=lambda wildcards, resources: json.dumps(planning.asked_for(dict(resources))),
            shell:
                "printf '%s\\n' {params.asked:q} > {output:q} 2> {log:q}"


# Show the batches that a run would judge, and what each would request from the scheduler.
rule plan:
    input:
        asked=lambda wildcards: (
            [
                *(f"{ROOT}/plan/{batch}.json" for batch in plan().batches),
                *(f"{ANSWERS.root}/plan/{batch}.json" for batch in checked().answers.batches),
            ]
            if PLANNING
            else []
        ),
    log:
        f"{ROOT}/logs/plan.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        made=lambda wildcards: plan(),
        answers=lambda wildcards: checked().answers,
        settings=SETTINGS,
    script:
        "../scripts/plan.py"


# Import judgments made by another tool into the journals, and move their files aside.
rule adopt:
    input:
        preview_adoption,
    log:
        f"{ROOT}/logs/adopt.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        settings=SETTINGS,
    script:
        "../scripts/adopt.py"
