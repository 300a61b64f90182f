# in:  <judgments_dir>/<judge>/*.jsonl of every configured model that has judgments; answers for style control
# out: <results_dir>/<bench>/<judge>/leaderboard.{txt,md,tex,csv,json}, differences.csv; curves.csv where steps are configured


KINDS = ("txt", "md", "tex", "csv", "json")
LEADERBOARD = {kind: f"{ROOT}/leaderboard.{kind}" for kind in KINDS}
LEADERBOARD["differences"] = f"{ROOT}/differences.csv"
if SETTINGS.leaderboard["steps"]:
    LEADERBOARD["curves"] = f"{ROOT}/curves.csv"


# Params of every rule that reads judgments.
PLACES = {
    "bench": SETTINGS.bench,
    "judge": SETTINGS.judge["name"],
    "answers_dir": str(SETTINGS.answers_dir),
    **({"made_dir": str(ANSWERS.folder)} if ANSWERS and ANSWERS.folder else {}),
}
READING = {
    "rule": SETTINGS.leaderboard["rule"],
    "seed": SETTINGS.seed,
    "baselines": SETTINGS.baseline_models,
    "patterns": SETTINGS.prompts["patterns"],
    "toy": SETTINGS.toy,
}


# Count votes, resample questions, write the tables.
rule show_result:
    input:
        judgments=all_judgments,
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
        notes=table_notes,
        places=PLACES,
        options=SETTINGS.leaderboard | READING,
    script:
        "../scripts/show_result.py"
