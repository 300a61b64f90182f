# Everything that is asked before GPU time is spent. No outputs: each runs whenever it is named.
# out: <results_dir>/<bench>/<judge>/validation.{tsv,json}, plan.json


# Check questions, answers, baseline and judgments; exit status 1 when something blocks.
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


# Show the batches that a run would judge, and what each would ask of the scheduler.
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
        batches=lambda wildcards: dict(plan().batches),
        games=lambda wildcards: checked().games,
        answers=lambda wildcards: checked().answers,
        settings=SETTINGS,
    script:
        "../scripts/plan.py"


# Take judgments that others made into the journals, and move their files aside.
rule adopt:
    input:
        foreign_judgments,
    log:
        f"{ROOT}/logs/adopt.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        settings=SETTINGS,
    script:
        "../scripts/adopt.py"
