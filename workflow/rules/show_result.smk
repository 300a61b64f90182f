# in:  <judgments_dir>/<judge>/*.jsonl of every configured model that has judgments; answers for style control
# out: <results_dir>/<bench>/<judge>/leaderboard.{txt,md,tex,csv,json}, differences.csv; curves.csv where steps are configured
KINDS = ("txt", "md", "tex", "csv", "json")
LEADERBOARD = {kind: f"{ROOT}/leaderboard.{kind}" for kind in KINDS}
LEADERBOARD["differences"] = f"{ROOT}/differences.csv"
if SETTINGS.leaderboard["steps"]:
    LEADERBOARD["curves"] = f"{ROOT}/curves.csv"
JUDGED = f"{ROOT}/.judged"


# Params of every rule that reads judgments.
PLACES = {
    "bench": SETTINGS.bench,
    "judge": SETTINGS.judge["name"],
    "judgments_dir": SETTINGS.judgments_dir,
    "answers_dir": SETTINGS.answers_dir,
    "made_dir": ANSWERS and ANSWERS.folder,
}
READING = {
    "rule": SETTINGS.leaderboard["rule"],
    "seed": SETTINGS.seed,
    "baselines": SETTINGS.baseline_models,
    "patterns": SETTINGS.prompts["patterns"],
    "toy": SETTINGS.toy,
}


# One file that is newer than all judgments, in whose place four rules would each depend on every judgment. Its text is new
# each time, because Snakemake ignores a newer input whose content is unchanged.
rule judged:
    input:
        all_judgments,
    output:
        JUDGED,
    log:
        f"{ROOT}/logs/judged.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    shell:
        "date > {output:q} 2> {log:q}"


# Count votes, resample questions, write the tables.
rule show_result:
    input:
        judged=JUDGED,
        answers=style_answers,
    output:
        **LEADERBOARD,
    log:
        f"{ROOT}/logs/show_result.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        models=judged_models,
        places=PLACES,
        options=lambda wildcards: {
            **SETTINGS.leaderboard,
            **READING,
            "notes": table_notes(wildcards),
        },
    script:
        "../scripts/show_result.py"
