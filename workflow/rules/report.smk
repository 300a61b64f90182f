# in:  <judgments_dir>/<judge>/*.jsonl and answers; leaderboard.json, differences.csv, curves.csv
# out: <results_dir>/<bench>/<judge>/health.{txt,json}, report/*.html: the items of `snakemake --report`
#      report/games.html also needs the questions


TITLES = {
    "leaderboard": "1. Table of scores",
    "intervals": "2. Scores with intervals",
    "differences": "3. Who is better than whom",
    "categories": "4. Wins by category",
    "judge_health": "Is the judge sound?",
}
if SETTINGS.leaderboard["steps"]:
    TITLES["curves"] = "5. Score over training"
PAGES = {page: f"{ROOT}/report/{page}.html" for page in TITLES}
GAMES = f"{ROOT}/report/games.html"


# Check the judge: position bias, flips, replies without a verdict, length bias.
rule judge_health:
    input:
        JUDGED,
    output:
        txt=f"{ROOT}/health.txt",
        json=f"{ROOT}/health.json",
    log:
        f"{ROOT}/logs/judge_health.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        models=judged_models,
        places=PLACES,
        options=READING | {"weight": SETTINGS.leaderboard["weight"]},
    script:
        "../scripts/judge_health.py"


# Fail the run if too few games have a verdict; its tables are kept.
rule enough_verdicts:
    input:
        f"{ROOT}/health.json",
    output:
        touch(f"{ROOT}/.enough_verdicts"),
    log:
        f"{ROOT}/logs/enough_verdicts.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        script=SCRIPTS / "enough_verdicts.py",
    shell:
        "python {params.script:q} {input:q} 2> {log:q}"


# Draw the pages of the report.
rule plot_result:
    input:
        **LEADERBOARD,
        health=f"{ROOT}/health.json",
    output:
        **{
            page: report(
                file,
                caption=f"../report/{page}.rst",
                category="Judge" if page == "judge_health" else "Leaderboard",
                labels={"page": TITLES[page]},
            )
            for page, file in PAGES.items()
        },
    log:
        f"{ROOT}/logs/plot_result.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        script=SCRIPTS / "plot_result.py",
    shell:
        'python {params.script:q} "$(dirname {input.json:q})" > {log:q} 2>&1'


# Show a sample of each model's games: question, answers, the judge's replies and verdicts.
rule show_games:
    input:
        JUDGED,
    output:
        report(
            GAMES,
            caption="../report/games.rst",
            category="Judge",
            labels={"page": "Look at the games"},
        ),
    log:
        f"{ROOT}/logs/show_games.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        models=judged_models,
        places=PLACES,
        options=READING | {"questions": SETTINGS.questions},
    script:
        "../scripts/show_games.py"
