# Judge many models with Arena-Hard: answers -> batches -> judge server and games -> judgments -> leaderboard.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/batches.smk"
include: "workflow/rules/validate.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/show_result.smk"
include: "workflow/rules/ledger.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        judgments=selected_judgments,
        leaderboard=list(LEADERBOARD.values()),
        ledger=f"{ROOT}/ledger.tsv",
        pages=[*PAGES.values(), GAMES],
